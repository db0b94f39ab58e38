"""Rate limits: `POST /limits/{name}/acquire`. One round trip to the group of the name; the answer is 200 either way."""

from typing import Literal

import msgspec

from gateway import answers
from gateway.answers import Answer, Header
from gateway.bodies import decode
from gateway.cluster import Cluster
from gateway.errors import invalid
from gateway.idempotency import once_of
from gateway.requests import Request
from gateway.results import granted, result_of
from gateway.whole import Positive, decoder
from wire.messages import Algorithm, QuotaInfo, Status, TakeQuota

LIMIT_WINDOW_S = 366 * 24 * 3600
LIMIT_QUOTA = 1_000_000_000

_ALGORITHMS = {"fixed": Algorithm.FIXED, "gcra": Algorithm.GCRA}


class _Limit(Positive):
    high = LIMIT_QUOTA


class _Window(Positive):
    high = LIMIT_WINDOW_S


class QuotaBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of a limit: `cost` of `limit` for each `window` seconds."""

    limit: _Limit
    window: _Window
    cost: _Limit = _Limit(1)
    algorithm: Literal["fixed", "gcra"] = "fixed"


_body = decoder(QuotaBody)
_info = msgspec.msgpack.Decoder(QuotaInfo)


class Quotas:
    """The route under `/api/v1/limits`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def acquire(self, request: Request) -> Answer:
        """`POST /limits/{name}/acquire`."""
        request.query()
        body = await request.body()
        asked = decode(_body, body)
        if asked.cost > asked.limit:
            raise invalid("cost: over the limit itself, so it could never be given")
        operation = TakeQuota(
            request.key, int(asked.limit), asked.window * 1000, int(asked.cost), _ALGORITHMS[asked.algorithm]
        )
        outcomes = await self._cluster.write(operation, request.deadline(), once_of(request, body))
        result = result_of(outcomes[0])
        allowed = result.status is not Status.QUOTA_EXCEEDED
        info = _info.decode(granted(result).value if allowed else result.value)
        return Answer(answers.data(_data(info, allowed=allowed)), headers=_headers(asked, info, allowed=allowed))


def _data(info: QuotaInfo, *, allowed: bool) -> bytes:
    shown = {"allowed": allowed, "remaining": info.remaining, "reset_ms": info.reset_ms}
    return msgspec.json.encode(shown if allowed else {**shown, "retry_after_ms": info.retry_ms})


def _headers(asked: QuotaBody, info: QuotaInfo, *, allowed: bool) -> tuple[Header, ...]:
    headers: tuple[Header, ...] = (
        (b"ratelimit-limit", b"%d" % asked.limit),
        (b"ratelimit-remaining", b"%d" % info.remaining),
        (b"ratelimit-reset", b"%d" % _seconds(info.reset_ms)),
        (b"ratelimit-policy", b"%d;w=%d" % (asked.limit, asked.window)),
    )
    return headers if allowed else (*headers, (b"retry-after", b"%d" % max(1, _seconds(info.retry_ms))))


def _seconds(milliseconds: int) -> int:
    return -(-milliseconds // 1000)
