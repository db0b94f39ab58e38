from collections.abc import Callable

import pytest

from raft.interface import Refused
from shard.service import ShardService
from tests.shard.fakes import Answered, Listing, Read, ReplyT, RequestT, Write
from tests.shard.house import House
from wire import RpcServer
from wire.errors import Applied, Code
from wire.messages import (
    LIMIT_TTL_MS,
    LIMIT_VALUE_BYTES,
    Delete,
    ListReply,
    ListRequest,
    Operation,
    OperationId,
    Put,
    PutItem,
    Status,
    Touch,
    TouchItem,
    WriteReply,
    WriteRequest,
)
from wire.methods import AWAIT_LOCK, CHECKSUM, LIST, READ, WATCH, WRITE
from wire.rpc import Call, Method


class Handlers:
    """Stands in for the RPC server."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def on(self, method: Method[RequestT, ReplyT], handler: Callable[[Call[RequestT, ReplyT]], None]) -> None:
        assert callable(handler)
        self.methods.append(method.name)


def service() -> tuple[ShardService, House]:
    house = House()
    return ShardService({1: house.group}, Handlers()), house


def test_it_offers_the_data_methods_and_the_checksum() -> None:
    handlers = Handlers()
    ShardService({}, handlers)
    assert handlers.methods == [WRITE.name, READ.name, LIST.name, CHECKSUM.name, WATCH.name, AWAIT_LOCK.name]


def test_it_can_be_offered_by_the_real_server() -> None:
    ShardService({}, RpcServer())


def test_a_good_request_reaches_its_group() -> None:
    serving, house = service()
    write, read, listing = Write("a"), Read("a"), Listing()
    serving.write(write.call)
    house.scheduler.turn()
    house.replica.commit()
    serving.read(read.call)
    serving.page(listing.call)
    house.scheduler.turn()
    house.replica.grant()
    assert write.reply.results[0].status == read.reply.results[0].status == Status.OK
    assert [entry.key for entry in listing.reply.entries] == ["a"]


def test_a_group_that_is_not_hosted_here_is_unavailable() -> None:
    serving, _ = service()
    write, read = Write("a", group=2), Read("a", group=2)
    serving.write(write.call)
    serving.read(read.call)
    for answered in (write, read):
        assert (answered.failure.code, answered.failure.applied) == (Code.UNAVAILABLE, Applied.NO)


@pytest.mark.parametrize(
    "operation",
    [
        Put([]),
        Delete([]),
        Touch([]),
        Put([PutItem("k", b"")] * 501),
        Delete(["k"] * 501),
        Delete([""]),
        Put([PutItem("k" * 1025, b"")]),
        Put([PutItem("é" * 513, b"")]),
        Put([PutItem("ok", b""), PutItem("", b"")]),
        Put([PutItem("k", bytes(LIMIT_VALUE_BYTES + 1))]),
        Put([PutItem("k", b"", "x" * 256)]),
        Put([PutItem("k", b"", "", 999)]),
        Put([PutItem("k", b"", "", -1)]),
        Put([PutItem("k", b"", "", LIMIT_TTL_MS + 1)]),
        Touch([TouchItem("k", 0)]),
        Touch([TouchItem("", 1_000)]),
        Touch([TouchItem("k", LIMIT_TTL_MS + 1)]),
    ],
)
def test_an_operation_that_breaks_a_limit_is_invalid_and_nothing_of_it_is_applied(operation: Operation) -> None:
    serving, house = service()
    write = Write(operation)
    serving.write(write.call)
    house.scheduler.turn()
    assert (write.failure.code, write.failure.applied, house.entries()) == (Code.INVALID, Applied.NO, [])


@pytest.mark.parametrize(
    "operation",
    [
        Put([PutItem("k" * 1024, bytes(LIMIT_VALUE_BYTES), "x" * 255, LIMIT_TTL_MS)]),
        Put([PutItem("é" * 512, b"", "", 1_000)] * 500),
        Touch([TouchItem("k", 1_000)]),
        Delete(["\x00"]),
    ],
)
def test_an_operation_at_the_limits_is_accepted(operation: Operation) -> None:
    serving, house = service()
    serving.write(Write(operation).call)
    house.scheduler.turn()
    assert house.entries() == [1]


def test_an_operation_over_the_limit_of_bytes_or_with_a_wrong_id_is_invalid() -> None:
    serving, _ = service()
    wrong: list[Answered[WriteRequest, WriteReply]] = [
        Write("a", size=13 << 20),
        Answered(WriteRequest(1, OperationId(1, 3, 4), Delete(["k"]))),
        Answered(WriteRequest(1, OperationId(1, 3, -1), Delete(["k"]))),
    ]
    for write in wrong:
        serving.write(write.call)
        assert write.failure.code == Code.INVALID


def test_a_read_of_no_keys_asks_whether_the_group_serves_reads() -> None:
    serving, house = service()
    read, refused = Read(), Read()
    serving.read(read.call)
    house.scheduler.turn()
    house.replica.grant()
    assert read.reply.results == []
    serving.read(refused.call)
    house.scheduler.turn()
    house.replica.asked.pop()(Refused("n3"))
    assert refused.failure.code == Code.NOT_LEADER


def test_reads_and_lists_are_held_to_their_limits() -> None:
    serving, _ = service()
    for read in (Read(""), Read(*["k"] * 501), Read("k" * 1025)):
        serving.read(read.call)
        assert read.failure.code == Code.INVALID
    for request in (
        ListRequest(1, "", "", 0),
        ListRequest(1, "", "", 1001),
        ListRequest(1, "é" * 513, "", 5),
        ListRequest(1, "", "k" * 1025, 5),
    ):
        listing: Answered[ListRequest, ListReply] = Answered(request)
        serving.page(listing.call)
        assert listing.failure.code == Code.INVALID
