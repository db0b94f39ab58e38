"""The settings of a node: what cannot work is refused by name, before anything is opened."""

import pytest

from raft import RaftConfig
from shard.settings import NodeSettings


def settings(**changed: object) -> NodeSettings:
    values: dict[str, object] = {"id": "n1", "data_dir": "data", "placement": ["n1=127.0.0.1:4101"], **changed}
    return NodeSettings(**values)  # type: ignore[arg-type] # the test's own values


def test_the_log_has_the_sizes_of_raft_unless_told() -> None:
    assert settings().raft == RaftConfig()
    told = settings(segment_bytes=1 << 20, log_bytes=4 << 20, snapshot_bytes=1 << 16).raft
    assert (told.segment_bytes, told.log_bytes, told.snapshot_bytes) == (1 << 20, 4 << 20, 1 << 16)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"log_bytes": 1 << 20}, "log_bytes"),
        ({"id": "a b"}, "id"),
        ({"replicas": 5}, "replicas"),
        ({"tls_cert": "node.pem"}, "tls_cert"),
        ({"placement": ["n1"]}, "placement"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changed: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        settings(**changed)
