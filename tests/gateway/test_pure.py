"""The pure parts: paths, bodies, merge, router, operation ids, retries."""

import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bodies import parse_put
from gateway.data_limits import DataLimits
from gateway.errors import ApiError
from gateway.fanout import place, select, split
from gateway.kv import decode_cursor, encode_cursor
from gateway.listing import GROUP_BYTES_MIN, ListQuery, Merge
from gateway.operation_ids import OperationIds
from gateway.paths import Shape, decode_key, parse
from gateway.retries import Step, conclude, step_after
from gateway.router import NO_GROUP, Router
from tests.gateway.double import FakeCluster
from wire.errors import Applied, Code, Failure
from wire.json_depth import is_too_deep
from wire.messages import (
    UNKNOWN_AGE_MS,
    Consistency,
    Delete,
    ItemResult,
    ListEntry,
    ListReply,
    OperationId,
    Put,
    PutItem,
    Status,
    Touch,
    TouchItem,
)
from wire.operations import keys_of

LIMITS = DataLimits()
quick = settings(deadline=None, derandomize=True)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@quick
@given(keys)
def test_every_key_has_a_path_that_names_it_for_every_method(key: str) -> None:
    path = b"/api/v1/kv/" + quote(key, safe="").encode()
    for method in ("GET", "PUT", "DELETE"):
        target = parse(method, path.replace(b"bulk", b"%62ulk"))
        if target.shape is Shape.KEY:
            assert decode_key(target.rest, LIMITS) == key
    touch = parse("POST", path + b"/touch")
    assert touch.shape is Shape.BULK or decode_key(touch.rest, LIMITS) == key
    ttl = parse("GET", path + b"/ttl")
    assert (ttl.shape, decode_key(ttl.rest, LIMITS)) == (Shape.TTL, key)


@quick
@given(keys)
def test_slashes_may_stand_as_they_are_in_a_path(key: str) -> None:
    target = parse("PUT", b"/api/v1/kv/" + quote(key, safe="/").encode())
    assert (target.shape, decode_key(target.rest, LIMITS)) == (Shape.KEY, key)


@quick
@given(st.binary(max_size=60))
def test_any_bytes_in_a_path_are_a_key_or_an_api_error(raw: bytes) -> None:
    try:
        key = decode_key(raw, LIMITS)
    except ApiError:
        return
    assert 0 < len(key.encode()) <= 1024


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@quick
@given(json_values, st.booleans(), st.sampled_from([None, 2]))
def test_every_json_value_is_kept_byte_for_byte(value: Any, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001 - drawn by hypothesis
    try:
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return
    if b"\\ud" in text and not _is_unicode(json.loads(text)):
        return
    assert parse_put("k", b'{"value": ' + text + b" }", LIMITS).value == text


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


fragments = st.sampled_from(
    [
        *'{}[],:" \\',
        "0",
        "1",
        "-",
        ".",
        "e",
        "+",
        "true",
        "null",
        '"a"',
        '"value"',
        "\\u",
        "00e9",
        "\n",
        "\t",
        "é",
        "\x00",
    ]
)


@settings(quick, max_examples=500)
@given(st.lists(fragments, max_size=12).map("".join))
def test_the_parser_takes_exactly_the_json_that_the_json_module_takes(text: str) -> None:
    body = b'{"value":' + text.encode() + b"}"
    try:
        expected = json.loads(body, parse_constant=_refuse, object_pairs_hook=list)
        is_good = [name for name, _ in expected] == ["value"] and _is_unicode(expected)
    except ValueError:
        is_good = False
    try:
        parse_put("k", body, LIMITS)
        is_taken = True
    except ApiError:
        is_taken = False
    assert is_taken == is_good


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@settings(quick, max_examples=40)
@given(
    st.recursive(st.just(0) | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))
)
def test_depth_is_counted_as_levels_of_arrays_and_objects(value: Any) -> None:
    for levels in (63, 64, 65):
        padded = value
        while _depth(padded) < levels:
            padded = [padded, [], {}]
        assert is_too_deep(json.dumps(padded).encode(), 64) == (_depth(padded) > 64)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@quick
