"""The settings of one process: a typed struct filled from flags, the environment and a TOML file.

A setting `data_dir` of the section `node` is `--data-dir` on the command line, `CONCORD_DATA_DIR` in the environment
and `data_dir` in the table `[node]` of the file that `--config` or `CONCORD_CONFIG` names. The first of these that
says something counts, then the struct's default. Whatever is not understood is refused by name: a typing error must
not start a process with a default that nobody asked for. Only names in the environment cannot be checked, because
other programs share them; there an empty value counts as not set.
"""

import difflib
import enum
import math
import sys
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec

PREFIX = "CONCORD_"
SECTIONS = frozenset({"gateway", "node"})  # the tables that a shared file may have
LIMIT_FILE_BYTES = 1 << 20

T = TypeVar("T", bound=msgspec.Struct)


class SettingsError(Exception):
    """A setting is missing, unknown or wrong: one line with its name, where it was said and what is allowed."""


class _Setting(msgspec.Struct, frozen=True):
    """One field of the settings struct, in all its spellings."""

    name: str
    kind: Any  # the annotation, limits included
    base: Any  # the annotation without its limits
    description: str
    default: object

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def is_switch(self) -> bool:
        return self.base is bool

    @property
    def is_list(self) -> bool:
        return typing.get_origin(self.base) is list

    @property
    def choices(self) -> list[str]:
        """The allowed words of an enum or a Literal, else nothing."""
        if typing.get_origin(self.base) is Literal:
            return [str(choice) for choice in typing.get_args(self.base)]
        if isinstance(self.base, type) and issubclass(self.base, enum.Enum):
            return [str(member.value) for member in self.base]
        return []


def load(kind: type[T], section: str, argv: Sequence[str], environ: Mapping[str, str]) -> T:
    """Fill `kind` for the process `section`; flag > environment > file > default.

    Every field is `Annotated[type, msgspec.Meta(description=…)]` with a str, int, float, bool, Literal, StrEnum or
    list[str] inside (lists are comma separated in flags and variables). A check over several fields belongs into the
    struct's `__post_init__`, as a ValueError. `--help` prints every setting and leaves with SystemExit(0).

    Raises:
        SettingsError: a setting is unknown, missing or wrong, or the file cannot be read.
    """
    settings = {setting.name: setting for setting in _settings(kind)}
    flags = _parse_flags(settings, argv)
    if flags is None:
        sys.stdout.write(describe(kind, section))
        raise SystemExit(0)
    values: dict[str, object] = {}
    path = flags.pop("config", None) or environ.get(PREFIX + "CONFIG", "")
    if path:
        values |= _from_file(settings, section, path)
    values |= _from_environment(settings, environ)
    values |= {name: _convert_text(settings[name], text, settings[name].flag) for name, text in flags.items()}
    for setting in settings.values():
        if setting.default is msgspec.NODEFAULT and setting.name not in values:
            raise SettingsError(
                f"{setting.flag} is missing: give it as a flag, as {setting.variable} in the environment "
                f"or as {setting.name} in the table [{section}] of the file"
            )
    try:
        return kind(**values)
    except ValueError as error:  # from the struct's own __post_init__
        raise SettingsError(f"{section} settings: {error}") from error


def describe(kind: type[msgspec.Struct], section: str) -> str:
    """The help text: every setting with its meaning, its allowed words and its default."""
    lines = [
        f"Settings of a {section}: flags, or {PREFIX}NAME in the environment, or the table [{section}] of a TOML file.",
        "",
        "  --config FILE",
        f"      the TOML file ({PREFIX}CONFIG)",
    ]
    for setting in _settings(kind):
        lines.append("  " + setting.flag + ("" if setting.is_switch else " " + _placeholder(setting)))
        lines.append(f"      {setting.description} ({_shown_default(setting)})".replace("  (", " ("))
    return "\n".join([*lines, "  --help", "      this text", ""])


