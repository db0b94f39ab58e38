"""The one error of these programs."""


class LoadtestError(Exception):
    """A run cannot go on, or what it measured cannot be trusted; the message is one line for a person."""
