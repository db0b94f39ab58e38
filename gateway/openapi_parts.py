"""What schemas of requests and of answers are both made of."""

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
INTEGER: Schema = {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1}


def object_of(required: list[str], **properties: Schema) -> Schema:
    """An object that may have further members: answers, which gain some with time."""
    return {"type": "object", "required": required, "properties": properties}


def closed(required: list[str], **properties: Schema) -> Schema:
    """An object that may not: requests, in which an unknown member is refused."""
    return {**object_of(required, **properties), "additionalProperties": False}
