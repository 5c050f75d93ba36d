"""What the process says when it leaves, beside 0 for success and 2 for wrong usage."""

__all__ = ["EXIT_ERROR", "EXIT_INTERRUPTED", "EXIT_OWN_FAULT"]

EXIT_ERROR = 1
"""Something of the person's cannot be used."""

EXIT_OWN_FAULT = 70
"""Pellucid itself failed."""

EXIT_INTERRUPTED = 130
"""Ctrl-C, or a fit that was asked to stop before its end."""
