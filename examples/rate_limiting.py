"""Rate limiting: three mails at once, then one every two seconds, however many processes send, through whichever gateway.

python examples/rate_limiting.py
"""

import time

from concord_http import call

LIMIT = {"limit": 3, "window": 6, "algorithm": "gcra"}


def allowed_after_s(name: str) -> float:
    """Take one out of a limit: 0 when it was given, else how many seconds to wait before asking again.

    `Retry-After` is on a 200 that says no, on 429 (the gateway has too much to do) and on 503 (the cluster cannot answer now):
    three reasons, and the same thing to do.
    """
    answer = call("POST", f"/limits/{name}/acquire", LIMIT)
    if answer.status == 200 and answer.body["data"]["allowed"]:
        return 0
    if "Retry-After" not in answer.headers:
        raise RuntimeError(answer.body)
    return float(answer.headers["Retry-After"])


def send(number: int) -> None:
    """Send a mail once the limit lets us."""
    while wait_s := allowed_after_s("mails"):
        print(f"mail {number} waits for {wait_s:.0f} s")
        time.sleep(wait_s)
    print(f"mail {number} is sent")


def main() -> None:
    """Send five mails as fast as it is allowed."""
    for number in range(1, 6):
        send(number)


if __name__ == "__main__":
    main()
