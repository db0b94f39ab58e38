"""What the sender of one request may do: asked by the guard for a key in the path, and by the handler for all other keys.

A handler of a route about keys that are not in its path (a bulk request, a listing, a transaction) must hand them to
`check` after it has parsed them and before it sends anything to the cluster. One that forgets is answered as a
defect by the dispatcher, whether the gateway asks for tokens or not, so that the first test of a route finds it.
"""

from collections.abc import Callable, Collection, Sequence

from gateway.errors import ApiCode, ApiError
from placement.tokens import TokenVerb, covers, names_of
from wire.token_messages import TokenScope


class Access:
    """One request's rights; `named` are the keys that it has named so far.

    Args:
        verb: what its route does to keys; None when it is not about keys.
        scopes: what its token may do; None when everybody may do everything.
        renew: raises ApiError if the request would not be let in any more.
    """

    __slots__ = ("_scopes", "_verb", "named", "renew", "settled")

    def __init__(
        self,
        verb: TokenVerb | None,
        scopes: Sequence[TokenScope] | None,
        renew: Callable[[], object] = lambda: None,
    ) -> None:
        self._verb = verb
        self._scopes = scopes
        self.renew = renew
        self.settled = verb is None
        self.named: tuple[Collection[str], ...] = ()

    def check(self, keys: Collection[str], verb: TokenVerb | None = None) -> None:
        """Refuse the request unless its token covers every one of these keys.

        Args:
            keys: keys; or prefixes, which stand for every key that begins so.
            verb: what is done to them, where that is not what the route does.

        Raises:
            ApiError: FORBIDDEN.
        """
        self.settled = True
        self.named = (*self.named, keys)
        if self._scopes is None:
            return
        wanted = verb or self._verb or TokenVerb.ADMIN
        for key in keys:
            if not covers(self._scopes, wanted, key.encode()):
                (name,) = names_of(wanted)
                raise ApiError(
                    ApiCode.FORBIDDEN, f"no scope of the token allows to {name} every key that this request names"
                )


def nobody() -> Access:
    """What a request may do before the guard has spoken; its own, as `check` takes notes in it."""
    return Access(None, ())


def everybody() -> Access:
    """Access to a route that is not about keys; likewise."""
    return Access(None, None)
