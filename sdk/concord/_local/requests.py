"""From what a user gave to an operation, within the limits that a gateway enforces, too. Pure; raises InvalidRequest and TooLarge."""

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import Any, TypeVar

import msgspec

from concord import _values
from concord._calls import NO_CONDITION, UNSET, Conditions, check_raw, fenced
from concord._coordination import Instance
from concord._errors import ConcordError, CrossGroup, InvalidRequest, TooLarge
from concord._many import Put as ManyPut
from shard import faults
from wire.json_depth import LIMIT_JSON_DEPTH, is_too_deep
from wire.messages import (
    LIMIT_BULK_ITEMS,
    LIMIT_KEY_BYTES,
    LIMIT_VALUE_BYTES,
    NEVER,
    Algorithm,
    Comparison,
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    Operation,
    Put,
    PutItem,
    Relation,
    Step,
    Touch,
    TouchItem,
    Transaction,
)
from wire.names import SERVICE_NAME, SERVICE_NAME_MESSAGE, SERVICE_PREFIX
from wire.operations import keys_of_transaction
from wire.slots import slot_of

T = TypeVar("T")

SHALLOW_BYTES = 2 * LIMIT_JSON_DEPTH
"""Shorter JSON cannot nest too deep."""
PORT_MAX = 65_535
REVISION_MAX = (1 << 63) - 1
ADDRESS_MAX = 255
AT_A_TIME = 100
"""Items that are encoded together: a mebibyte each at most, so that many large ones do not fill the memory twice."""
_SPECIAL = (*_values.RAW_KINDS, ManyPut)
_encode_lines = msgspec.json.Encoder().encode_lines
_ALGORITHMS = {"fixed": Algorithm.FIXED, "gcra": Algorithm.GCRA}
_AS_JSON = {"", "application/json", "application/x-www-form-urlencoded"}
_RELATIONS = {"==": Relation.EQUAL, "!=": Relation.NOT_EQUAL, "<": Relation.LESS, ">": Relation.GREATER}


def key(name: object, what: str = "key") -> str:
    """A key, or another name that is kept as one."""
    if not isinstance(name, str):
        raise InvalidRequest(f"the {what} is no text", code="INVALID_KEY")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{what}: {error}", code="INVALID_KEY") from error
    if size == 0:
        raise InvalidRequest(f"the {what} is empty", code="INVALID_KEY")
    if size > LIMIT_KEY_BYTES:
        raise InvalidRequest(f"the {what} is over {LIMIT_KEY_BYTES} bytes", code="INVALID_KEY")
    return str(name)


