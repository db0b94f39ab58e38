"""API tokens: how they look, what they may do, who keeps them, and who knows of them.

`text` (format and hash), `scopes` and `check` are pure; `book` is the part of placement's state machine that keeps them;
`service` gives them out at placement's leader; `watcher` keeps a gateway's table fresh and knows how fresh it is.
"""

from placement.tokens.check import NO_TOKENS, TokenIndex, verify
from placement.tokens.scopes import TokenVerb, covers, names_of, scopes_problem, verbs_of

__all__ = ["NO_TOKENS", "TokenIndex", "TokenVerb", "covers", "names_of", "scopes_problem", "verbs_of", "verify"]
