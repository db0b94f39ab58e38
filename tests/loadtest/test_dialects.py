"""The same operation is said to both systems, and success is told from failure."""

import base64
import random
from argparse import Namespace
from collections import Counter

import msgspec
import pytest

from loadtest.bench import chosen
from loadtest.dialects import ConcordDialect, Dialect, EtcdDialect, Expectation, Operation, Request
from loadtest.workloads import (
    BULK_ITEMS,
    MIXES,
    WORKLOADS,
    Keys,
    Workload,
    encoded_requests,
    in_batches,
    items,
    key_count,
    zipfian,
)

HEADER = b'"header":{"cluster_id":"1","member_id":"2","revision":"3","raft_term":"2"}'


def test_a_request_is_encoded_with_its_length_and_without_closing_the_connection() -> None:
    request = Request("PUT", "/x", b'{"value":1}')
    assert request.encoded("127.0.0.1:1") == (
        b"PUT /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
        b'{"value":1}'
    )
    assert Request("GET", "/x").encoded("h") == b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


def test_a_token_goes_with_every_request_and_is_not_there_without_one() -> None:
    for dialect, times in ((ConcordDialect("sk_x"), 1), (ConcordDialect(), 0)):
        for request in (dialect.put("a", "b"), dialect.get("a"), dialect.bulk([("a", "b")])):
            assert request.encoded("h").count(b"\r\nAuthorization: Bearer sk_x\r\n") == times


def test_a_zipfian_draw_prefers_few_keys_as_much_as_its_exponent_says() -> None:
    loaded = items(1000, random.Random(1))
    counts = sorted(Counter(zipfian(loaded, 100_000, random.Random(2))).values(), reverse=True)
    total = sum((rank + 1) ** -0.99 for rank in range(1000))
    assert counts[0] == pytest.approx(100_000 / total, rel=0.05)
    assert sum(counts[:100]) == pytest.approx(
        100_000 * sum((rank + 1) ** -0.99 for rank in range(100)) / total, rel=0.02
    )


@pytest.mark.parametrize(("mix", "reads"), MIXES.items())
def test_a_mix_has_its_share_of_reads(mix: str, reads: float) -> None:
    workload = Workload(Operation.MIX, 8, keys=Keys.ZIPFIAN, mix=mix)
    requests = encoded_requests(workload, ConcordDialect(), "h", items(50, random.Random(1)), random.Random(3))
    assert sum(request.startswith(b"GET") for request in requests) / len(requests) == pytest.approx(reads, abs=0.01)


def test_large_values_have_their_size_and_fewer_keys() -> None:
    assert {len(text) for _, text in items(3, random.Random(1), size=10_000)} == {10_000}
    assert [key_count(size) for size in (100, 1_000, 10_000)] == [10_000, 10_000, 1_000]


def test_a_part_of_the_matrix_can_be_chosen() -> None:
    options = Namespace(operations=["put", "A"], connections=[64], value_bytes=[100], keys=["zipfian"])
    assert [(each.name, each.connections) for each in chosen(options)] == [("put", 64), ("YCSB A", 64)]


def test_etcd_gets_keys_and_values_in_base64() -> None:
    request = EtcdDialect().bulk([("a", "b")])
    put = msgspec.json.decode(request.body)["success"][0]["request_put"]
    assert (base64.b64decode(put["key"]), base64.b64decode(put["value"])) == (b"a", b"b")


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (ConcordDialect(), b'{"status":"ok","data":{"value":"abc"}}'),
        (EtcdDialect(), b'{%b,"kvs":[{"key":"eA==","value":"YWJj"}],"count":"1"}' % HEADER),
    ],
)
def test_a_read_that_finds_its_key_is_a_success_with_a_value(dialect: Dialect, body: bytes) -> None:
    assert dialect.expectation(Operation.GET, 1).holds(body)
    assert dialect.value(body) == "abc"


@pytest.mark.parametrize(
    ("dialect", "operation", "items", "body"),
    [
        (ConcordDialect(), Operation.PUT, 1, b'{"status":"ok","data":{"revision":9}}'),
        (ConcordDialect(), Operation.BULK, 2, b'{"status":"ok","data":[%b]}' % b",".join([b'{"status":"ok"}'] * 2)),
        (EtcdDialect(), Operation.PUT, 1, b"{%b}" % HEADER),
        (EtcdDialect(), Operation.BULK, 2, b'{"succeeded":true,"responses":[{"response_put":{}},{"response_put":{}}]}'),
    ],
)
def test_a_write_that_was_done_is_a_success(dialect: Dialect, operation: Operation, items: int, body: bytes) -> None:
    assert dialect.expectation(operation, items).holds(body)


@pytest.mark.parametrize(
    ("dialect", "operation", "body"),
    [
        (ConcordDialect(), Operation.GET, b'{"status":"error","error":{"code":"NOT_FOUND"}}'),
        (ConcordDialect(), Operation.PUT, b'{"status":"error","error":{"code":"TIMEOUT"}}'),
        (ConcordDialect(), Operation.BULK, b'{"status":"ok","data":[{"status":"ok"},{"status":"error"}]}'),
        (EtcdDialect(), Operation.GET, b"{%b}" % HEADER),
        (EtcdDialect(), Operation.PUT, b'{"error":"etcdserver: request timed out","code":14}'),
        (EtcdDialect(), Operation.BULK, b'{"error":"etcdserver: too many operations in txn request","code":3}'),
    ],
)
def test_a_failure_is_no_success_whatever_its_status(dialect: Dialect, operation: Operation, body: bytes) -> None:
    assert not dialect.expectation(operation, 2 if operation is Operation.BULK else 1).holds(body)


def test_an_expectation_counts_exactly() -> None:
    assert [Expectation("ok", 2).holds(b"ok" * count) for count in range(4)] == [False, False, True, False]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: f"{workload.name} {workload.connections}")
@pytest.mark.parametrize("dialect", [ConcordDialect(), EtcdDialect()], ids=["concord", "etcd"])
def test_requests_are_the_same_from_the_same_seed(dialect: Dialect, workload: Workload) -> None:
    loaded = items(600, random.Random(1))
    first, second = (encoded_requests(workload, dialect, "h", loaded, random.Random(7)) for _ in range(2))
    assert first == second


def test_a_bulk_has_distinct_keys_because_etcd_refuses_a_key_twice() -> None:
    loaded = items(BULK_ITEMS + 5, random.Random(1))
    workload = Workload(Operation.BULK, 8, BULK_ITEMS)
    for request in encoded_requests(workload, ConcordDialect(), "h", loaded, random.Random(7)):
        operations = msgspec.json.decode(request.partition(b"\r\n\r\n")[2])["operations"]
        assert len({operation["key"] for operation in operations}) == BULK_ITEMS


def test_values_have_a_hundred_bytes_and_keys_are_distinct() -> None:
    loaded = items(300, random.Random(1))
    assert {len(value.encode()) for _, value in loaded} == {100}
    assert len({key for key, _ in loaded}) == 300


def test_batches_hold_everything_once_and_in_order() -> None:
    loaded = items(25, random.Random(1))
    batches = in_batches(loaded, 10)
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [item for batch in batches for item in batch] == loaded
