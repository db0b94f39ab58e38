"""The session object that a request sees: a dict that can get a new id."""

from typing import Any

from concord._web_sessions import Opened


class SessionDict(dict[str, Any]):
    """The data of a session: JSON. What is in it at the end of the request is kept, whatever way it was changed.

    Attributes:
        opened: the session as it was found; None for a new one.
        rotated: whether it gets a new id.
        accessed: whether the request has looked at it.
    """

    def __init__(self, data: dict[str, Any] | None = None, opened: Opened | None = None) -> None:
        super().__init__(data or {})
        self.opened = opened
        self.rotated = False
        self.accessed = False

    def regenerate(self) -> None:
        """Go on under a new id. For every login and every change of rights: an id that was planted is then worth nothing."""
        self.rotated = True
