"""Tokens for tests: rows of the table with the secrets that fit them."""

from placement.tokens.scopes import EVERYTHING
from placement.tokens.text import digest, parse, write
from wire.token_messages import Token, TokenScope

KEY = b"k" * 32


def secret_of(number: int, turn: int = 0) -> str:
    """The token with this number, after so many rotations."""
    return write(number.to_bytes(6), bytes([turn]) * 28 + number.to_bytes(4))


def id_of(number: int) -> str:
    return number.to_bytes(6).hex()


def hash_of(text: str, key: bytes = KEY) -> bytes:
    parsed = parse(text.encode())
    assert parsed is not None
    return digest(key, parsed)


def row(
    number: int,
    *scopes: tuple[str, int],
    created_ms: int = 1000,
    expires_ms: int = 0,
    name: str = "somebody",
    turn: int = 0,
) -> Token:
    """A token with these scopes (prefix, verbs); with every verb on everything when none are given."""
    made = [TokenScope(prefix.encode(), int(verbs)) for prefix, verbs in scopes] or [EVERYTHING]
    return Token(id_of(number), name, made, hash_of(secret_of(number, turn)), created_ms, expires_ms)
