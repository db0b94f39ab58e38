"""Service discovery against a dict of instances: they are keys that live as long as they are touched."""

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tests.shard.models.replicas import IN_THE_SUITE, NOT_FOUND, STEPS_MS, TTLS_MS, Cell, Cells
from wire.messages import Delete, Put, PutItem, Touch, TouchItem

SERVICES = ["api", "api2", "mail"]
INSTANCES = st.tuples(st.sampled_from(SERVICES), st.sampled_from(["1", "2", "é"])).map("services/{0[0]}/{0[1]}".format)
ADDRESSES = st.sampled_from([b'{"address":"10.0.0.1","port":80}', b'{"address":"10.0.0.2","port":81}'])


class Services(Cells):
    @rule(step_ms=STEPS_MS, key=INSTANCES, address=ADDRESSES, ttl_ms=TTLS_MS)
    def register(self, step_ms: int, key: str, address: bytes, ttl_ms: int) -> None:
        self.now_ms += step_ms
        expected = self.done()
        self.cells[key] = Cell(address, self.next_index, self.due_ms(ttl_ms))
        assert self.write([Put([PutItem(key, address, "", ttl_ms)])]) == [[expected]]

    @rule(step_ms=STEPS_MS, key=INSTANCES, ttl_ms=TTLS_MS)
    def heartbeat(self, step_ms: int, key: str, ttl_ms: int) -> None:
        self.now_ms += step_ms
        cell, expected = self.alive(key), NOT_FOUND
        if cell is not None:
            self.cells[key] = cell._replace(revision=self.next_index, due_ms=self.due_ms(ttl_ms))
            expected = self.done()
        assert self.write([Touch([TouchItem(key, ttl_ms)])]) == [[expected]]

    @rule(step_ms=STEPS_MS, key=INSTANCES)
    def deregister(self, step_ms: int, key: str) -> None:
        self.now_ms += step_ms
        expected = self.done() if self.alive(key) else NOT_FOUND
        self.cells.pop(key, None)
        assert self.write([Delete([key])]) == [[expected]]

    @invariant()
    def a_service_lists_the_living_and_no_other(self) -> None:
        for service in SERVICES:
            prefix = f"services/{service}/"
            living = {key: cell.value for key in self.cells if key.startswith(prefix) and (cell := self.alive(key))}
            for replica in (self.log.machine, self.second):
                page = replica.page(prefix, "", 1_000, self.now_ms, with_values=True)
                assert [(entry.key, entry.value) for entry in page.entries] == sorted(living.items())

    @rule(later_ms=STEPS_MS)
    def look_by_a_later_time(self, later_ms: int) -> None:
        """A reader's time may be ahead of the last entry's: then it is its own that counts, and the ttl left is by it."""
        now_ms = self.now_ms + later_ms
        living = {key: cell.due_ms for key, cell in self.cells.items() if cell.due_ms > now_ms}
        page = self.second.page("services/", "", 1_000, now_ms, with_values=False)
        assert {entry.key: entry.ttl_ms for entry in page.entries} == {
            key: max(due_ms - 1 - now_ms, 1) for key, due_ms in living.items()
        }
        assert page.due == any(self.now_ms < cell.due_ms <= now_ms for cell in self.cells.values())


TestServices = Services.TestCase
TestServices.settings = IN_THE_SUITE
