"""What may change the tokens: the part of placement's state machine that keeps them."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from placement.commands import (
    BootstrapTokens,
    CreateToken,
    Rejected,
    Rejection,
    RevokeToken,
    RotateToken,
    TokenCommand,
    TokenResult,
    TokensChanged,
    encode_command,
)
from placement.machine import PlacementMachine, SnapshotError
from placement.tokens import book as books
from placement.tokens.book import TokenBook
from placement.tokens.check import index_of, verify
from placement.tokens.scopes import TokenVerb
from tests.placement.fakes import map_of, node
from tests.placement.token_rows import KEY, hash_of, id_of, row, secret_of
from wire.token_messages import Token, TokenScope

FIRST = BootstrapTokens(KEY, row(0))


def begun(*rows: Token) -> TokenBook:
    book = TokenBook()
    commands: list[TokenCommand] = [FIRST, *map(CreateToken, rows)]
    for command in commands:
        assert isinstance(book.apply(command), TokensChanged)
    return book


def why(result: TokenResult) -> Rejection:
    assert isinstance(result, Rejected)
    return result.rejection


def test_the_first_token_is_made_once() -> None:
    book = begun()
    assert why(book.apply(BootstrapTokens(KEY, row(1)))) is Rejection.TOKENS_EXIST
    assert why(book.apply(BootstrapTokens(b"j" * 32, row(1)))) is Rejection.TOKENS_EXIST
    assert book.table.tokens == [row(0)]
    assert book.table.key == KEY
    again = msgspec.structs.replace(row(0), created_ms=9)  # a retry gets another time from the leader
    assert book.apply(BootstrapTokens(b"j" * 32, again)) == TokensChanged(1, row(0))


@pytest.mark.parametrize(
    "wrong",
    [
        BootstrapTokens(b"short", row(0)),
        BootstrapTokens(KEY, row(0, ("", TokenVerb.READ))),
        BootstrapTokens(KEY, row(0, expires_ms=9999)),
    ],
)
def test_a_first_token_that_could_not_manage_others_is_refused(wrong: BootstrapTokens) -> None:
    book = TokenBook()
    assert why(book.apply(wrong)) is Rejection.INVALID_TOKEN
    assert book.table.revision == 0


def test_no_token_is_made_before_the_first() -> None:
    assert why(TokenBook().apply(CreateToken(row(1)))) is Rejection.NO_TOKENS


def test_repeating_a_change_is_accepted_and_changes_nothing() -> None:
    book = begun(row(1))
    rotate = RotateToken(id_of(1), hash_of(secret_of(1, 1)), 2000, 3000)
    assert isinstance(book.apply(rotate), TokensChanged)
    table = book.table
    assert book.apply(rotate) == TokensChanged(3, table.tokens[1])
    assert book.apply(CreateToken(table.tokens[1])) == TokensChanged(3, table.tokens[1])
    assert why(book.apply(CreateToken(row(1, turn=2)))) is Rejection.OTHER_TOKEN
    assert book.table == table


def test_a_rotated_token_keeps_its_id_and_knows_the_last_secret_for_a_while() -> None:
    book = begun(row(1))
    for turn in (1, 2):
        book.apply(RotateToken(id_of(1), hash_of(secret_of(1, turn)), 1000 * turn, 1000 * turn + 500))
    index = index_of(book.table)
    good = {
        turn: [now for now in (2000, 2499, 2500) if verify(index, secret_of(1, turn).encode(), now)]
        for turn in range(3)
    }
    assert good == {0: [], 1: [2000, 2499], 2: [2000, 2499, 2500]}


def test_without_an_overlap_nothing_of_the_old_secret_is_kept() -> None:
    book = begun(row(1))
    book.apply(RotateToken(id_of(1), hash_of(secret_of(1, 1)), 2000, 2000))
    assert (book.table.tokens[1].old_hash, book.table.tokens[1].old_until_ms) == (b"", 0)


def test_the_last_admin_that_never_expires_cannot_be_revoked() -> None:
    book = begun(row(1, expires_ms=9999), row(2, ("", TokenVerb.READ)))
    assert why(book.apply(RevokeToken(id_of(0)))) is Rejection.LAST_LASTING_ADMIN
    book.apply(CreateToken(row(3)))
    assert isinstance(book.apply(RevokeToken(id_of(0))), TokensChanged)
    assert why(book.apply(RevokeToken(id_of(0)))) is Rejection.NO_SUCH_TOKEN
    assert why(book.apply(RotateToken(id_of(0), b"h" * 32, 1, 2))) is Rejection.NO_SUCH_TOKEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "abc"},
        {"id": "A" * 12},
        {"name": ""},
        {"name": "x" * 129},
        {"name": "a\nb"},
        {"hash": b"short"},
        {"old_hash": b"h" * 32},
        {"created_ms": -1},
        {"expires_ms": 1000},
        {"scopes": []},
        {"scopes": [TokenScope("ä".encode()[1:], 1)]},
    ],
)
def test_a_token_that_breaks_a_rule_is_refused(wrong: dict[str, object]) -> None:
    book = begun()
    assert why(book.apply(CreateToken(msgspec.structs.replace(row(1), **wrong)))) is Rejection.INVALID_TOKEN
    assert book.table.revision == 1


def test_there_are_at_most_so_many_tokens_and_expired_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "LIMIT_TOKENS", 3)
    book = begun(row(1, expires_ms=5000), row(2))
    assert why(book.apply(CreateToken(row(3, created_ms=4999)))) is Rejection.TOO_MANY_TOKENS
    assert isinstance(book.apply(CreateToken(row(3, created_ms=5000))), TokensChanged)
    assert [token.id for token in book.table.tokens] == [id_of(0), id_of(2), id_of(3)]


def test_the_table_fits_into_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "LIMIT_TOKEN_TABLE_BYTES", 100_000)
    book = begun()
    made, number = [FIRST.token], 1
    while True:
        wide = row(number, *((f"{n:02}" + "ä" * 400, 31 & ~16) for n in range(8)), name="ä" * 128)
        if not isinstance(book.apply(CreateToken(wide)), TokensChanged):
            break
        made.append(wide)
        number += 1
    assert len(made) > 10
    assert len(msgspec.msgpack.encode(book.table)) <= 100_000


class Tokens(RuleBasedStateMachine):
    """Any changes in any order, against the simplest model: which secrets are good."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = PlacementMachine("c", lambda _: None)
        self.good: dict[int, int] = {}
        self.begun = False

    def apply(self, command: TokenCommand) -> bool:
        before = self.machine.tokens.table.revision
        result = self.machine.apply(1, 1, encode_command(command))
        changed = self.machine.tokens.table.revision - before
        assert changed in (0, 1)
        assert changed == 0 or isinstance(result, TokensChanged)
        return isinstance(result, TokensChanged)

    @rule(number=st.integers(0, 3))
    def bootstrap(self, number: int) -> None:
        done = self.apply(BootstrapTokens(KEY, row(number)))
        if not self.begun:
            assert done
            self.begun = True
            self.good = {number: 0}
        else:
            assert done == (self.good.get(number) == 0)

    @rule(number=st.integers(0, 3), admin=st.booleans())
    def create(self, number: int, *, admin: bool) -> None:
        done = self.apply(CreateToken(row(number, ("", 31 if admin else 1))))
        assert done == (self.begun and self.good.get(number, 0) == 0)
        if done:
            self.good.setdefault(number, 0)

    @rule(number=st.integers(0, 3))
    def revoke(self, number: int) -> None:
        if self.apply(RevokeToken(id_of(number))):
            del self.good[number]

    @rule(number=st.integers(0, 3), turn=st.integers(1, 3))
    def rotate(self, number: int, turn: int) -> None:
        if self.apply(RotateToken(id_of(number), hash_of(secret_of(number, turn)), 1, 1)):
            self.good[number] = turn

    @rule()
    def restart_from_a_snapshot(self) -> None:
        other = PlacementMachine("c", lambda _: None)
        restorer = other.restore()
        for chunk in self.machine.snapshot():
            restorer.feed(chunk)
        restorer.finish()
        assert other.tokens.table == self.machine.tokens.table
        self.machine = other

    @invariant()
    def exactly_the_good_secrets_are_good(self) -> None:
        index = index_of(self.machine.tokens.table)
        shown = [(n, t) for n in range(4) for t in range(4) if verify(index, secret_of(n, t).encode(), 5)]
        assert shown == sorted(self.good.items())

    @invariant()
    def somebody_can_manage_tokens(self) -> None:
        tokens = self.machine.tokens.table.tokens
        assert not self.begun or any(scope.verbs & TokenVerb.ADMIN for token in tokens for scope in token.scopes)


TestTokens = Tokens.TestCase
TestTokens.settings = settings(max_examples=60, stateful_step_count=25)


def test_a_snapshot_from_before_there_were_tokens_is_read() -> None:
    machine = PlacementMachine("c", lambda _: None)
    restorer = machine.restore()
    restorer.feed(b"\x01" + msgspec.msgpack.encode(map_of(3, node(1))))
    restorer.finish()
    assert machine.map.epoch == 3
    assert machine.tokens.table.revision == 0


@given(st.binary(max_size=80))
def test_a_damaged_snapshot_is_refused_and_the_tokens_stay(garbage: bytes) -> None:
    machine = PlacementMachine("c", lambda _: None)
    machine.apply(1, 1, encode_command(FIRST))
    restorer = machine.restore()
    restorer.feed(b"\x02" + garbage)
    with pytest.raises(SnapshotError):
        restorer.finish()
    assert machine.tokens.table.tokens == [row(0)]


def test_a_change_is_told_after_it_happened() -> None:
    book = TokenBook()
    heard: list[int] = []
    book.subscribe(lambda: heard.append(book.table.revision))
    book.apply(FIRST)
    book.apply(FIRST)
    book.apply(CreateToken(row(1)))
    assert heard == [1, 2]
