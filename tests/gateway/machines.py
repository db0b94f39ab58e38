"""A fake cluster whose groups are real state machines: for what the plain double does not know."""

from shard.machine import Entry, Machine, Own, encode, normalized, remaining_ms
from tests.gateway.double import FakeCluster
from wire.messages import (
    AwaitLockRequest,
    ItemResult,
    ListReply,
    ListRequest,
    ReadReply,
    ReadRequest,
    Status,
    WriteReply,
    WriteRequest,
)


class MachineCluster(FakeCluster):
    """Every write is an entry of its own at `now_ms`. A wait for a lock is answered at once."""

    def __init__(self, groups: int = 4) -> None:
        super().__init__(groups)
        self.now_ms = 1_000
        self.machines = {group: Machine() for group in self.groups}
        for slots in self.map.slots:
            own = Own(normalized([(slots.first, slots.last)]), 1)
            self.machines[slots.group].apply(1, 1, encode(Entry(self.now_ms, [], own)))
        self.index = 1

    def handle(self, node: str, request: object) -> object:
        if isinstance(request, AwaitLockRequest):
            self.calls.append((node, request))
            self._check_leader(node, request.group)
            result = self.machines[request.group].lock(request.name, request.owner, request.request)
            return WriteReply([result], self.index)
        return super().handle(node, request)

    def _write(self, request: WriteRequest) -> WriteReply:
        self.index += 1
        entry = Entry(self.now_ms, [(request.id, request.operation)])
        [reply] = self.machines[request.group].apply(self.index, 1, encode(entry))
        return reply

    def _read(self, request: ReadRequest) -> ReadReply:
        machine = self.machines[request.group]
        results = []
        for key in request.keys:
            record = machine.get(key)
            results.append(
                ItemResult(Status.NOT_FOUND)
                if record is None
                else ItemResult(
                    Status.OK, record.revision, record.value, record.content_type, remaining_ms(record, machine.now_ms)
                )
            )
        return ReadReply(results, self.index, 7 if request.consistency else 0)

    def _list(self, request: ListRequest) -> ListReply:
        machine = self.machines[request.group]
        page = machine.page(
            request.prefix,
            request.after,
            request.limit,
            machine.now_ms,
            with_values=request.with_values,
            bytes_max=request.bytes_max,
        )
        return ListReply(page.entries, page.more, self.index, 7 if request.consistency else 0)
