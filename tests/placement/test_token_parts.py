"""The pure parts of tokens: text, hash, scopes, and whether a text is a good token."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.tokens.check import NO_TOKENS, index_of, verify
from placement.tokens.scopes import EVERY_VERB, TokenVerb, covers, names_of, scopes_problem, verbs_of
from placement.tokens.text import ID_BYTES, SECRET_BYTES, TOKEN_LENGTH, TokenText, digest, is_id, parse, write
from tests.placement.token_rows import KEY, hash_of, row, secret_of
from wire.token_messages import TokenScope, TokenTable

ids = st.binary(min_size=ID_BYTES, max_size=ID_BYTES)
secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)
texts = st.text(max_size=6)
verbs = st.sampled_from(list(TokenVerb))
scopes = st.lists(st.builds(TokenScope, texts.map(str.encode), st.integers(1, int(EVERY_VERB))), min_size=1, max_size=4)


@given(ids, secrets)
def test_a_token_reads_back_as_it_was_written(token_id: bytes, secret: bytes) -> None:
    text = write(token_id, secret)
    assert len(text) == TOKEN_LENGTH
    assert text.startswith(f"sk_concord_{token_id.hex()}_")
    assert is_id(token_id.hex())
    assert parse(text.encode()) == TokenText(token_id.hex(), secret)


@given(st.binary(max_size=200) | st.binary(min_size=TOKEN_LENGTH, max_size=TOKEN_LENGTH))
def test_any_other_bytes_are_no_token(text: bytes) -> None:
    assert parse(text) is None


@given(ids, secrets, st.integers(0, TOKEN_LENGTH - 1), st.integers(1, 255))
def test_one_wrong_character_is_noticed_without_asking_anyone(
    token_id: bytes, secret: bytes, place: int, difference: int
) -> None:
    text = bytearray(write(token_id, secret).encode())
    text[place] ^= difference
    assert parse(bytes(text)) is None


@given(ids, secrets, st.integers(0, TOKEN_LENGTH - 2))
def test_two_characters_that_changed_places_are_noticed(token_id: bytes, secret: bytes, place: int) -> None:
    text = write(token_id, secret)
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert swapped == text or parse(swapped.encode()) is None


@given(secrets)
def test_a_parsed_token_does_not_show_its_secret(secret: bytes) -> None:
    parsed = parse(write(b"abcdef", secret).encode())
    assert secret.hex() not in repr(parsed)
    assert repr(secret) not in f"{parsed} {parsed!r}"


def test_the_hash_depends_on_key_id_and_secret() -> None:
    tokens = [TokenText("a" * 12, b"s" * 32), TokenText("b" * 12, b"s" * 32), TokenText("a" * 12, b"t" * 32)]
    hashes = {digest(key, token) for key in (KEY, b"j" * 32) for token in tokens}
    assert len(hashes) == 6


@given(scopes, verbs, texts)
def test_a_scope_covers_its_verbs_on_keys_that_begin_with_its_prefix(
    given_scopes: list[TokenScope], verb: TokenVerb, key: str
) -> None:
    expected = any(
        names_of(verb)[0] in names_of(scope.verbs) and key.encode()[: len(scope.prefix)] == scope.prefix
        for scope in given_scopes
    )
    assert covers(given_scopes, verb, key.encode()) == expected


@given(scopes, verbs, texts, texts)
def test_who_may_list_a_prefix_may_do_so_with_every_key_in_it(
    given_scopes: list[TokenScope], verb: TokenVerb, prefix: str, rest: str
) -> None:
    if covers(given_scopes, verb, prefix.encode()):
        assert covers(given_scopes, verb, (prefix + rest).encode())


def test_a_prefix_that_is_shorter_than_the_scopes_is_not_covered() -> None:
    scope = TokenScope("team/ä".encode(), TokenVerb.READ)
    assert covers([scope], TokenVerb.READ, "team/äb".encode())
    assert not covers([scope], TokenVerb.READ, b"team/")
    assert not covers([scope], TokenVerb.READ, b"team/a")
    assert not covers([scope], TokenVerb.WRITE, "team/äb".encode())


@given(st.sets(verbs))
def test_verbs_have_names(some: set[TokenVerb]) -> None:
    together = verbs_of(names_of(sum(some)))
    assert together == sum(some)


@given(st.text(min_size=1, max_size=20), st.data())
def test_a_prefix_that_is_cut_inside_a_character_is_a_problem(prefix: str, data: st.DataObject) -> None:
    encoded = prefix.encode()
    cut = encoded[: data.draw(st.integers(0, len(encoded)))]
    whole = cut.decode(errors="ignore").encode() == cut
    assert (scopes_problem([TokenScope(cut, TokenVerb.READ)]) == "") == whole


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([], "scopes"),
        ([TokenScope(b"", 1)] * 65, "scopes"),
        ([TokenScope(b"a", 1), TokenScope(b"", 0)], "scopes[1].verbs"),
        ([TokenScope(b"", 32)], "scopes[0].verbs"),
        ([TokenScope(b"", -1)], "scopes[0].verbs"),
        ([TokenScope(b"a" * 1025, 1)], "scopes[0].prefix"),
        ([TokenScope("ä".encode()[:1], 1)], "cut inside a character"),
        ([TokenScope(b"a", TokenVerb.ADMIN)], "admin"),
    ],
)
def test_scopes_that_cannot_be_are_named(wrong: list[TokenScope], why: str) -> None:
    assert why in scopes_problem(wrong)


def test_a_token_is_good_until_it_ends_and_with_its_own_secret_only() -> None:
    index = index_of(TokenTable(1, KEY, [row(1, expires_ms=5000), row(2)]))
    good = secret_of(1).encode()
    assert verify(index, good, 4999) == row(1, expires_ms=5000)
    assert verify(index, good, 5000) is None
    assert verify(index, secret_of(1, turn=1).encode(), 0) is None
    assert verify(index, secret_of(3).encode(), 0) is None
    assert verify(NO_TOKENS, good, 0) is None
    assert verify(index, secret_of(2).encode(), 1 << 50) is not None


def test_an_old_secret_is_good_until_the_overlap_ends() -> None:
    rotated = msgspec.structs.replace(row(1, turn=1), old_hash=hash_of(secret_of(1)), old_until_ms=2000)
    index = index_of(TokenTable(1, KEY, [rotated]))
    assert verify(index, secret_of(1, turn=1).encode(), 9999) == rotated
    assert verify(index, secret_of(1).encode(), 1999) == rotated
    assert verify(index, secret_of(1).encode(), 2000) is None


@given(st.binary(max_size=120), st.integers(0, 1 << 60))
def test_verify_is_total(text: bytes, now_ms: int) -> None:
    assert verify(index_of(TokenTable(1, KEY, [row(1)])), text, now_ms) is None
