"""Locks: what a lock guards is written under its fence, so that a holder which slept over its time can do no harm.

python examples/locks.py
"""

import time

from concord_http import Answer, call

TTL_S = 3


def acquire(name: str, owner: str, wait_ms: int = 10_000) -> int:
    """Queue for a lock, first come, first served; returns the fence, which rises each time the lock changes hands.

    `owner` is to be one process's alone: who asks again for what it holds gets it.
    """
    answer = call("POST", f"/locks/{name}/acquire", {"owner": owner, "ttl": TTL_S, "wait_ms": wait_ms})
    return int(answer.data["fence"])


def renew(name: str, owner: str, fence: int) -> bool:
    """Hold a lock for longer; False when it is another's by now."""
    return call("POST", f"/locks/{name}/renew", {"owner": owner, "fence": fence, "ttl": TTL_S}).status == 200


def release(name: str, owner: str, fence: int) -> None:
    """Give a lock back; the next in the queue has it at once."""
    call("POST", f"/locks/{name}/release", {"owner": owner, "fence": fence})


def write(key: str, value: object, fence: int) -> Answer:
    """Write under a fence: refused (412) once somebody has written under a higher one."""
    return call("PUT", f"/kv/{key}", {"value": value, "if_fence": fence})


def main() -> None:
    """One worker takes the lock and sleeps too long; another gets it, and the first one's late write is refused."""
    slow = acquire("nightly", "worker-1")
    print("worker-1 has the lock, its write is answered", write("nightly/report", "worker-1", slow).status)
    print("worker-1 holds it for longer:", renew("nightly", "worker-1", slow))
    time.sleep(TTL_S)  # a long pause: a full disk, a suspended machine, …

    fast = acquire("nightly", "worker-2")
    print("worker-2 has the lock, under a higher fence:", fast > slow)
    print("worker-2's write is answered", write("nightly/report", "worker-2", fast).status)
    print("worker-1 wakes up and still believes in its lock: its write is answered", end=" ")
    print(write("nightly/report", "worker-1", slow).status)
    print("the report is that of", call("GET", "/kv/nightly/report").data["value"])
    release("nightly", "worker-2", fast)


if __name__ == "__main__":
    main()
