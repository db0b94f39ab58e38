"""Fixtures for pytest: a real Concord in the process of the tests (docs/testing.md).

pytest imports this with every run in an environment that has Concord, so it imports nothing of it until a fixture is used.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from concord import Concord
    from concord.testing import Server


@pytest.fixture(scope="session")
def concord_server() -> Iterator["Server"]:
    """A server for all tests of the session; `.url`, and `.clear()` to empty it."""
    from concord import testing  # noqa: PLC0415 - only who uses it pays for it

    with contextlib.ExitStack() as stack:
        server: Server | str
        try:
            server = stack.enter_context(testing.server())
        except ImportError as error:
            server = str(error)
        if isinstance(server, str):  # not in the handler: the reader needs what to do, and no traceback of imports
            pytest.fail(server, pytrace=False)
        yield server


@pytest.fixture
def concord_url(concord_server: "Server") -> str:
    """The URL of a server that is empty when the test begins."""
    concord_server.clear()
    return concord_server.url


@pytest.fixture
def concord_client(concord_url: str) -> Iterator["Concord"]:
    """A client of a server that is empty when the test begins."""
    from concord import Concord  # noqa: PLC0415 - see above

    with Concord(concord_url) as client:
        yield client
