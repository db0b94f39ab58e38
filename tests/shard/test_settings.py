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
        ({"placement": ["n1=nowhere"]}, "placement: not an address"),
        ({"placement": ["n1=0.0.0.0:4101"]}, "placement: others cannot reach"),
        ({"placement": ["n1=127.0.0.1:4101", "n1=127.0.0.1:4102"]}, "placement: .* twice"),
        ({"placement": ["n1=127.0.0.1:4101", "n2=127.0.0.1:4101"]}, "placement: .* twice"),
        ({"listen": "nowhere"}, "listen: not an address"),
        ({"listen": "0.0.0.0:4101"}, "advertise: others cannot reach"),
        ({"advertise": "nowhere"}, "advertise: not an address"),
        ({"advertise": "10.0.0.1:0"}, "advertise: others cannot reach"),
        ({"metrics_listen": "nowhere"}, "metrics_listen: not an address"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changed: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        settings(**changed)
