"""How large keys, values and lists of them may be in one request: what the design allows, or less where a setting says so.

The cluster itself takes what the design allows. A gateway that was told less refuses more, and shows what others wrote.
"""

import msgspec

from wire.json_depth import LIMIT_JSON_DEPTH
from wire.messages import (
    LIMIT_BULK_ITEMS,
    LIMIT_KEY_BYTES,
    LIMIT_LIST_BYTES,
    LIMIT_LIST_ITEMS,
    LIMIT_TTL_MS,
    LIMIT_VALUE_BYTES,
)

LIMIT_READ_BYTES = 64 << 20
LIMIT_TTL_S = LIMIT_TTL_MS // 1000


class DataLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of what is in a request or its answer.

    Attributes:
        key_bytes: longest key, name of a lock or a limit, or prefix, in bytes of UTF-8.
        value_bytes: largest value, or part of a condition that is compared with one.
        bulk_items: most items of a bulk request, or comparisons and steps of a transaction.
        json_depth: how deep arrays and objects may nest in a value.
        list_items: most items of a page of a listing.
        list_bytes: the size at which a page ends early, though never before its first item.
        ttl_s_max: longest time to live, of a lock too, in seconds.
        bulk_get_bytes: what the values in the answer to one bulk get may amount to.
    """

    key_bytes: int = LIMIT_KEY_BYTES
    value_bytes: int = LIMIT_VALUE_BYTES
    bulk_items: int = LIMIT_BULK_ITEMS
    json_depth: int = LIMIT_JSON_DEPTH
    list_items: int = LIMIT_LIST_ITEMS
    list_bytes: int = LIMIT_LIST_BYTES
    ttl_s_max: int = LIMIT_TTL_S
    bulk_get_bytes: int = LIMIT_READ_BYTES
