"""Lessons, exercises and their checker."""
