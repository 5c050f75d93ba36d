"""Notebook hosts of the app's views."""
