"""Tables, images, text and series turned into tensors, by preprocessing fitted on the training split only."""
