"""The parts of the command line that decide, without processes."""

import io
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from concord.cli.console import CliError, Progress, complain, paint, table
from concord.cli.layout import Layout, Wanted, check_unchanged, decide, gateway_arguments, load, node_arguments, save
from concord.cli.processes import HEALTHY_AFTER_S, RESTART_DELAY_S_MAX, RESTART_DELAY_S_MIN, restart_delay_s
from concord.cli.status import ClusterPart, Group, Node, Status, numbers, run


def all_free(_port: int) -> bool:
    return True


def only(*ports: int) -> Callable[[int], bool]:
    return ports.__contains__


def words_after(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_a_new_cluster_has_three_nodes_in_zones_and_on_hosts_of_their_own() -> None:
    layout = decide(Wanted(), 4101, all_free)
    assert [node.port for node in layout.nodes] == [4101, 4102, 4103]
    assert [node.zone for node in layout.nodes] == ["z1", "z2", "z3"]
    assert len({node.host_label for node in layout.nodes}) == 3
    assert (layout.groups, layout.replicas) == (8, 3)


def test_a_cluster_of_one_node_has_one_replica() -> None:
    assert decide(Wanted(nodes=1), 4101, all_free).replicas == 1


def test_nodes_take_the_free_ports_in_order() -> None:
    assert [node.port for node in decide(Wanted(), 4101, only(4102, 4107, 4110, 4111)).nodes] == [4102, 4107, 4110]


def test_too_few_free_ports_are_refused() -> None:
    with pytest.raises(CliError, match="no 3 free ports from 4101"):
        decide(Wanted(), 4101, only(4102, 4103, 9000))


def test_no_port_over_65535_is_tried() -> None:
    with pytest.raises(CliError):
        decide(Wanted(), 65534, all_free)


@pytest.mark.parametrize(
    ("nodes", "members"), [(1, ["n1"]), (2, ["n1"]), (3, ["n1", "n2", "n3"]), (5, ["n1", "n2", "n3"])]
)
def test_placement_lives_on_three_nodes_where_there_are_three(nodes: int, members: list[str]) -> None:
    layout = decide(Wanted(nodes=nodes), 4101, all_free)
    arguments = node_arguments(layout, layout.nodes[-1], Path("/d"), "fsync")
    placement = words_after(arguments, "--placement").split(",")
    assert [member.partition("=")[0] for member in placement] == members
    assert placement[0] == "n1=127.0.0.1:4101"
    assert words_after(arguments, "--expect-nodes") == str(nodes)
    assert words_after(arguments, "--data-dir") == f"/d/n{nodes}"


def test_a_gateway_knows_every_node() -> None:
    layout = decide(Wanted(nodes=2), 4101, all_free)
    assert words_after(gateway_arguments(layout, 4000), "--nodes") == "127.0.0.1:4101,127.0.0.1:4102"


def test_a_layout_is_read_as_it_was_saved(tmp_path: Path) -> None:
    layout = decide(Wanted(nodes=5, groups=16), 4101, all_free)
    assert load(tmp_path) is None
    save(tmp_path, layout)
    assert load(tmp_path) == layout


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', "\x00"])
def test_a_broken_layout_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "cluster.json").write_text(content)
    with pytest.raises(CliError, match=r"cluster\.json"):
        load(tmp_path)


def test_a_layout_of_another_format_is_refused(tmp_path: Path) -> None:
    save(tmp_path, Layout(2, "local", 8, 3, []))
    with pytest.raises(CliError, match="format 2"):
        load(tmp_path)


def test_flags_that_say_what_is_there_are_accepted() -> None:
    layout = decide(Wanted(), 4101, all_free)
    check_unchanged(layout, Wanted(nodes=3, groups=8, replicas=3), Path("d"))
    check_unchanged(layout, Wanted(), Path("d"))


def test_restarts_are_at_once_after_a_healthy_life_and_bounded_otherwise() -> None:
    delays = [0.0]
    for _ in range(10):
        delays.append(restart_delay_s(0.0, delays[-1]))
    assert delays[1] == RESTART_DELAY_S_MIN
    assert delays == sorted(delays)
    assert delays[-1] == RESTART_DELAY_S_MAX
    assert restart_delay_s(HEALTHY_AFTER_S, RESTART_DELAY_S_MAX) == RESTART_DELAY_S_MIN


@pytest.mark.parametrize(
    ("groups", "shown"), [([], "-"), ([3], "3"), ([1, 2, 3], "1-3"), ([1, 3, 4, 9], "1 3-4 9"), ([1, 2], "1-2")]
)
def test_group_numbers_are_shown_as_ranges(groups: list[int], shown: str) -> None:
    assert numbers(groups) == shown


def status_of(*groups: Group) -> Status:
    return Status(ClusterPart("local", [Node("n1", "leader"), Node("n2", "follower")]), list(groups))


def test_a_cluster_with_a_fenced_replica_is_not_whole_and_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    well = status_of(Group(1, "n1", ["n1", "n2"]))
    fenced = status_of(Group(1, "n1", ["n1", "n2"]), Group(2, "n1", ["n1", "n2"], fenced=["n2"]))
    undecided = status_of(Group(1, "n1", ["n1", "n2"], diverged=True))
    shown = []
    for status, code in ((well, 0), (fenced, 1), (undecided, 1)):
        monkeypatch.setattr("concord.cli.status.fetch", lambda _url, _timeout_s, _token, status=status: status)
        assert run(Namespace(url="", token="", json=False)) == code
        shown.append(capsys.readouterr().out)
    assert "every group has a leader" in shown[0]
    assert "replicas with a WRONG STATE: groups 2" in shown[1]
    assert "n1 n2 (fenced)" in shown[1]
    assert "replicas with a WRONG STATE: groups 1" in shown[2]


def test_a_table_is_aligned_and_plain_when_nobody_looks() -> None:
    assert table(["NAME", "N"], [["a", "1"], ["longer", ""]], io.StringIO()) == "NAME    N\na       1\nlonger\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("x", "1", Terminal()) == "\x1b[1mx\x1b[0m"
    assert paint("x", "1", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "1", Terminal()) == "x"


def test_progress_is_silent_without_a_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.show("x")
    progress.clear()
    assert stream.getvalue() == ""


def test_a_complaint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("a\nb  c")
    assert capsys.readouterr().err == "concord: a b c\n"


def test_the_command_line_needs_nothing_but_msgspec() -> None:
    check = (
        "import sys; before = set(sys.modules); from concord.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit: pass\n"
        "foreign = {n.partition('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print(*foreign)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", check], env={"PYTHONPATH": str(root / "sdk")}, capture_output=True, text=True, check=True
    )
    # msgspec itself looks for typing_extensions.
    assert set(done.stdout.splitlines()[-1].split()) - {"typing_extensions"} == {"concord", "msgspec"}