def whole(number: object, what: str) -> int:
    """A whole number."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidRequest(f"{what}: expected a whole number")
    return int(number)


def milliseconds(seconds: object, what: str = "ttl") -> int:
    """A time in whole seconds, from 1."""
    length = whole(seconds, what)
    if length < 1:
        raise InvalidRequest(f"{what}: expected seconds from 1")
    return length * 1000


def ttl_ms(seconds: object) -> int:
    """A time to live; None is for ever."""
    return NEVER if seconds is None else milliseconds(seconds)


def json_value(value: object, of: object = "", what: str = "value") -> bytes:
    """JSON of a value of a key."""
    text = _values.encode(value, str(of), what)
    if len(text) > SHALLOW_BYTES:
        check_json(text, what)
    return text


def check_json(text: bytes, what: str) -> None:
    """Refuse JSON that is too long or nests too deep; what is not over SHALLOW_BYTES does not."""
    _check_size(len(text), what)
    if is_too_deep(text, LIMIT_JSON_DEPTH):
        raise InvalidRequest(f"{what}: nested over {LIMIT_JSON_DEPTH} levels")


def put_item(name: object, value: object, ttl: object, condition: Conditions, content_type: str | None) -> PutItem:
    """A key to set."""
    if _values.is_raw(value):
        check_raw(condition)
        data = bytes(value)  # type: ignore[call-overload] # is_raw has looked
        _check_size(len(data), "value")
        kind = _values.RAW_TYPE if content_type is None else content_type
        if kind.partition(";")[0].strip().lower() in _AS_JSON:
            raise InvalidRequest("content_type: put the value itself, not its JSON")
        return PutItem(key(name), data, kind, ttl_ms(ttl), wanted(condition, name))
    if content_type is not None:
        raise InvalidRequest("content_type: only values of bytes have one")
    return PutItem(key(name), json_value(value, name), "", ttl_ms(ttl), wanted(condition, name))


def put_items(
    items: Mapping[Any, object], ttl: object, condition: Conditions
) -> tuple[list[PutItem], dict[str, ConcordError]]:
    """Many keys to set, and those that cannot be.

    Raises:
        InvalidRequest: there is no JSON of a value.
    """
    try:
        lives_ms = ttl_ms(ttl)
    except InvalidRequest as error:
        return [], dict.fromkeys(items, error)
    if condition is not NO_CONDITION:
        return _checked_items(items, ttl, condition)
    try:
        return _plain_items(items, lives_ms), {}
    except (ConcordError, TypeError, ValueError, RecursionError, OverflowError):
        return _checked_items(items, ttl, condition)


def _plain_items(items: Mapping[Any, object], lives_ms: int) -> list[PutItem]:
    """The items, if nothing is wrong with any of them: some at a time, in as few steps as can be."""
    names, values = list(items), list(items.values())
    made: list[PutItem] = []
    for at in range(0, len(names), AT_A_TIME):
        some, their = names[at : at + AT_A_TIME], values[at : at + AT_A_TIME]
        if _are_plain_names(some) and (texts := _short_texts(their)) is not None:
            made += map(PutItem, some, texts, repeat(""), repeat(lives_ms))
        else:
            made += [_plain_item(name, value, lives_ms) for name, value in zip(some, their, strict=True)]
    return made


def _are_plain_names(names: list[Any]) -> bool:
    """Whether these are good keys, as far as can be told at a glance."""
    if set(map(type, names)) != {str} or "" in names:
        return False
    return max(map(len, names)) <= LIMIT_KEY_BYTES and "".join(names).isascii()


def _short_texts(values: list[object]) -> list[bytes] | None:
    """JSON of values that needs no further look; None if it does."""
    if any(issubclass(kind, _SPECIAL) for kind in set(map(type, values))):
        return None
    lines = _encode_lines(values)
    if b"null" in lines and _values.has_no_number(values):
        return None
    texts = lines.split(b"\n")
    del texts[-1]
    is_short = (
        len(texts) == len(values) and max(map(len, texts)) <= SHALLOW_BYTES
    )  # a msgspec.Raw may have ends of lines
    return texts if is_short else None


def _plain_item(name: object, value: object, lives_ms: int) -> PutItem:
    """An item that is not a `Put`; raises what is wrong with it."""
    if isinstance(value, _SPECIAL):
        data = bytes(value)  # type: ignore[arg-type] # a TypeError for a Put: those are looked at closely
        _check_size(len(data), "value")
        return PutItem(key(name), data, _values.RAW_TYPE, lives_ms)
    return PutItem(key(name), json_value(value, name), "", lives_ms)


def _checked_items(
    items: Mapping[Any, object], ttl: object, condition: Conditions
) -> tuple[list[PutItem], dict[str, ConcordError]]:
    """The items one by one, each with its own fault."""
    made: list[PutItem] = []
    errors: dict[str, ConcordError] = {}
    puts = {name: item if isinstance(item, ManyPut) else ManyPut(item) for name, item in items.items()}
    for name, put in puts.items():
        if _values.is_raw(put.value):
            check_raw(_own(put, condition))
        else:
            if put.content_type is not None:
                raise InvalidRequest("content_type: only values of bytes have one")
            _values.encode(put.value, str(name))
    for name, put in puts.items():
        try:
            lives = ttl if put.ttl is None else put.ttl
            made.append(put_item(name, put.value, lives, _own(put, condition), put.content_type))
        except (InvalidRequest, TooLarge) as error:
            errors[name] = error
    return made, errors


def _own(put: ManyPut, condition: Conditions) -> Conditions:
    return condition if put.if_fence is None else fenced(put.if_fence)


def each(names: Iterable[str], make: Callable[[str], T]) -> tuple[list[T], dict[str, ConcordError]]:
    """What is made of each name, once, and those that nothing can be made of."""
    made: list[T] = []
    errors: dict[str, ConcordError] = {}
    for name in dict.fromkeys(names):
        try:
            made.append(make(name))
        except InvalidRequest as error:
            errors[name] = error
    return made, errors


def touch_item(name: object, ttl: object, condition: Conditions) -> TouchItem:
    """A key whose time to live is set."""
    return TouchItem(key(name), milliseconds(ttl), wanted(condition, name))


def increment_item(given: Mapping[str, Any], condition: Conditions) -> IncrementItem:
    """A number to change; members as in the body of the request, and the key."""
    return IncrementItem(
        key(given["key"]),
        by=whole(given.get("by", 1), "by"),
        initial=whole(given.get("initial", 0), "initial"),
        ttl_ms=ttl_ms(given.get("ttl")),
        minimum=None if given.get("min") is None else whole(given["min"], "min"),
        maximum=None if given.get("max") is None else whole(given["max"], "max"),
        condition=wanted(condition, given["key"]),
    )


def delete(name: object, condition: Conditions) -> Delete:
    """A key to delete."""
    expected = wanted(condition, name)
    return Delete([key(name)], [expected] if expected else [])


def wanted(condition: Conditions, of: object = "") -> Condition | None:
    """What is expected of a key, `of`; None for nothing."""
    if condition is NO_CONDITION:
        return None
    found = Condition(
        exists=None if condition.if_absent is UNSET else not condition.if_absent,
        revision=None if condition.if_revision is UNSET else whole(condition.if_revision, "if_revision"),
        value=None if condition.if_value is UNSET else json_value(condition.if_value, of, "if_value"),
        fence=None if condition.if_fence is UNSET else _natural(condition.if_fence, "if_fence"),
    )
    return None if found == _NOTHING else found


def _natural(number: object, what: str) -> int:
    made = whole(number, what)
    if not 0 <= made <= REVISION_MAX:
        raise InvalidRequest(f"{what}: expected 0..{REVISION_MAX}")
    return made


_NOTHING = Condition()


def transaction(
    compare: "list[Mapping[str, Any]]", success: "list[Mapping[str, Any]]", failure: "list[Mapping[str, Any]]"
) -> Transaction:
    """A transaction, whose parts are as in the body of its request."""
    count = len(compare) + len(success) + len(failure)
    if count > LIMIT_BULK_ITEMS:
        raise TooLarge(f"compare, success, failure: over {LIMIT_BULK_ITEMS} items", code="BATCH_TOO_LARGE")
    made = Transaction(list(map(_comparison, compare)), list(map(_step, success)), list(map(_step, failure)))
    if len(set(map(slot_of, keys_of_transaction(made)))) > 1:
        raise CrossGroup("the keys are not in one slot: give them a common {tag}")
    return made


def _comparison(given: Mapping[str, Any]) -> Comparison:
    exists = given.get("exists")
    if exists is not None and not isinstance(exists, bool):
        raise InvalidRequest("exists: expected True or False")
    return Comparison(
        key(given["key"]),
        exists=exists,
        revision=whole(given["revision"], "revision") if "revision" in given else None,
        value=json_value(given["value"], given["key"]) if "value" in given else None,
        relation=_relation(given.get("op", "==")),
    )


def _relation(op: object) -> Relation:
    if not isinstance(op, str) or op not in _RELATIONS:
        raise InvalidRequest(f"op: expected one of {', '.join(_RELATIONS)}")
    return _RELATIONS[op]


def _step(given: Mapping[str, Any]) -> Step:
    name, condition = given["key"], fenced(given.get("if_fence"))
    match given["op"]:
        case "put":
            return Put([put_item(name, given["value"], given.get("ttl"), condition, None)])
        case "get":
            return Fetch([key(name)])
        case "delete":
            return delete(name, condition)
        case "touch":
            return Touch([touch_item(name, given["ttl"], condition)])
        case _:
            return Increment([increment_item(given, condition)])


def prefix(given: object) -> str:
    """The beginning of keys, which may be empty."""
    return key(given, "prefix") if given != "" else ""


def counting(algorithm: str) -> Algorithm:
    """How a rate limit counts."""
    if algorithm not in _ALGORITHMS:
        raise InvalidRequest("algorithm: expected fixed or gcra")
    return _ALGORITHMS[algorithm]


def service_prefix(service: object) -> str:
    """What the keys of a service's instances begin with."""
    return f"{SERVICE_PREFIX}{_service_name(service)}/"


