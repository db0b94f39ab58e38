"""Stand-ins for the server's processes: they take the same command lines, but a node only listens and a gateway only says ready
once all nodes do.

What they do besides is said by the environment: STANDIN_DIES (exit at once; the gateway is never ready), STANDIN_DEAF (ignore SIGTERM),
STANDIN_LATE (a folder: a gateway is not ready while a file there has the name of its port).
"""

import contextlib
import http.server
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path


def setting(argv: Sequence[str], name: str) -> str:
    return argv[list(argv).index(name) + 1]


def node(argv: Sequence[str]) -> int:
    name = setting(argv, "--id")
    sys.stderr.write(f"{name} of {setting(argv, '--expect-nodes')} starts\n")
    if os.environ.get("STANDIN_DIES") == name:
        sys.stderr.write("this node cannot start\n")
        return 7
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    host, port = setting(argv, "--listen").split(":")
    with socket.create_server((host, int(port))):  # from here on it can be stopped, and the gateway may say ready
        if os.environ.get("STANDIN_DEAF") == name:
            signal.pause()
        signal.sigwait({signal.SIGTERM})
    sys.stderr.write(f"{name} stops cleanly\n")
    return 0


def listens(address: str) -> bool:
    host, port = address.split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
        return True
    return False


class Handler(http.server.BaseHTTPRequestHandler):
    nodes: tuple[str, ...] = ()
    late = Path()

    def do_GET(self) -> None:
        answers = {"/readyz": {}, "/api/v1/status": {"status": "ok", "data": self.status()}}
        body = json.dumps(answers.get(self.path)).encode()
        may_be_ready = "STANDIN_DIES" not in os.environ and not self.late.is_file()
        ready = self.path in answers and may_be_ready and all(map(listens, self.nodes))
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def status(self) -> dict[str, object]:
        names = [f"n{i}" for i, _ in enumerate(self.nodes, start=1)]
        leader = None if os.environ.get("STANDIN_LEADERLESS") else names[0]
        return {
            "cluster": {
                "name": "local",
                "nodes": [
                    {"name": name, "status": "leader" if name == leader else "follower", "address": address}
                    for name, address in zip(names, self.nodes, strict=True)
                ],
                "leader": leader,
            },
            "storage": {"size": 0, "memory": 0},
            "metrics": {},
            "epoch": 3,
            "groups": [{"id": group, "leader": leader, "replicas": names} for group in (1, 2, 4)],
        }


def gateway(argv: Sequence[str]) -> int:
    host, port = setting(argv, "--listen").split(":")
    Handler.late = Path(os.environ.get("STANDIN_LATE", "")) / port
    Handler.nodes = tuple(setting(argv, "--nodes").split(","))
    with http.server.HTTPServer((host, int(port)), Handler) as server:
        server.serve_forever()
    return 0
