"""Locks, limits and services as calls and plans. Pure."""

import uuid
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from concord._calls import API, Call, post, quoted
from concord._core import Plan, Sleep
from concord._errors import Conflict, InvalidRequest, NotFound, Timeout
from concord._responses import Body, body_decoder, found, parsed
from concord._store import Store
from concord._transports import Request, Response

Algorithm: TypeAlias = Literal["fixed", "gcra"]
LOCK_WAIT_S_MAX = 30.0  # that a gateway lets anyone wait in one request
PERMIT_PAUSE_S_MIN = 0.01
WITHDRAWAL_TTL_S = 1
UNDO_S = 5.0


class Permit(msgspec.Struct, frozen=True):
    """What a rate limit said.

    Attributes:
        allowed: whether it was taken.
        remaining: what is left of the limit.
        reset_ms: until it is whole again.
        retry_after_ms: until what was asked for may be there; 0 when it was.
    """

    allowed: bool
    remaining: int
    reset_ms: int
    retry_after_ms: int = 0


class Instance(msgspec.Struct, frozen=True):
    """A living instance of a service: its name, where it is, what it said of itself, and the seconds it has left."""

    instance: str
    address: str = ""
    port: int = 0
    metadata: Any = None
    ttl: int | None = None
    revision: int = 0


class _Held(msgspec.Struct, frozen=True):
    fence: int
    ttl: int


_held = body_decoder(_Held)
_permit = body_decoder(Permit)
_instances = body_decoder(list[Instance])
_anything = msgspec.json.Decoder(dict[str, Any])


def new_owner() -> str:
    """A name that nobody else has: a thread or a task holds a lock, not a client."""
    return uuid.uuid4().hex


def _done(response: Response) -> None:
    parsed(_anything, response)


def lock_acquire(name: str, owner: str, ttl: int, wait_s: float) -> Call[int]:
    """Ask for a lock, waiting in its queue; the result is its fence. Its owner makes a repeat harmless."""
    body = {"owner": owner, "ttl": ttl, "wait_ms": int(wait_s * 1000)}
    target = f"{API}/locks/{quoted(name, 'name')}/acquire"

    def local(store: Store, timeout: float) -> int:
        return store.acquire_lock(name, owner, ttl, wait_s, timeout)

    return post(
        target,
        body,
        lambda response: parsed(_held, response).data.fence,
        wait_s=wait_s,
        local=local,
        undo=lambda store, fence: store.release_lock(name, owner, fence, UNDO_S),
    )


def lock_renew(name: str, owner: str, fence: int, ttl: int) -> Call[None]:
    """Hold a lock for longer."""

    def local(store: Store, timeout: float) -> None:
        store.renew_lock(name, owner, fence, ttl, timeout)

    body = {"owner": owner, "fence": fence, "ttl": ttl}
    return post(f"{API}/locks/{quoted(name, 'name')}/renew", body, _done, local=local)


def lock_release(name: str, owner: str, fence: int) -> Call[None]:
    """Give a lock back."""

    def local(store: Store, timeout: float) -> None:
        store.release_lock(name, owner, fence, timeout)

    return post(f"{API}/locks/{quoted(name, 'name')}/release", {"owner": owner, "fence": fence}, _done, local=local)


def withdraw_lock(name: str, owner: str) -> Plan[None]:
    """Give back what an acquisition that nobody waits for any more may have got.

    Its fence is not known, but whoever holds a lock is told it again. One that nobody held is taken, for a second at most.
    """
    try:
        fence: int = yield lock_acquire(name, owner, WITHDRAWAL_TTL_S, 0.0)
        yield lock_release(name, owner, fence)
    except Conflict:
        return


class Grant(msgspec.Struct, frozen=True):
    """A lock that was got, and when the request that it is sure from was sent."""

    fence: int
    sent_at: float