@given(
    names=st.sets(st.text(st.sampled_from("abé/"), min_size=1, max_size=5), max_size=40),
    groups=st.integers(1, 5),
    limit=st.integers(1, 12),
    page=st.integers(1, 4),
    prefix=st.sampled_from(["", "a", "b/"]),
    bytes_max=st.sampled_from([1, 200, 1 << 20]),
)
def test_pages_of_all_groups_merge_to_the_sorted_keys(
    *, names: set[str], groups: int, limit: int, page: int, prefix: str, bytes_max: int
) -> None:
    held = {group: sorted(n for n in names if hash_of(n) % groups == group) for group in range(groups)}
    seen: list[str] = []
    while True:
        merge = Merge(ListQuery(prefix, seen[-1] if seen else "", limit), list(held), bytes_max)
        while wanted := merge.wanted():
            for ask in wanted:
                merge.feed(ask.group, _page(held[ask.group], ask.prefix, ask.after, min(page, ask.limit)))
            merge.advance()
        assert len(merge.page) <= limit
        seen += [entry.key for entry in merge.page]
        if not merge.more:
            break
        assert merge.page
    assert seen == sorted(n for n in names if n.startswith(prefix))


def hash_of(name: str) -> int:
    return sum(name.encode())


def _page(held: list[str], prefix: str, after: str, limit: int) -> ListReply:
    found = [n for n in held if n.startswith(prefix) and n > after]
    return ListReply([ListEntry(n, 1) for n in found[:limit]], len(found) > limit, 1)


def test_a_group_that_has_more_but_gives_nothing_is_a_defect_not_an_endless_loop() -> None:
    merge = Merge(ListQuery("", "", 10), [1], LIMITS.list_bytes)
    with pytest.raises(ValueError, match="group 1"):
        merge.feed(1, ListReply([], more=True, revision=1))


@pytest.mark.parametrize("groups", [1, 3, 8, 64, 1024])
def test_all_groups_together_are_asked_for_little_more_than_a_page(groups: int) -> None:
    bytes_max = LIMITS.list_bytes
    wanted = Merge(ListQuery("", "", 1000, with_values=True), range(groups), bytes_max).wanted()
    assert len(wanted) == groups
    assert sum(ask.bytes_max for ask in wanted) <= max(2 * bytes_max, groups * GROUP_BYTES_MIN)
    assert all(0 < ask.bytes_max <= bytes_max for ask in wanted)


def test_a_stale_page_of_a_node_that_says_no_age_counts_as_older_than_any_other() -> None:
    older = msgspec.msgpack.decode(msgspec.msgpack.encode([[["a", 1]], False, 1]), type=ListReply)
    for consistency, age_ms in ((Consistency.STALE, UNKNOWN_AGE_MS), (Consistency.LINEARIZABLE, 0)):
        merge = Merge(ListQuery("", "", 10, consistency=consistency), [1, 2], LIMITS.list_bytes)
        merge.feed(1, older)
        merge.feed(2, ListReply([], more=False, revision=1, age_ms=0))
        assert merge.age_ms == age_ms


@quick
@given(keys.filter(lambda key: len(key.encode()) <= 1024))
def test_a_cursor_gives_its_key_back(key: str) -> None:
    assert decode_cursor(encode_cursor(key)) == key


@quick
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30))
def test_split_keeps_the_order_within_a_group_and_place_puts_results_back(names: list[str]) -> None:
    put = Put([PutItem(name, b"%d" % position) for position, name in enumerate(names)])
    parts = split(names, range(len(names)), lambda key: ord(key) % 3)
    outcomes: list[ItemResult | Failure] = [ItemResult(Status.NOT_FOUND)] * len(names)
    for part in parts:
        chosen = select(put, part.positions)
        assert keys_of(chosen) == [names[position] for position in sorted(part.positions)]
        place(outcomes, part.positions, [ItemResult(Status.OK, position) for position in part.positions])
    assert outcomes == [ItemResult(Status.OK, position) for position in range(len(names))]


def test_select_works_for_every_operation() -> None:
    assert select(Delete(["a", "b", "c"]), [0, 2]) == Delete(["a", "c"])
    assert select(Touch([TouchItem("a", 1), TouchItem("b", 2)]), [1]) == Touch([TouchItem("b", 2)])


