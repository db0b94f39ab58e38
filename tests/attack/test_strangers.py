"""Who has no certificate of this cluster is refused in the handshake, or in the first words after it."""

import ssl
from collections.abc import Callable

import pytest

from tests.attack.attackers import ASK_STATUS, answer_to
from tests.attack.victims import CLUSTER, Victims, client_context, unharmed
from tests.certificates import Authority
from tests.wire.support import hello
from wire import TlsConfig

OURS = f"concord://{CLUSTER}/gateway/g"


def _without_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _older(tls: TlsConfig) -> ssl.SSLContext:
    context = client_context(tls)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


Make = Callable[[Authority, Authority], ssl.SSLContext | None]

ROUNDS = 10
STRANGERS: dict[str, tuple[Make, str]] = {
    "plain TCP": (lambda _ours, _other: None, "handshake failed: [SSL: WRONG_VERSION_NUMBER]"),
    "no certificate": (lambda _ours, _other: _without_certificate(), "peer did not return a certificate"),
    "another authority": (lambda _ours, other: client_context(other.issue(OURS)), "unable to get local issuer"),
    "expired": (lambda ours, _other: client_context(ours.issue(OURS, ends_in=-1)), "certificate has expired"),
    "not yet valid": (lambda ours, _other: client_context(ours.issue(OURS, begins_in=1, ends_in=2)), "not yet valid"),
    "TLS 1.2": (lambda ours, _other: _older(ours.issue(OURS)), "unsupported protocol"),
    "another cluster": (
        lambda ours, _other: client_context(ours.issue("concord://green/gateway/g")),
        "its certificate is for cluster 'green'",
    ),
    "no name": (lambda ours, _other: client_context(ours.issue()), "its certificate has 0 names"),
    "unknown role": (
        lambda ours, _other: client_context(ours.issue(f"concord://{CLUSTER}/king/k")),
        "its certificate names the unknown role 'king'",
    ),
}
"""Who comes, and what the node's log says about it."""


@pytest.fixture(scope="module")
def attacked(secured: Victims, tmp_path_factory: pytest.TempPathFactory) -> Victims:
    """After each has come ten times, while everyone else went on; none was served."""
    assert secured.authority is not None
    other = Authority(tmp_path_factory.mktemp("strangers"), "other")
    contexts = [make(secured.authority, other) for make, _ in STRANGERS.values()]
    with unharmed(secured):
        for context in contexts * ROUNDS:
            answer_to(secured.target, context, hello() + ASK_STATUS)  # fails when it is served
    return secured


@pytest.mark.parametrize("case", STRANGERS)
def test_a_stranger_is_refused_and_the_log_says_why(attacked: Victims, case: str) -> None:
    assert attacked.nodes.log("n1").count(STRANGERS[case][1]) >= ROUNDS


def test_one_of_the_cluster_is_served(secured: Victims) -> None:
    with pytest.raises(AssertionError, match="it was served"):
        answer_to(secured.target, secured.context("gateway", "g"), hello() + ASK_STATUS)


def test_without_tls_another_cluster_is_refused(plain: Victims) -> None:
    how = answer_to(plain.target, None, hello(cluster="green") + ASK_STATUS)
    assert "goodbye it belongs to cluster 'green'" in how