def take_lock(name: str, owner: str, ttl: int, *, wait_s: float | None, clock: Callable[[], float]) -> Plan[Grant]:
    """Ask until the lock is there, or `wait_s` (None: for ever) has passed.

    It may have been granted at any time since the request was sent; when that is long ago, it is renewed first.

    Raises:
        Conflict: another has it still.
    """
    until = None if wait_s is None else clock() + wait_s
    while True:
        left_s = LOCK_WAIT_S_MAX if until is None else min(LOCK_WAIT_S_MAX, max(0.0, until - clock()))
        sent_at = clock()
        try:
            fence: int = yield lock_acquire(name, owner, ttl, left_s)
        except Conflict:
            if until is not None and clock() >= until:
                raise
            continue
        if clock() - sent_at > ttl / 4:
            sent_at = clock()
            try:
                yield lock_renew(name, owner, fence, ttl)
            except Conflict:
                continue  # it was granted, and ran out before the answer was here
        return Grant(fence, sent_at)


def limit_acquire(name: str, limit: int, window: int, *, cost: int, algorithm: Algorithm) -> Call[Permit]:
    """Take something out of a limit."""
    body = {"limit": limit, "window": window, "cost": cost, "algorithm": algorithm}
    target = f"{API}/limits/{quoted(name, 'name')}/acquire"

    def local(store: Store, timeout: float) -> Permit:
        return store.take(name, limit=limit, window=window, cost=cost, algorithm=algorithm, timeout=timeout)

    return post(target, body, lambda response: parsed(_permit, response).data, is_write=True, local=local)


def wait_for_permit(call: Call[Permit], *, wait_s: float | None, clock: Callable[[], float]) -> Plan[Permit]:
    """Take something out of a limit as soon as it is there; `wait_s` None waits for ever.

    Raises:
        Timeout: it will not be there in time.
    """
    until = None if wait_s is None else clock() + wait_s
    while True:
        permit: Permit = yield call
        if permit.allowed:
            return permit
        pause_s = max(PERMIT_PAUSE_S_MIN, permit.retry_after_ms / 1000)
        if until is not None and clock() + pause_s > until:
            raise Timeout(f"the limit gives nothing for another {pause_s:.3f} s")
        yield Sleep(pause_s)


def instance_target(service: str, instance: str, rest: str = "") -> str:
    """The path of an instance."""
    return f"{API}/services/{quoted(service, 'service')}/{quoted(instance, 'instance')}{rest}"


def register(service: str, instance: Instance, ttl: int) -> Call[None]:
    """Set an instance."""
    if not instance.instance:
        raise InvalidRequest("instance: it needs a name")
    body = {"address": instance.address, "port": instance.port, "metadata": instance.metadata, "ttl": ttl}

    def local(store: Store, timeout: float) -> None:
        store.register(service, instance, ttl, timeout)

    call = post(instance_target(service, instance.instance), body, _done, is_write=True, local=local)
    return msgspec.structs.replace(call, request=msgspec.structs.replace(call.request, method="PUT"))


def keep(service: str, instance: str, ttl: int) -> Call[None]:
    """Set the time that an instance has left; raises NotFound when it is gone."""

    def local(store: Store, timeout: float) -> None:
        store.touch_instance(service, instance, ttl, timeout)

    return post(instance_target(service, instance, "/touch"), {"ttl": ttl}, _done, is_write=True, local=local)


def heartbeat(service: str, instance: Instance, ttl: int) -> Plan[None]:
    """Keep an instance; set it again when it is gone."""
    try:
        yield keep(service, instance.instance, ttl)
    except NotFound:
        yield register(service, instance, ttl)


def deregister(service: str, instance: str) -> Call[None]:
    """Take an instance out."""
    request = Request("DELETE", instance_target(service, instance))
    return Call(
        request=request,
        decode=lambda response: _ignored(found(response)),
        is_write=True,
        local=lambda store, timeout: store.deregister(service, instance, timeout),
    )


def _ignored(_: object) -> None:
    return None


def instances(service: str) -> Plan[list[Instance]]:
    """All living instances, in the order of their names."""
    listed: list[Instance] = []
    query = ""
    while True:
        body: Any = yield Call(
            request=Request("GET", f"{API}/services/{quoted(service, 'service')}{query}"),
            decode=lambda response: parsed(_instances, response),
            local=lambda store, _: Body(store.instances(service)),
        )
        listed += body.data
        if not body.cursor:
            return listed
        query = f"?cursor={body.cursor}"
