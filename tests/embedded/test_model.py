"""Random use of a store, closed and opened again and killed in between, against a dict."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import concord
from concord import Embedded
from concord._local.store import LocalStore
from shard.embedded import Durability, open_engine
from shard.embedded.limits import EngineLimits

KEYS = st.sampled_from([f"k/{number}" for number in range(6)] + ["\0k", "ä"])
VALUES = st.one_of(st.integers(-5, 5), st.text(max_size=5), st.lists(st.none(), max_size=2), st.binary(max_size=4))
LIMITS = EngineLimits(segment_bytes=8 << 10, snapshot_entries=15)


class StoreUse(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="concord-model-"))
        self.kept: dict[str, Any] = {}
        self.revisions: dict[str, int] = {}
        self.newest = 0
        self.open()

    def open(self) -> None:
        self.engine = open_engine(self.folder, Durability.OS, limits=LIMITS, with_upkeep=False)
        self.db = Embedded(LocalStore(self.engine))

    def noted(self, key: str, value: Any, revision: int) -> None:
        assert revision > self.newest
        self.newest = revision
        self.kept[key] = value
        self.revisions[key] = revision

    @rule(key=KEYS, value=VALUES, ttl=st.none() | st.just(3600))
    def put(self, key: str, value: Any, ttl: int | None) -> None:
        self.noted(key, value, self.db.put(key, value, ttl=ttl))

    @rule(key=KEYS, value=st.integers(0, 5), seen=st.integers(0, 3))
    def put_if(self, key: str, value: int, seen: int) -> None:
        expected = self.revisions.get(key, 0) if seen else 10**6
        try:
            revision = self.db.put(key, value, if_revision=expected)
        except concord.PreconditionFailed:
            assert not seen
        else:
            assert seen
            self.noted(key, value, revision)

    @rule(items=st.dictionaries(KEYS, VALUES, max_size=5))
    def put_many(self, items: dict[str, Any]) -> None:
        assert self.db.put_many(items).check().done == list(items)
        self.kept |= items
        for key in items:
            entry = self.db.entry(key)
            assert entry is not None
            self.revisions[key] = entry.revision
            self.newest = max(self.newest, entry.revision)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.db.delete(key) == (key in self.kept)
        self.kept.pop(key, None)
        self.revisions.pop(key, None)

    @rule(key=KEYS)
    def increment(self, key: str) -> None:
        before = self.kept.get(key, 0)
        if isinstance(before, int):
            assert self.db.increment(key) == before + 1
            self.kept[key] = before + 1
            entry = self.db.entry(key)
            assert entry is not None
            self.revisions[key] = entry.revision

    @rule()
    def snapshot(self) -> None:
        self.engine.snapshot()

    @rule(cleanly=st.booleans())
    def open_again(self, cleanly: bool) -> None:  # noqa: FBT001 - drawn
        if cleanly:
            self.db.close()
        else:  # as if killed: nothing of this process is heard of any more
            self.engine.forked()
        self.open()

    @invariant()
    def all_is_there(self) -> None:
        assert {entry.key: entry.value for entry in self.db.scan()} == self.kept
        assert {key: self.db.get(key) for key in self.kept} == self.kept

    def teardown(self) -> None:
        self.db.close()
        shutil.rmtree(self.folder)


TestStoreUse = StoreUse.TestCase
TestStoreUse.settings = settings(deadline=None, derandomize=True, max_examples=6, stateful_step_count=20)
