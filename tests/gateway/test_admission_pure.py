"""The deciding parts of self-protection: shares, addresses, wrong tokens, slow bodies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.addresses import client_address, parse_networks, party
from gateway.errors import ApiCode, ApiError
from gateway.limits import Admission, HttpLimits, Place, answer_due_s, body_due_s
from gateway.logins import FailedLogins
from gateway.shares import Shares

NAMES = st.sampled_from(["", "a", "b", "c"])


@given(st.lists(st.tuples(NAMES, st.integers(0, 5), st.booleans())), st.integers(1, 8))
def test_no_share_is_ever_over_its_limit_and_what_is_given_back_is_forgotten(
    steps: list[tuple[str, int, bool]], limit: int
) -> None:
    shares, held = Shares(limit), dict[str, list[int]]()
    for name, amount, gives_back in steps:
        if gives_back and held.get(name):
            shares.give_back(name, held[name].pop())
        elif shares.take(name, amount):
            held.setdefault(name, []).append(amount)
        else:
            assert name
            assert sum(held.get(name, [])) + amount > limit
        for each in "abc":
            assert shares.of(each) == sum(held.get(each, [])) <= limit
    assert len(shares) == sum(1 for each in "abc" if sum(held.get(each, [])))


LIMITS = HttpLimits(
    requests_in_flight=4,
    requests_per_token=2,
    requests_per_address=3,
    bytes_in_flight=100,
    bytes_per_token=50,
    bytes_per_address=70,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "token", "reserve", "hold", "release", "leave"]),
        st.integers(0, 5),
        NAMES,
        st.integers(0, 60),
    ),
    max_size=60,
)


@given(STEPS)
def test_admission_counts_exactly_what_is_under_way_whatever_is_refused(
    steps: list[tuple[str, int, str, int]],
) -> None:
    refused: list[str] = []
    admission, places, bare = Admission(LIMITS, refused.append), list[Place](), list[int]()
    reserved: dict[Place, int] = {}
    codes: list[ApiCode] = []
    for action, which, name, size in steps:
        place = places[which % len(places)] if places else None
        try:
            if action == "enter":
                places.append(admission.enter(name))
            elif place is None:
                continue
            elif action == "token" and not place.token and not reserved.get(place):
                place.name_token(name)
            elif action == "reserve":
                place.reserve(size)
                reserved[place] = reserved.get(place, 0) + size
            elif action == "hold":
                place.hold(size)
                reserved[place] = reserved.get(place, 0) + size
                bare.append(size)
            elif action == "release":
                place.release()
                reserved.pop(place, None)
            elif action == "leave":
                place.leave()
                reserved.pop(place, None)
                places.remove(place)
        except ApiError as error:
            codes.append(error.code)
        assert admission.requests == len(places) <= 4
        assert admission.bytes == sum(reserved.values()) <= 100 + sum(bare)
        for each in "abc":
            assert sum(one.address == each for one in places) <= 3
            assert sum(one.token == each for one in places) <= 2
    full, too_many = ApiCode.CLUSTER_UNAVAILABLE, ApiCode.TOO_MANY_REQUESTS
    assert codes == [full if limit == "gateway" else too_many for limit in refused]
    for place in places:
        place.leave()
    assert (admission.requests, admission.bytes, admission.parties) == (0, 0, 0)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 3)), max_size=80), st.integers(1, 4), st.integers(1, 3)
)
def test_wrong_tokens_are_allowed_at_most_so_often_and_remembered_in_bounded_memory(
    guesses: list[tuple[str, float]], burst: int, entries_max: int
) -> None:
    logins, now, allowed = FailedLogins(burst, 1.0, entries_max), 0.0, list[float]()
    for name, pause_s in guesses:
        now += pause_s
        wait_s = logins.failed(name, now)
        assert 0 <= wait_s <= 1.0 + 1e-6
        assert len(logins) <= entries_max
        if name == "a" and not wait_s:
            allowed.append(now)
    if entries_max >= 6 or all(name == "a" for name, _ in guesses):
        for first, start in enumerate(allowed):
            in_window = sum(start <= moment <= start + 2.0 for moment in allowed[first:])
            assert in_window <= burst + 2


def test_an_address_that_was_wrong_too_often_is_told_when_it_may_be_wrong_again() -> None:
    logins = FailedLogins(3, 2.0)
    assert [logins.failed("a", 10.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert logins.failed("a", 10.0) == pytest.approx(2.0)
    assert logins.failed("a", 11.5) == pytest.approx(0.5)
    assert logins.failed("b", 11.5) == 0.0
    assert logins.failed("a", 12.0) == 0.0
    assert logins.failed("a", 12.0) > 0.0
    assert logins.failed("c", 1000.0) == 0.0
    assert len(logins) == 1  # a and b have nothing to wait for any more


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", b"198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the first was written by the client itself
        ("10.0.0.1", b"203.0.113.7, 10.0.0.2", "203.0.113.7"),  # two proxies of ours
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", b"203.0.113.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", b"nonsense, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", b"2001:db8::5", "2001:db8::5"),
        ("10.0.0.1", b"1.1.1.1," + b"10.0.0.2," * 40 + b"10.0.0.2", "10.0.0.2"),  # no more than so many hops
        ("::ffff:10.0.0.1", b"203.0.113.7", "203.0.113.7"),
        ("192.0.2.1", b"203.0.113.7", "192.0.2.1"),  # no proxy of ours: what it says does not count
        ("", b"203.0.113.7", ""),
    ],
)
def test_x_forwarded_for_counts_as_far_as_trusted_proxies_wrote_it(
    peer: str, forwarded: bytes | None, expected: str
) -> None:
    assert client_address(peer, forwarded, parse_networks(["10.0.0.0/8"])) == expected
    assert client_address(peer, forwarded, ()) == peer


@given(st.binary(max_size=200))
def test_no_header_breaks_the_reading_of_addresses(forwarded: bytes) -> None:
    trusted = parse_networks(["10.0.0.0/8"])
    assert client_address("192.0.2.1", forwarded, trusted) == "192.0.2.1"
    assert party(client_address("10.0.0.1", forwarded, trusted))


def test_a_party_is_an_address_or_a_network_of_ipv6() -> None:
    assert party("192.0.2.1") == party("::ffff:192.0.2.1") == "192.0.2.1"
    assert party("2001:db8:1:2:3::4") == party("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert party("2001:db8:1:3::") != party("2001:db8:1:2::")
    assert party("") == party("unix") == party("1" * 100) == ""


@given(st.integers(0, 8 << 20), st.integers(1, 1 << 16))
def test_more_of_a_body_never_shortens_the_time_for_the_rest_and_all_of_it_has_an_end(received: int, more: int) -> None:
    limits = HttpLimits()
    assert body_due_s(limits, 0) == limits.body_grace_s
    assert body_due_s(limits, received) <= body_due_s(limits, received + more) <= limits.body_s_max
    assert answer_due_s(limits, received) < answer_due_s(limits, received + more)