@quick
@given(st.lists(st.booleans(), max_size=60), st.randoms(use_true_random=False))
def test_the_floor_is_the_oldest_write_under_way(begins: list[bool], rng: Any) -> None:
    ids = OperationIds(7)
    under_way: dict[int, OperationId] = {}
    for begin in begins:
        if begin or not under_way:
            operation = ids.begin(3)
            under_way[operation.sequence] = operation
            assert operation.session == 7
            assert operation.floor == min(under_way)
            assert operation.sequence == max(under_way)
        else:
            ids.end(3, under_way.pop(rng.choice(sorted(under_way))))


def test_sequences_of_groups_are_counted_apart() -> None:
    ids = OperationIds(7)
    assert [ids.begin(group).sequence for group in (1, 2, 1, 2, 3)] == [1, 1, 2, 2, 1]


def test_a_router_knows_nothing_before_its_first_map() -> None:
    router = Router()
    assert (router.epoch, router.complete, router.group_of("a"), router.leader(1)) == (0, False, NO_GROUP, "")


def test_a_router_sends_keys_where_the_map_says_and_remembers_leaders_of_known_replicas_only() -> None:
    cluster, router = FakeCluster(), Router()
    router.update(cluster.map)
    assert router.complete
    assert {key: router.group_of(key) for key in "abc"} == {key: cluster.group_of(key) for key in "abc"}
    assert router.leader(1) == "n1"
    router.learn(1, "n9")
    assert router.leader(1) == "n1"
    router.learn(1, "n2")
    router.update(cluster.map)
    assert router.leader(1) == "n2"
    smaller = msgspec.structs.replace(cluster.map, groups=[group for group in cluster.map.groups if group.id != 1])
    router.update(smaller)
    assert router.leader(1) == ""


def test_a_wrong_guess_moves_on_once_and_passes_over_nodes_that_are_away() -> None:
    router = Router()
    router.update(FakeCluster().map)
    router.avoid(1, "n1", {"n1"})
    router.avoid(1, "n1", {"n1"})  # another request that failed with it
    assert router.leader(1) == "n2"
    router.avoid(1, "n2", {"n2", "n3"})
    assert router.leader(1) == "n1"
    router.avoid(1, "n1", {"n1", "n2", "n3"})
    assert router.leader(1) == "n2"


STEPS = [
    (Code.NOT_LEADER, "n2", False, Step.FOLLOW),
    (Code.NOT_LEADER, "", False, Step.ROTATE),
    (Code.WRONG_GROUP, "", False, Step.REROUTE),
    (Code.WRONG_GROUP, "", True, Step.ROTATE),
    (Code.OVERLOADED, "", False, Step.GIVE_UP),
    (Code.OVERLOADED, "", True, Step.STAY),
    (Code.INVALID, "", False, Step.GIVE_UP),
    (Code.TOO_LARGE, "", False, Step.GIVE_UP),
    (Code.TOO_LARGE, "", True, Step.GIVE_UP),
    (Code.INTERNAL, "", False, Step.GIVE_UP),
    (Code.INTERNAL, "", True, Step.ROTATE),
    (Code.UNAVAILABLE, "", False, Step.ROTATE),
    (Code.UNKNOWN, "", True, Step.ROTATE),
    (Code.TIMEOUT, "", False, Step.ROTATE),
]


@pytest.mark.parametrize(("code", "leader", "ambiguous", "step"), STEPS)
def test_each_failure_has_its_step(code: Code, leader: str, *, ambiguous: bool, step: Step) -> None:
    assert step_after(Failure(code, "", leader=leader), ambiguous=ambiguous) is step


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("timed_out", [True, False])
def test_a_call_is_unknown_exactly_when_an_attempt_was(code: Code, *, timed_out: bool) -> None:
    last = Failure(code, "m", Applied.UNKNOWN)
    assert conclude(last, ambiguous=True, timed_out=timed_out).applied is Applied.UNKNOWN
    assert conclude(last, ambiguous=False, timed_out=timed_out).applied is Applied.NO


def test_no_time_for_an_attempt_is_a_timeout() -> None:
    assert conclude(None, ambiguous=False, timed_out=True).code is Code.TIMEOUT
