"""Service discovery: instances as keys `services/<service>/<instance>` that live as long as they are touched.

They are ordinary keys, so they can be listed, watched and guarded as any others.
"""

from typing import Annotated

import msgspec

from gateway import answers
from gateway.answers import Answer
from gateway.bodies import Ttl, decode, milliseconds
from gateway.conditions import with_headers
from gateway.json_text import json_value
from gateway.kv import PAGE, KeyValue, page_query
from gateway.requests import Request, switch
from gateway.whole import Positive, decoder
from wire.messages import ListEntry, PutItem

_NULL = msgspec.Raw(b"null")


class _Port(Positive):
    high = 65_535


class InstanceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an instance can be reached, and for how many seconds it counts as living unless it is touched."""

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    port: _Port
    ttl: Ttl
    metadata: msgspec.Raw = _NULL


class _Registered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `register` keeps."""

    address: str
    port: int
    metadata: msgspec.Raw


_body = decoder(InstanceBody)
_registered = msgspec.json.Decoder(_Registered)


class Services:
    """The routes under `/api/v1/services`; instances are written and touched as the keys that they are."""

    def __init__(self, keys: KeyValue) -> None:
        self._keys = keys

    async def register(self, request: Request) -> Answer:
        """`PUT /services/{service}/{instance}`."""
        switch(request.query("meta"), "meta")  # the revision is answered in any case
        body = await request.body()
        parsed = decode(_body, body)
        instance = {"address": parsed.address, "port": int(parsed.port), "metadata": parsed.metadata}
        value = json_value(msgspec.Raw(msgspec.json.encode(instance)), "metadata", request.limits)
        ttl_ms = milliseconds(parsed.ttl, "ttl", request.limits)
        item = PutItem(request.key, value, "", ttl_ms, with_headers(request, None))
        return await self._keys.put_item(request, item, body)

    async def instances(self, request: Request) -> Answer:
        """`GET /services/{service}`: the living instances, in the order of their names."""
        asked = page_query(request.query(*PAGE), request.key + "/", request.limits)
        query = msgspec.structs.replace(asked, with_values=True)
        return await self._keys.answer_page(query, request, lambda entry: _shown(entry, len(query.prefix)))


def _shown(entry: ListEntry, name_at: int) -> bytes:
    """An instance: its name, what it registered, and its time to live. What was put there by other means is shown as `value`."""
    name = b'{"instance":%b,"ttl":%b,"revision":%d' % (
        answers.text(entry.key[name_at:]),
        answers.seconds(entry.ttl_ms),
        entry.revision,
    )
    try:
        registered = msgspec.json.encode(_registered.decode(b"" if entry.content_type else entry.value))[1:]
    except msgspec.MsgspecError:
        registered = answers.value_members(entry.value, entry.content_type) + b"}"
    return name + b"," + registered
