import asyncio

import pytest

from placement import MapHolder
from placement.maps import foreignness
from tests.placement.fakes import Time, call_of, map_of, node
from wire.messages import ClusterMap, NodeInfo, WatchMapRequest


def holder(time: Time, waiters_max: int = 8) -> MapHolder:
    return MapHolder("c", clock=time.clock, call_later=time.call_later, waiters_max=waiters_max)


def test_the_highest_epoch_wins_whatever_the_order() -> None:
    maps = holder(Time())
    assert maps.current == map_of(0)
    assert [maps.publish(map_of(epoch)) for epoch in (2, 1, 2, 3)] == [True, False, False, True]
    assert maps.current == map_of(3)


def test_a_map_of_another_cluster_is_never_taken() -> None:
    maps = holder(Time())
    assert not maps.publish(map_of(9, cluster="other"))
    assert maps.current.epoch == 0


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([node(1, incarnation="other"), node(2)], "node n1 has another data directory there"),
        ([node(7), node(8)], "none of the nodes that are known here is there"),
    ],
)
def test_a_map_of_another_cluster_of_the_same_name_is_never_taken(nodes: list[NodeInfo], why: str) -> None:
    maps = holder(Time())
    known = map_of(3, node(1), node(2))
    maps.publish(known)
    assert foreignness(known, map_of(9, *nodes)) == why
    assert not maps.publish(map_of(9, *nodes))
    assert maps.publish(map_of(9, node(1), node(2), node(3)))


def test_listeners_hear_each_newer_map_once() -> None:
    maps, heard = holder(Time()), list[int]()
    maps.subscribe(lambda newer: heard.append(newer.epoch))
    for epoch in (1, 1, 3, 2):
        maps.publish(map_of(epoch))
    assert heard == [1, 3]


def test_a_saved_map_is_known_after_a_restart_unless_it_is_another_clusters() -> None:
    saved: list[ClusterMap] = []
    first = MapHolder("c", save=saved.append)
    first.publish(map_of(4))
    assert MapHolder("c", load=saved.pop).current == map_of(4)
    assert MapHolder("c", load=lambda: map_of(4, cluster="other")).current == map_of(0)
    assert MapHolder("c", load=lambda: None).current == map_of(0)


def test_a_waiter_is_answered_when_a_newer_map_comes() -> None:
    time = Time()
    maps, answers = holder(time), list[int]()
    maps.publish(map_of(1))
    maps.wait(1, time.now + 5, lambda newer: answers.append(newer.epoch))
    maps.wait(2, time.now + 5, lambda newer: answers.append(newer.epoch))
    assert answers == []
    maps.publish(map_of(2))
    assert answers == [2]
    maps.publish(map_of(3))
    assert answers == [2, 3]
    time.advance(20)
    assert answers == [2, 3]


def test_a_waiter_gets_the_present_map_at_its_deadline_and_never_waits_over_the_cap() -> None:
    time = Time()
    maps, answers = holder(time), list[int]()
    maps.wait(0, time.now + 2, lambda newer: answers.append(newer.epoch))
    maps.wait(0, time.now + 3600, lambda newer: answers.append(newer.epoch))
    time.advance(2)
    assert answers == [0]
    time.advance(8)
    assert answers == [0, 0]
    assert maps.waiting == 0


def test_who_knows_less_is_answered_at_once() -> None:
    time = Time()
    maps, answers = holder(time), list[int]()
    maps.publish(map_of(5))
    maps.wait(4, time.now + 5, lambda newer: answers.append(newer.epoch))
    assert answers == [5]


def test_one_waiter_too_many_is_answered_at_once() -> None:
    time = Time()
    maps, answers = holder(time, waiters_max=1), list[int]()
    maps.wait(0, time.now + 5, lambda newer: answers.append(newer.epoch))
    maps.wait(0, time.now + 5, lambda newer: answers.append(newer.epoch))
    assert answers == [0]
    assert maps.waiting == 1


def test_close_answers_everyone() -> None:
    time = Time()
    maps, answers = holder(time), list[int]()
    maps.wait(0, time.now + 5, lambda newer: answers.append(newer.epoch))
    maps.close()
    assert answers == [0]


def test_watch_map_is_a_long_poll_that_respects_the_callers_deadline() -> None:
    time = Time()
    maps = holder(time)
    call, desk = call_of(WatchMapRequest(epoch=0, wait_ms=3000), deadline=time.now + 1)
    maps.watch(call)
    assert desk.replies == []
    time.advance(1)
    assert desk.replies == [map_of(0)]


def test_the_holder_works_on_a_real_loop() -> None:
    async def scenario() -> ClusterMap:
        maps = MapHolder("c")
        newer: asyncio.Future[ClusterMap] = asyncio.get_running_loop().create_future()
        maps.wait(0, asyncio.get_running_loop().time() + 5, newer.set_result)
        maps.publish(map_of(1))
        return await newer

    assert asyncio.run(scenario()).epoch == 1
