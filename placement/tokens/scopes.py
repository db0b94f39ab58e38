"""What a token may do: scopes, each some verbs on all keys with a prefix. Pure, and decided on the UTF-8 bytes of keys."""

import enum
from collections.abc import Iterable, Sequence

from wire.messages import LIMIT_KEY_BYTES
from wire.token_messages import LIMIT_TOKEN_SCOPES, TokenScope


class TokenVerb(enum.IntFlag):
    """What can be done; a scope has one or more. The numbers stay the same for ever."""

    READ = 1
    WRITE = 2
    LOCK = 4
    WATCH = 8
    ADMIN = 16  # tokens: whoever has it can make one that may do anything


EVERY_VERB = TokenVerb(31)
EVERYTHING = TokenScope(b"", EVERY_VERB)


def covers(scopes: Iterable[TokenScope], verb: TokenVerb, key: bytes) -> bool:
    """Whether `verb` is allowed on a key, or on every key with a prefix: the scope's prefix must be one of it."""
    bit = int(verb)  # arithmetic of flags is slow, and this is asked for every key of a request
    for scope in scopes:  # noqa: SIM110 - a generator costs more than the comparison
        if scope.verbs & bit and key.startswith(scope.prefix):
            return True
    return False


def verbs_of(names: Iterable[str]) -> TokenVerb:
    """The verbs with these names (`read`, …).

    Raises:
        KeyError: there is no such verb.
    """
    verbs = TokenVerb(0)
    for name in names:
        verbs |= TokenVerb[name.upper()]
    return verbs


def names_of(verbs: int) -> list[str]:
    """The inverse of `verbs_of`, in the order of the numbers."""
    return [str(verb.name).lower() for verb in TokenVerb if verb & verbs]


def scopes_problem(scopes: Sequence[TokenScope]) -> str:
    """What is wrong with a token's scopes, as a sentence that names the field; "" when nothing is."""
    if not 1 <= len(scopes) <= LIMIT_TOKEN_SCOPES:
        return f"scopes: expected 1 to {LIMIT_TOKEN_SCOPES}"
    problems = (_problem(scope, f"scopes[{index}]") for index, scope in enumerate(scopes))
    return next(filter(None, problems), "")


def _problem(scope: TokenScope, where: str) -> str:
    if not 0 < scope.verbs <= EVERY_VERB:
        return f"{where}.verbs: expected one or more of {', '.join(names_of(EVERY_VERB))}"
    if len(scope.prefix) > LIMIT_KEY_BYTES:
        return f"{where}.prefix: over {LIMIT_KEY_BYTES} bytes"
    if not _is_utf8(scope.prefix):
        return f"{where}.prefix: not UTF-8, or cut inside a character"
    if scope.verbs & TokenVerb.ADMIN and scope.prefix:
        return f'{where}.verbs: admin concerns the whole cluster and goes with the prefix "" only'
    return ""


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
