"""Overload: the limit of a late gateway, and how refusals are spaced."""

import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import HttpLimits
from gateway.throttle import RefusalPace, Throttle, ThrottlePace
from tests.gateway.double import Client, Fault, run
from wire.messages import ReadRequest

PACE = ThrottlePace(requests_min=10, delay_s_max=0.02, window=5, fall=0.5, climb=4)
LATE, IN_TIME = 0.05, 0.001


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 5000))), st.integers(1, 2048))
def test_the_limit_stays_between_its_bounds(looks: list[tuple[float, int]], requests_max: int) -> None:
    throttle = Throttle(requests_max, PACE)
    for delay_s, under_way in looks:
        throttle.observe(delay_s, under_way)
        assert min(10, requests_max) <= throttle.limit <= requests_max


def test_the_limit_falls_while_the_loop_is_late_and_comes_back_afterwards() -> None:
    throttle = Throttle(1000, PACE)
    for _ in range(5):
        throttle.observe(LATE, 400)
    assert throttle.limit == 200  # from what was under way, not from a limit that nobody had reached
    for _ in range(5 * 10):
        throttle.observe(LATE, 400)
    assert throttle.limit == 10
    for _ in range(300):
        throttle.observe(IN_TIME, 10)
    assert throttle.limit == 1000


@given(st.lists(st.booleans(), max_size=200))
def test_pauses_that_are_no_queue_change_nothing(pauses: list[bool]) -> None:
    throttle = Throttle(1000, PACE)
    for pause in pauses:
        for delay_s in (LATE * 100 if pause else IN_TIME, LATE * 100 if pause else IN_TIME, *[IN_TIME] * 3):
            throttle.observe(delay_s, 1000)
            assert throttle.limit == 1000


@given(st.lists(st.floats(0, 0.01), min_size=1, max_size=300), st.integers(1, 50))
def test_refusals_are_spaced_in_order_and_never_held_longer_than_said(pauses_s: list[float], burst: int) -> None:
    pace, now, sent = RefusalPace(100.0, burst, 0.5), 0.0, list[float]()
    for pause_s in pauses_s:
        now += pause_s
        hold_s = pace.hold_s(now)
        assert 0 <= hold_s <= 0.5
        sent.append(now + hold_s)
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(sent))


def test_few_refusals_are_sent_at_once() -> None:
    pace = RefusalPace(100.0, 10, 0.5)
    assert [pace.hold_s(5.0) for _ in range(11)] == [0.0] * 11
    assert pace.hold_s(5.0) > 0
    assert pace.hold_s(6.0) == 0.0


def test_a_late_gateway_lets_fewer_in_and_still_answers_probes() -> None:
    async def scenario(client: Client) -> None:
        admission = client.gateway.dispatcher.admission
        for _ in range(100):
            admission.throttle.observe(10.0, 0)
        least = admission.throttle.limit
        assert least < HttpLimits().requests_in_flight
        client.cluster.faults += [Fault(None, request=ReadRequest) for _ in range(least)]
        held = [asyncio.create_task(client.send("GET", "/api/v1/kv/a")) for _ in range(least)]
        await asyncio.sleep(0)
        for target in ("/api/v1/kv/a", "/no/such/route"):
            refused = await client.send("GET", target)
            assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "CLUSTER_UNAVAILABLE", "1")
            assert refused.json["error"]["applied"] is False
        for target in ("/livez", "/api/v1/health", "/metrics"):
            assert (await client.send("GET", target)).status == 200
        for task in held:
            assert (await task).status == 404
        assert (await client.send("GET", "/api/v1/kv/a")).status == 404

    run(scenario)


def test_the_gateway_looks_how_late_it_is() -> None:
    async def scenario(client: Client) -> None:
        throttle = client.gateway.dispatcher.admission.throttle
        throttle.limit = 1000
        while throttle.limit == 1000:  # noqa: ASYNC110 - it climbs while the loop is in time
            await asyncio.sleep(0.01)

    run(scenario, started=True)
