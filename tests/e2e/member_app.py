"""A program that is a node of a cluster, for a test: one JSON command a line in, one JSON answer a line out.

python member_app.py PATH LISTEN JOIN…
"""

import json
import sys
from typing import Any

from concord import Member, open_member


def do(db: Member, name: str, arguments: list[Any]) -> object:
    """One command: a method of `Member` by its name."""
    return getattr(db, name)(*arguments)


def main(path: str, listen: str, *join: str) -> None:
    """Answer until the input ends."""
    with open_member(path, listen=listen, join=join, groups=3, timeout=25) as db:
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            sys.stdout.write(json.dumps(do(db, name, arguments)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
