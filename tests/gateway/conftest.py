"""Hundreds of gateways are made in one process here, most of them alike."""

from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from gateway import docs, openapi
from gateway.limits import HttpLimits
from gateway.openapi import Document
from gateway.routes import Route


@pytest.fixture(scope="package", autouse=True)
def _described_once() -> Iterator[None]:
    """The description of each is made once: it depends on routes and limits alone, and takes longer than all the rest of a gateway."""
    made = cache(openapi.describe)

    def describe(routes: Iterable[Route], limits: HttpLimits, *, has_auth: bool) -> Document:
        return made(tuple(routes), limits, has_auth=has_auth)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docs, "describe", describe)
        yield