def instance_key(service: object, instance: object) -> str:
    """The key that an instance is kept as."""
    return service_prefix(service) + _service_name(instance)


def instance(service: object, given: Instance, ttl: object) -> PutItem:
    """An instance as the key that it is kept as."""
    port = whole(given.port, "port")
    if not 1 <= port <= PORT_MAX:
        raise InvalidRequest(f"port: expected 1..{PORT_MAX}")
    if not 1 <= len(key(given.address, "address")) <= ADDRESS_MAX:
        raise InvalidRequest(f"address: expected text of 1 to {ADDRESS_MAX} characters")
    metadata = json_value(given.metadata, what="metadata")
    value = _values.encode({"address": given.address, "port": port, "metadata": msgspec.Raw(metadata)})
    _check_size(len(value), "metadata")
    return PutItem(instance_key(service, given.instance), value, "", milliseconds(ttl))


def _service_name(name: Any) -> str:
    if not isinstance(name, str) or not SERVICE_NAME.fullmatch(name):
        raise InvalidRequest(SERVICE_NAME_MESSAGE, code="INVALID_KEY")
    return name


def check(operation: Operation) -> None:
    """Refuse what is over a limit that was not looked at yet."""
    if fault := faults.of_operation(operation):
        raise InvalidRequest(fault)


def _check_size(size: int, what: str) -> None:
    if size > LIMIT_VALUE_BYTES:
        raise TooLarge(f"{what}: over {LIMIT_VALUE_BYTES} bytes", code="VALUE_TOO_LARGE")
