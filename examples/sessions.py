"""Sessions: each has a time to live that every visit begins anew, so those that nobody uses go away by themselves.

python examples/sessions.py
"""

import secrets
import time
from typing import Any

from concord_http import call

TTL_S = 3  # half an hour, in real life


def begin(data: object) -> str:
    """A new session's id, which nobody can guess. `If-None-Match: *` refuses one that is there already."""
    session = secrets.token_urlsafe(32)
    call("PUT", f"/kv/sessions/{session}", {"value": data, "ttl": TTL_S}, {"If-None-Match": "*"}).check()
    return session


def visit(session: str) -> Any:
    """What is kept in a session, whose time begins anew; None when it has ended."""
    if call("POST", f"/kv/sessions/{session}/touch", {"ttl": TTL_S}).status == 404:
        return None  # touch does not bring back what has expired
    found = call("GET", f"/kv/sessions/{session}")
    return found.body["data"]["value"] if found.status == 200 else None


def save(session: str, data: object) -> bool:
    """Keep something else in a session; False when it has ended meanwhile, which a write must not undo."""
    return call("PUT", f"/kv/sessions/{session}", {"value": data, "ttl": TTL_S, "if_absent": False}).status == 200


def end(session: str) -> None:
    """Log out."""
    call("DELETE", f"/kv/sessions/{session}")


def main() -> None:
    """Visit one session again and again, and forget another."""
    used, forgotten = begin({"user": "ada", "cart": []}), begin({"user": "bob", "cart": []})
    for item in ("tea", "milk", "sugar", "bread"):
        data = visit(used)
        data["cart"].append(item)
        save(used, data)
        time.sleep(TTL_S / 3)
    print("visited all the time:", " ".join(visit(used)["cart"]))
    while call("GET", f"/kv/sessions/{forgotten}").status == 200:  # it is due by now
        time.sleep(0.1)
    print("not visited:", visit(forgotten))
    end(used)
    print("logged out:", visit(used))
    print("saved afterwards:", save(used, {"user": "ada"}))


if __name__ == "__main__":
    main()