def _settings(kind: type[msgspec.Struct]) -> Iterable[_Setting]:
    for field in msgspec.structs.fields(kind):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        base, description = field.type, ""
        if typing.get_origin(base) is Annotated:
            base, *notes = typing.get_args(base)
            described = [note.description for note in notes if isinstance(note, msgspec.Meta) and note.description]
            description = described[0] if described else ""
        yield _Setting(field.name, field.type, base, description, default)


def _placeholder(setting: _Setting) -> str:
    if setting.choices:
        return "|".join(setting.choices)
    if setting.is_list:
        return "A,B,…"
    return {int: "N", float: "X"}.get(setting.base, "TEXT")


def _shown_default(setting: _Setting) -> str:
    if setting.default is msgspec.NODEFAULT:
        return "required"
    if isinstance(setting.default, bool):
        return "default: " + ("on" if setting.default else "off")
    if isinstance(setting.default, list):
        return "default: " + (",".join(setting.default) or "none")
    return f"default: {setting.default if setting.default != '' else 'none'}"


def _parse_flags(settings: Mapping[str, _Setting], argv: Sequence[str]) -> dict[str, str] | None:
    """The words of the command line by setting name (a repeated flag: the last one); None when help is asked for."""
    names = {setting.flag: name for name, setting in settings.items()} | {"--config": "config"}
    found: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word in ("--help", "-h"):
            return None
        flag, has_value, value = word.partition("=")
        if flag not in names:
            what = "flag" if word.startswith("-") else "argument"
            _refuse(f"unknown {what} {flag}", flag, names)
        name = names[flag]
        if not has_value:
            if name in settings and settings[name].is_switch:
                value = "true"
            elif not rest or rest[0].startswith("--"):
                raise SettingsError(f"{flag} needs a value")
            else:
                value = rest.pop(0)
        found[name] = value
    return found


def _from_environment(settings: Mapping[str, _Setting], environ: Mapping[str, str]) -> dict[str, object]:
    return {
        name: _convert_text(setting, environ[setting.variable], setting.variable)
        for name, setting in settings.items()
        if environ.get(setting.variable)
    }


def _from_file(settings: Mapping[str, _Setting], section: str, path: str) -> dict[str, object]:
    document = _read_toml(path)
    tables = SECTIONS | {section}
    for name, table in document.items():
        if name not in tables:
            _refuse(f"{path}: unknown table or key {name}", name, tables)
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: {name} must be a table, [{name}]")
    values = document.get(section, {})
    for name in values:
        if name not in settings:
            _refuse(f"{path}: unknown setting {name} in [{section}]", name, settings)
    return {
        name: _convert(settings[name], value, f"{name} in [{section}] of {path}", strict=True)
        for name, value in values.items()
    }


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            text = file.read(LIMIT_FILE_BYTES + 1)
        if len(text) > LIMIT_FILE_BYTES:
            raise SettingsError(f"{path}: over {LIMIT_FILE_BYTES} bytes, not a settings file")
        return tomllib.loads(text.decode())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def _convert_text(setting: _Setting, text: str, source: str) -> object:
    value = [part.strip() for part in text.split(",") if part.strip()] if setting.is_list else text
    return _convert(setting, value, source, strict=False)


def _convert(setting: _Setting, value: object, source: str, *, strict: bool) -> object:
    try:
        converted: object = msgspec.convert(value, setting.kind, strict=strict)
    except msgspec.ValidationError as error:
        allowed = "expected " + ", ".join(setting.choices) if setting.choices else str(error)
        shown = ",".join(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value
        raise SettingsError(f"{source}: {shown!r} is not allowed: {allowed}") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise SettingsError(f"{source}: {value!r} is not allowed: expected a finite number")
    return converted


def _refuse(message: str, word: str, known: Iterable[str]) -> NoReturn:
    close = difflib.get_close_matches(word, list(known), n=1)
    raise SettingsError(message + (f" (did you mean {close[0]}?)" if close else ""))
