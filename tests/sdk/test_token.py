"""`concord token` against a gateway that only remembers what it was asked."""

import http.server
import json
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from concord.cli import exits, main
from concord.cli.probe import Answer, refused
from concord.cli.token import Scope, scope, scopes_text, token_id

ROW = {
    "id": "0123456789ab",
    "name": "app",
    "scopes": [{"prefix": "app/", "verbs": ["read", "write"]}],
    "created_at": "2026-01-01T00:00:00.000+00:00",
    "expires_at": None,
    "rotated_at": None,
    "old_secret_until": None,
}
MADE = ROW | {"token": "sk_concord_new"}
NO_TOKENS = "this gateway asks for no tokens: manage them at one with --auth on"
REFUSAL = {"status": "error", "error": {"code": "UNAUTHORIZED", "message": "the token is not known"}}


class Handler(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str, Any]]] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, json.loads(body) if body else None))
        good = self.headers["Authorization"] == "Bearer sk_concord_root"
        data: object = {"GET": [ROW], "POST": MADE, "DELETE": {"revoked": True}}[self.command]
        content = json.dumps({"status": "ok", "data": data} if good else REFUSAL).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that the server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, Any]]]:
    Handler.asked.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("CONCORD_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("CONCORD_TOKEN", "sk_concord_root")
        yield Handler.asked
        server.shutdown()
        thread.join()


Asked = list[tuple[str, str, Any]]


def test_a_token_is_made_and_only_its_secret_is_on_stdout(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["create", "app", "--scope", "read,write:app/", "--scope", "watch:", "--expires-in", "60"]
    assert main(["token", *words]) == 0
    scopes = [{"prefix": "app/", "verbs": ["read", "write"]}, {"prefix": "", "verbs": ["watch"]}]
    assert gateway == [("POST", "/api/v1/tokens", {"name": "app", "scopes": scopes, "expires_in": 60})]
    shown = capsys.readouterr()
    assert shown.out == "sk_concord_new\n"
    assert "0123456789ab" in shown.err
    assert "sk_concord_new" not in shown.err


def test_tokens_are_listed_as_a_table_or_as_json(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "list"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["ID", "NAME", "SCOPES", "CREATED", "EXPIRES"]
    assert row.split()[:3] == ["0123456789ab", "app", "read,write:app/"]
    assert main(["token", "list", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [ROW]
    assert main(["token", "create", "app", "--scope", "admin:", "--json"]) == 0
    assert main(["token", "revoke", "0123456789ab", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [MADE, {"revoked": ROW["id"]}]
    assert len(gateway) == 4
    assert main(["token", "list", "--json", "--token", "sk_concord_wrong"]) == exits.DENIED
    shown = capsys.readouterr()
    assert shown.out == ""
    error = json.loads(shown.err)["error"]
    assert (error["code"], error["applied"], error["retryable"]) == ("UNAUTHORIZED", False, False)
    assert "the token is not known" in error["message"]


def test_a_token_is_revoked_and_rotated_by_its_id(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "rotate", "0123456789ab", "--overlap", "5"]) == 0
    assert main(["token", "rotate", "0123456789ab", "--json"]) == 0
    assert main(["token", "revoke", "0123456789ab"]) == 0
    assert gateway == [
        ("POST", "/api/v1/tokens/0123456789ab/rotate", {"overlap": 5}),
        ("POST", "/api/v1/tokens/0123456789ab/rotate", {"overlap": 0}),
        ("DELETE", "/api/v1/tokens/0123456789ab", None),
    ]
    assert "revoked" in capsys.readouterr().out


def test_a_refusal_says_what_to_do_and_shows_no_token(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "list", "--token", "sk_concord_wrong"]) == exits.DENIED
    shown = capsys.readouterr()
    assert "CONCORD_TOKEN" in shown.err
    assert "sk_concord_wrong" not in shown.err
    assert len(gateway) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["create", "app"],
        ["create", "app", "--scope", "read"],
        ["revoke", "sk_concord_0123456789ab_x_y"],
        ["rotate", "0123456789ab", "--overlap", "-1"],
        ["list", "--token", "a\r\nX: y"],
        [],
    ],
)
def test_wrong_use_is_refused_before_anyone_is_asked(gateway: Asked, words: list[str]) -> None:
    try:
        code: object = main(["token", *words])
    except SystemExit as leaving:
        code = leaving.code
    assert code == 2
    assert gateway == []


def test_a_scope_reads_as_it_is_written() -> None:
    assert scope("read,watch:a:b") == Scope("a:b", ["read", "watch"])
    assert scopes_text([scope("admin:"), scope("read:x")]) == "admin: read:x"
    with pytest.raises(ArgumentTypeError):
        token_id("0123456789AB")


def test_bootstrap_is_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[tuple[str, list[str]]] = []

    def start(command: str, words: list[str]) -> int:
        run.append((command, words))
        return 0

    monkeypatch.setattr("concord.cli.server.run", start)
    assert main(["token", "bootstrap", "--nodes", "127.0.0.1:1"]) == 0
    assert run == [("token-bootstrap", ["--nodes", "127.0.0.1:1"])]


def test_a_hint_does_not_contradict_the_message() -> None:
    body = json.dumps({"error": {"code": "FORBIDDEN", "message": NO_TOKENS}}).encode()
    assert "CONCORD_TOKEN" not in str(refused("http://a", Answer(403, body)))


def test_a_verb_that_is_none_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "app", "--scope", "read,foo:bar"]) == exits.USAGE
    assert "'foo' is no verb: there are read, write, lock, watch, admin" in capsys.readouterr().err
