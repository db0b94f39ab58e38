"""The same scenarios over HTTP and in this process: same results, same exceptions, same codes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import concord
from concord import Concord
from tests.embedded.over_http import over_http
from tests.sdk.contract import EVERY


@pytest.fixture(params=["gateway", "fsync", "memory"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Concord]:
    if request.param == "gateway":
        with over_http() as client:
            yield client
    elif request.param == "memory":
        with concord.open(durability="memory") as db:
            yield db
    else:
        with concord.open(tmp_path / "data") as db:
            yield db


@pytest.mark.parametrize("scenario", EVERY, ids=lambda scenario: scenario.__name__)
def test_every_client_does_the_same(client: Concord, scenario: Callable[[Concord], None]) -> None:
    scenario(client)
