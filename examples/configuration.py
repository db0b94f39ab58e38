"""Configuration: changed only as it was read (compare and set), and several keys together or not at all.

python examples/configuration.py
"""

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from concord_http import call


def change(key: str, edit: Callable[[Any], Any]) -> None:
    """Read, edit, write back: when somebody else was faster (412), from the start."""
    while True:
        found = call("GET", f"/kv/{key}")
        written = call("PUT", f"/kv/{key}", {"value": edit(found.data["value"])}, {"If-Match": found.headers["ETag"]})
        if written.status != HTTPStatus.PRECONDITION_FAILED:
            return written.check()


def fail_over(expected: str, new: str) -> bool:
    """Move the database: primary and standby change together, and only if the primary is the one we think.

    A common tag in braces puts both keys into one slot, as a transaction needs it.
    """
    transaction = {
        "compare": [{"key": "{db}/primary", "value": expected}],
        "success": [
            {"op": "put", "key": "{db}/primary", "value": new},
            {"op": "put", "key": "{db}/standby", "value": expected},
        ],
        "failure": [],
    }
    done = call("POST", "/txn", transaction)
    return bool(done.data["succeeded"])


def main() -> None:
    """Let four threads edit one key at once, then switch two keys together, twice."""
    call("PUT", "/kv/config/pool", {"value": {"size": 10}}).check()

    def grow() -> None:
        for _ in range(5):
            change("config/pool", lambda pool: {**pool, "size": pool["size"] + 1})

    threads = [threading.Thread(target=grow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("10 and 20 changes at once make", call("GET", "/kv/config/pool").data["value"]["size"])

    pair = [{"key": "{db}/primary", "value": "db1"}, {"key": "{db}/standby", "value": "db2"}]
    call("POST", "/kv/bulk", {"operations": pair, "atomic": True}).check()
    print("db1 to db2:", fail_over("db1", "db2"))
    print("the same again, by somebody who did not know:", fail_over("db1", "db2"))
    print("primary:", call("GET", "/kv/%7Bdb%7D/primary").data["value"])


if __name__ == "__main__":
    main()
