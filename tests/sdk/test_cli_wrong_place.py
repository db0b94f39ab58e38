"""Commands that are sent to what is no gateway: what they say of it, and their exit codes."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from concord.cli import connect, exits, main, members, token

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers here, so there is no use in waiting for it long."""
    monkeypatch.delenv("CONCORD_URL", raising=False)
    monkeypatch.delenv("CONCORD_TOKEN", raising=False)
    monkeypatch.setattr(connect, "PROBE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(members, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(token, "TIMEOUT_S", 0.2)


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections and says nothing, as a node's port does to who speaks HTTP."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def ssh() -> Iterator[str]:
    """Says at once what it is."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, contextlib.ExitStack() as taken:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = taken.enter_context(listener.accept()[0])
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def said(capsys: Output) -> str:
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("concord: ")
    assert shown.err.count("\n") == 1
    assert "HTTPConnection" not in shown.err
    assert shown.err.count("(") == shown.err.count(")")
    return shown.err


def test_a_port_that_says_nothing_may_be_a_nodes(silent: str, capsys: Output) -> None:
    for words in (["get", "a", "--timeout", "0.2"], ["ls", "--timeout", "0.2"], ["members"], ["token", "list"]):
        assert main([*words, "--url", silent]) == exits.UNREACHABLE, words
        text = said(capsys)
        assert f"connections are taken at {silent}, but nobody speaks HTTP there" in text
        assert "is it a node's RPC port?" in text


def test_what_was_written_to_a_port_that_says_nothing_may_have_been_applied(silent: str, capsys: Output) -> None:
    for words in (["put", "a", "1", "--timeout", "0.2"], ["token", "create", "a", "--scope", "read:"]):
        assert main([*words, "--url", silent]) == exits.UNKNOWN, words
        text = said(capsys)
        assert "nobody speaks HTTP there" in text
        assert "it may have been applied" in text


def test_a_port_that_speaks_something_else_is_no_gateways(ssh: str, capsys: Output) -> None:
    for words in (["get", "a", "--timeout", "0.2"], ["members"], ["token", "create", "a", "--scope", "read:"]):
        assert main([*words, "--url", ssh]) == exits.UNREACHABLE, words
        assert f"{ssh} is no gateway: what answers there speaks no HTTP (is it" in said(capsys)
    assert main(["put", "a", "1", "--timeout", "0.2", "--url", ssh]) == exits.UNKNOWN
    assert f"{ssh} is no gateway: what answers there speaks no HTTP (it may have been applied" in said(capsys)


def test_a_name_that_is_not_known_is_said_so(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for words in (["get", "a", "--timeout", "0.2"], ["members"]):
        assert main([*words, "--url", "http://nowhere.invalid:4000"]) == exits.UNREACHABLE
        text = said(capsys)
        assert "nobody answers at http://nowhere.invalid:4000: the name cannot be resolved: Name or service" in text


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("127.0.0.1:4000", "http:// or https:// is missing"),
        ("localhost", "http:// or https:// is missing"),
        ("tcp://localhost:4000", "it begins with tcp://"),
        ("http://", "the name of the host is missing"),
        ("http://localhost:port", "port"),
        ("http://localhost:4000?a=b", "more than the place"),
        ("http://me@localhost:4000", "more than the place"),
        ("http://localhost:4000,localhost:4001", "'localhost:4001' is not the URL of a gateway"),
        ("", "no URL"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, fault: str, capsys: Output) -> None:
    for command in ("get a", "members"):
        if command == "members" and "," in url:
            continue  # it asks the first that answers
        assert main([*command.split(), "--url", url]) == exits.USAGE
        text = said(capsys)
        assert fault in text
        assert "--token" not in text
