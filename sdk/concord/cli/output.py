"""What commands write to stdout: bytes as they are to a program, without control characters to a terminal."""

import sys

import msgspec

from concord.cli.console import harmless


def write(content: bytes) -> None:
    """Bytes as they are; to a terminal only what it can show."""
    if sys.stdout.isatty():
        sys.stdout.write(harmless(content.decode(errors="replace")))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)


def write_line(line: str) -> None:
    """A line of text; a key that is no text that one can print stands in it as JSON, see `named`."""
    write(line.encode("utf-8", "surrogateescape") + b"\n")


def print_json(value: object) -> None:
    """A value as one line of JSON."""
    write(msgspec.json.encode(value) + b"\n")


def named(key: str) -> str:
    """A key for a line of its own: as JSON when it has line breaks or other control characters."""
    return key if key.isprintable() else msgspec.json.encode(key).decode()
