"""What a process says of a port that it cannot have."""

import asyncio
import socket

import pytest

from gateway.server import HttpServer
from process.listener import bind


def test_a_port_in_use_is_named_by_nodes_and_gateways() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            asyncio.run(bind("127.0.0.1", port, exposed=False))
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            HttpServer(None, "127.0.0.1", port, connections_max=1)
