"""Concord for its users: the command line, and the place of the clients. Speaks HTTP and knows nothing of the server."""

__version__ = "0.1.0"
