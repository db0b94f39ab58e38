"""What a person who configures a process may rely on."""

import contextlib
import enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from process.settings import SettingsError, describe, load


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Example(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(description="name of this node", min_length=1)]
    data_dir: Annotated[str, msgspec.Meta(description="where the data is")] = "data"
    groups: Annotated[int, msgspec.Meta(description="number of groups", ge=1, le=4096)] = 8
    ratio: Annotated[float, msgspec.Meta(description="a share", ge=0)] = 0.5
    insecure: Annotated[bool, msgspec.Meta(description="allow plain text")] = False
    durability: Annotated[Literal["fsync", "os", "memory"], msgspec.Meta(description="what an answer waits for")] = (
        "fsync"
    )
    colour: Annotated[Colour, msgspec.Meta(description="a colour")] = Colour.RED
    nodes: Annotated[list[str], msgspec.Meta(description="the others")] = msgspec.field(default_factory=list)


class Pair(msgspec.Struct, frozen=True):
    low: Annotated[int, msgspec.Meta(description="lower bound")] = 1
    high: Annotated[int, msgspec.Meta(description="upper bound")] = 2

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be over high")


def read(*argv: str, environ: dict[str, str] | None = None) -> Example:
    return load(Example, "node", argv, environ or {})


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "concord.toml"
    path.write_text(text)
    return str(path)


def refusal(*argv: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(*argv, environ=environ)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_fill_what_nobody_said() -> None:
    assert read("--id", "n1") == Example(id="n1")


def test_flags_of_every_type() -> None:
    flags = "--id=n1 --data-dir /d --groups 3 --ratio 0.25 --insecure --durability os --colour blue --nodes a,b"
    assert read(*flags.split()) == Example("n1", "/d", 3, 0.25, True, "os", Colour.BLUE, ["a", "b"])


def test_a_switch_can_be_turned_off_by_value() -> None:
    assert not read("--id=a", "--insecure=false", environ={"CONCORD_INSECURE": "1"}).insecure


def test_the_environment_of_every_type() -> None:
    environ = {
        "CONCORD_ID": "n1",
        "CONCORD_DATA_DIR": "/d",
        "CONCORD_GROUPS": "3",
        "CONCORD_RATIO": "1",
        "CONCORD_INSECURE": "true",
        "CONCORD_DURABILITY": "memory",
        "CONCORD_COLOUR": "blue",
        "CONCORD_NODES": "a, b",
    }
    assert read(environ=environ) == Example("n1", "/d", 3, 1.0, True, "memory", Colour.BLUE, ["a", "b"])


def test_the_file_of_every_type_and_tables_of_other_processes(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        '[node]\nid="n1"\ndata_dir="/d"\ngroups=3\nratio=1\ninsecure=true\ndurability="os"\ncolour="blue"\n'
        'nodes=["a","b"]\n[gateway]\nanything="goes"\n',
    )
    expected = Example("n1", "/d", 3, 1.0, True, "os", Colour.BLUE, ["a", "b"])
    assert read("--config", path) == expected
    assert read(environ={"CONCORD_CONFIG": path}) == expected


def test_flag_before_environment_before_file_before_default(tmp_path: Path) -> None:
    path = config(tmp_path, '[node]\nid="file"\ndata_dir="file"\ngroups=3\n')
    environ = {"CONCORD_ID": "env", "CONCORD_DATA_DIR": "env"}
    assert read("--config", path, "--id", "flag", environ=environ) == Example(id="flag", data_dir="env", groups=3)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read("--id=n1", environ={"CONCORD_GROUPS": "", "CONCORD_CONFIG": ""}).groups == 8


def test_names_of_others_in_the_environment_are_left_alone() -> None:
    assert read("--id=n1", environ={"CONCORD_HTTP_PORT": "x", "PATH": "y"}) == Example(id="n1")


def test_the_last_of_a_repeated_flag_counts() -> None:
    assert read("--id=n1", "--groups=1", "--groups=2").groups == 2


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--grups=1"], ["--grups", "--groups"]),
        (["extra"], ["argument extra"]),
        (["--groups"], ["--groups needs a value"]),
        (["--groups", "--insecure"], ["--groups needs a value"]),
        (["--groups=0"], ["--groups", "'0'", ">= 1"]),
        (["--groups=5000"], ["--groups", "<= 4096"]),
        (["--groups=1.5"], ["--groups", "'1.5'", "int"]),
        (["--groups=x"], ["--groups", "'x'", "int"]),
        (["--ratio=nan"], ["--ratio", "nan"]),
        (["--ratio=inf"], ["--ratio", "inf"]),
        (["--insecure=perhaps"], ["--insecure", "perhaps", "bool"]),
        (["--durability=fast"], ["--durability", "'fast'", "fsync, os, memory"]),
        (["--colour=green"], ["--colour", "'green'", "red, blue"]),
        (["--id="], ["--id", ">= 1"]),
        (["--config=/nowhere.toml"], ["/nowhere.toml"]),
    ],
)
def test_a_wrong_flag_is_refused_by_name(argv: list[str], expected: list[str]) -> None:
    message = refusal("--id=n1", *argv)
    assert all(part in message for part in expected), message


def test_a_wrong_variable_is_refused_by_name() -> None:
    message = refusal("--id=n1", environ={"CONCORD_GROUPS": "many"})
    assert "CONCORD_GROUPS" in message
    assert "'many'" in message


def test_a_missing_setting_is_named_in_all_its_spellings() -> None:
    message = refusal()
    assert all(spelling in message for spelling in ("--id", "CONCORD_ID", "[node]"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[node]\ngrups=1\n", ["grups", "[node]", "groups"]),
        ("[noed]\n", ["noed", "node"]),
        ("groups=1\n", ["groups"]),
        ("node=1\n", ["[node]"]),
        ('[node]\ngroups="3"\n', ["groups in [node]", "'3'", "int"]),
        ("[node]\ninsecure=1\n", ["insecure in [node]", "bool"]),
        ("[node\n", ["not TOML"]),
        ("[node]\nnodes=[1]\n", ["nodes in [node]", "str"]),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = config(tmp_path, text)
    message = refusal("--id=n1", "--config", path)
    assert path in message
    assert all(part in message for part in expected), message


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (2 << 20)])
def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "binary"
    path.write_bytes(content)
    assert str(path) in refusal("--id=n1", "--config", str(path))


def test_a_check_over_several_settings_speaks_for_itself() -> None:
    with pytest.raises(SettingsError, match="low must not be over high"):
        load(Pair, "node", ["--low=3"], {})


def test_help_lists_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        read("--help")
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert shown == describe(Example, "node")
    expected = (
        "--id TEXT\n      name of this node (required)",
        "--groups N\n      number of groups (default: 8)",
        "--insecure\n      allow plain text (default: off)",
        "--durability fsync|os|memory\n      what an answer waits for (default: fsync)",
        "--colour red|blue\n      a colour (default: red)",
        "--nodes A,B,…\n      the others (default: none)",
        "--config FILE",
    )
    assert all(part in shown for part in expected), shown


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=5))
def test_any_command_line_gives_settings_or_one_refusal(words: list[str]) -> None:
    with contextlib.suppress(SettingsError):
        try:
            assert read("--id=n1", *words).groups >= 1
        except SystemExit:
            assert "--help" in words or "-h" in words
