"""Every limit of one request: what is at the limit is taken, what is over it is refused with the error of docs/limits.md."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.data_limits import DataLimits
from gateway.limits import HttpLimits
from gateway.settings import GatewaySettings
from tests.gateway.double import NAME, Client, run
from wire.limits import Limits
from wire.messages import WriteRequest

MIB = 1 << 20
TEN_YEARS_S = 10 * 365 * 24 * 3600
PUT = "/api/v1/kv/a"
Sent = tuple[str, str, dict[str, Any]]


def put(value: object, **fields: object) -> Sent:
    return "PUT", PUT, {"body": {"value": value, **fields}}


def named_key(size: int) -> Sent:
    return "PUT", "/api/v1/kv/" + "k" * size, {"body": {"value": 1}}


def bulk(route: str, count: int) -> Sent:
    keys = [f"k{number}" for number in range(count)]
    body = {
        "": {"operations": [{"key": key, "value": 1} for key in keys]},
        "/touch": {"operations": [{"key": key, "ttl": 1} for key in keys]},
    }.get(route, {"keys": keys})
    return "POST", "/api/v1/kv/bulk" + route, {"body": body}


def body_of(size: int) -> Sent:
    return "PUT", PUT, {"raw": b'{"value":1}'.ljust(size)}


def deep(levels: int) -> Sent:
    return put(json.loads("[" * levels + "]" * levels))


def deadline(timeout_ms: int) -> Sent:
    return "GET", "/api/v1/kv?limit=1", {"headers": [("x-concord-timeout-ms", str(timeout_ms))]}


def page(limit: int) -> Sent:
    return "GET", f"/api/v1/kv?limit={limit}", {}


ROWS: list[tuple[str, Sent, Sent, int, str]] = [
    ("key", named_key(1024), named_key(1025), 400, "INVALID_KEY"),
    ("value", put("v" * (MIB - 2)), put("v" * (MIB - 1)), 413, "VALUE_TOO_LARGE"),
    *(
        (f"bulk{route}", bulk(route, 500), bulk(route, 501), 413, "BATCH_TOO_LARGE")
        for route in ("", "/get", "/delete")
    ),
    ("bulk/touch", bulk("/touch", 500), bulk("/touch", 501), 413, "BATCH_TOO_LARGE"),
    ("body", body_of(8 * MIB), body_of(8 * MIB + 1), 413, "BODY_TOO_LARGE"),
    ("depth", deep(64), deep(65), 400, "INVALID_REQUEST"),
    ("page", page(1000), page(1001), 400, "INVALID_REQUEST"),
    ("page of nothing", page(1), page(0), 400, "INVALID_REQUEST"),
    ("ttl", put(1, ttl=TEN_YEARS_S), put(1, ttl=TEN_YEARS_S + 1), 400, "INVALID_REQUEST"),
    ("no ttl", put(1, ttl=1), put(1, ttl=0), 400, "INVALID_REQUEST"),
    ("deadline", deadline(30_000), deadline(30_001), 400, "INVALID_REQUEST"),
]


@pytest.mark.parametrize(("fits", "over", "status", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_is_at_a_limit_is_taken_and_what_is_over_it_is_refused(
    fits: Sent, over: Sent, status: int, code: str
) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send(*fits[:2], **fits[2])).status == 200
        before = len(client.cluster.requests(WriteRequest))
        refused = await client.send(*over[:2], **over[2])
        assert (refused.status, refused.code) == (status, code)
        assert refused.json["error"]["applied"] is False
        assert len(client.cluster.requests(WriteRequest)) == before

    run(scenario)


def test_the_default_deadline_is_5_s_and_a_frame_16_mib() -> None:
    assert (HttpLimits().timeout_ms_default, HttpLimits().timeout_ms_max) == (5000, 30_000)
    assert Limits().frame_bytes_max == 16 * MIB


@pytest.mark.parametrize("name", ["body_bytes", "timeout_ms_max", "timeout_ms", *DataLimits.__struct_fields__])
def test_settings_turn_a_limit_down_and_never_up(name: str) -> None:
    base = {"nodes": ["127.0.0.1:1"], "cluster": NAME}
    most = HttpLimits().timeout_ms_max if name == "timeout_ms" else getattr(GatewaySettings(**base), name)  # type: ignore[arg-type]
    assert getattr(msgspec.convert(base | {name: most // 2}, GatewaySettings), name) == most // 2
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert(base | {name: most + 1}, GatewaySettings)


def test_limits_that_were_turned_down_are_kept() -> None:
    settings = GatewaySettings(nodes=["127.0.0.1:1"], cluster=NAME, body_bytes=2048, timeout_ms_max=1000)

    async def scenario(client: Client) -> None:
        assert (await client.send(*body_of(2048)[:2], **body_of(2048)[2])).status == 200
        assert (await client.send(*body_of(2049)[:2], **body_of(2049)[2])).code == "BODY_TOO_LARGE"
        assert (await client.send(*deadline(1001)[:2], **deadline(1001)[2])).code == "INVALID_REQUEST"

    run(scenario, settings=settings)
    assert settings.http_limits.timeout_ms_default == 1000


def test_the_page_of_limits_names_every_setting_of_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    limits = [name for name in GatewaySettings.__struct_fields__ if name.split("_")[0] in _FAMILIES]
    assert [name for name in limits if f"`--{name.replace('_', '-')}" not in text] == []


_OTHERS = {"requests", "bytes", "watchers", "failed", "trusted", "body", "timeout", "connections"}
_FAMILIES = _OTHERS | {name.split("_")[0] for name in DataLimits.__struct_fields__}
