"""Where the OpenAPI document states a limit: a placeholder in the tables of schemas, filled in with what this gateway allows.

`effective` goes through the whole document, so that no limit can be stated that is not the gateway's own.
"""

from typing import Any

import msgspec

from gateway.data_limits import DataLimits


class Limit(msgspec.Struct, frozen=True):
    """A number that is a limit.

    Attributes:
        name: of the field of DataLimits.
        at_most: what limits it besides, if anything does.
    """

    name: str
    at_most: int | None = None

    def value(self, limits: DataLimits) -> int:
        """The number."""
        found: int = getattr(limits, self.name)
        return found if self.at_most is None else min(found, self.at_most)


class LimitText(msgspec.Struct, frozen=True):
    """A text with names of fields of DataLimits in braces."""

    template: str

    def value(self, limits: DataLimits) -> str:
        """The text."""
        return self.template.format_map(msgspec.structs.asdict(limits))


def effective(node: Any, limits: DataLimits) -> Any:  # noqa: ANN401 - any JSON, with placeholders and without
    """A document with every placeholder filled in."""
    if isinstance(node, Limit | LimitText):
        return node.value(limits)
    if isinstance(node, dict):
        return {name: effective(member, limits) for name, member in node.items()}
    if isinstance(node, list):
        return [effective(member, limits) for member in node]
    return node
