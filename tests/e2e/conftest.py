"""One cluster with tokens for all tests here that leave it whole."""

from collections.abc import Iterator

import pytest

from tests.e2e.guarded import Guarded, guarded_cluster


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded_cluster(tmp_path_factory.mktemp("guarded") / "data", "--groups", "4", "--durability", "os") as made:
        yield made
