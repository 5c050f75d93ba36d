"""The local app's routes over the store."""
