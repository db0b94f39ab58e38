"""The command line against a gateway in memory."""

import pytest

from tests.sdk.memory import Memory


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """A gateway in memory that every client of this test is connected to."""
    made = Memory()
    monkeypatch.setattr("concord._client._default_transport", lambda: made)
    monkeypatch.delenv("CONCORD_URL", raising=False)
    monkeypatch.delenv("CONCORD_TOKEN", raising=False)
    return made
