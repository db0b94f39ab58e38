"""A store in this process, as the clients' methods want it: the only place of the SDK that imports the server, and only when it is opened.

`store.py` is the door; `requests.py` makes operations of what a user gave, `answers.py` results and exceptions of what came of them.
"""

from concord._local.store import LocalStore, open_store

__all__ = ["LocalStore", "open_store"]
