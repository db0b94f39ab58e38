"""Values between a command line and the store. Pure but for reading stdin and files.

Given: a word that is JSON is that JSON, any other is a string of its characters. `--type` says it exactly. `-` is stdin
and `@FILE` a file. Shown: a string as its characters, other JSON as its text, bytes as they are.
"""

import base64
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import msgspec

from concord import Entry
from concord.cli import exits
from concord.cli.console import CliError

Kind: TypeAlias = Literal["auto", "json", "text", "raw"]
KINDS: tuple[Kind, ...] = ("auto", "json", "text", "raw")
LIMIT_VALUE_BYTES = 1 << 20
"""Of a gateway; a file is not read further than it takes to see that it is over."""
BREAKS = (b"\n", b"\r", b"\t")
"""White space of JSON that no value within a line may have."""

HINT_AT = "for a value that begins with @, write it as JSON: '\"@…\"'"


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as a line of JSON, as `get`, `ls`, `export` print it and `import` reads it.

    Attributes:
        key: its name.
        value: its JSON as it is stored but for line breaks and tabs, or base64 in a string.
        encoding: "base64" for a value of bytes.
        content_type: of a value of bytes.
        ttl: seconds that it has left; absent for ever.
        revision: of its last change; `import` has no use for it.
    """

    key: str
    value: msgspec.Raw
    encoding: Literal["", "base64"] = ""
    content_type: str = ""
    ttl: int | None = None
    revision: int = 0

    def given(self) -> object:
        """The value as a client takes it.

        Raises:
            ValueError: it is no base64 although it says so.
        """
        if not self.encoding:
            return self.value
        return base64.b64decode(msgspec.json.decode(self.value, type=str), validate=True)


def row_of(entry: Entry[Any]) -> Row:
    """An entry that was read with `type=AS_STORED`."""
    if not isinstance(entry.value, bytes):
        text = msgspec.Raw(on_a_line(bytes(entry.value)))
        return Row(entry.key, text, ttl=entry.ttl, revision=entry.revision)
    text = msgspec.Raw(msgspec.json.encode(base64.b64encode(entry.value).decode()))
    return Row(entry.key, text, "base64", entry.content_type, entry.ttl, entry.revision)


def read_value(word: str, kind: Kind, stdin: BinaryIO) -> object:
    """The value that a word of a command line means, for a client: text, bytes, or JSON as it was written.

    Raises:
        CliError: it cannot be read, is not of that kind or over 1 MiB (exit code 2).
    """
    content, was_read = _content(word, stdin)
    if len(content) > LIMIT_VALUE_BYTES:
        raise CliError(f"the value is over {LIMIT_VALUE_BYTES} bytes", "see docs/limits.md", exits.USAGE)
    if kind == "raw":
        return content
    if kind != "text" and (fault := json_fault(content)) is None:
        return msgspec.Raw(content)
    if kind == "json":
        raise CliError(f"the value is no JSON: {fault}", "leave out --type json for a string", exits.USAGE)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise CliError("the value is neither JSON nor UTF-8", "use --raw for bytes", exits.USAGE) from None
    return text.removesuffix("\n") if was_read else text


def _content(word: str, stdin: BinaryIO) -> tuple[bytes, bool]:
    """What is meant, and whether it came from stdin or a file."""
    try:
        if word == "-":
            return stdin.read(LIMIT_VALUE_BYTES + 1), True
        if word == "@":
            raise CliError("the name of a file is missing behind @", HINT_AT, exits.USAGE)
        if word.startswith("@"):
            with Path(word[1:]).open("rb") as file:
                return file.read(LIMIT_VALUE_BYTES + 1), True
        return word.encode("utf-8", "surrogateescape"), False
    except OSError as error:
        raise CliError(f"{word.removeprefix('@')}: {error.strerror}", HINT_AT, exits.USAGE) from error


def json_fault(content: bytes) -> str | None:
    """Why a text is no JSON that Concord keeps; None when it is."""
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error)
    return None


def shown(value: msgspec.Raw | bytes) -> bytes:
    """A value, read with `type=AS_STORED`, for stdout; a newline is behind all but bytes."""
    if isinstance(value, bytes):
        return value
    text = bytes(value)
    return (msgspec.json.decode(text, type=str).encode() if text.startswith(b'"') else text) + b"\n"


def shown_on_a_line(value: msgspec.Raw | bytes | None) -> str:
    """The same within one line: JSON without line breaks, `(12 bytes)`, or "" for none."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    return on_a_line(bytes(value)).decode()


def on_a_line(text: bytes) -> bytes:
    """JSON without line breaks and tabs; as it is when it has none.

    None of them is within a string: JSON spells out the control characters there, and neither a gateway nor msgspec takes others.
    """
    if any(byte in text for byte in BREAKS):
        return msgspec.json.format(text, indent=0)
    return text
