"""A run on disk: appended to, read while it is written, migrated. Torch-free."""
