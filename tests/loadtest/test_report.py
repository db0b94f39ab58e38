"""The page says what was measured, beside what, by which command, and with which spread."""

import platform
import sys
import sysconfig
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtest.dialects import Operation
from loadtest.figures import Latencies
from loadtest.plot import LESS, MORE, Bar, ratios
from loadtest.provenance import Provenance, field_of, filesystem_of, python_build
from loadtest.report import HEADINGS, Measurement, markdown_table, median, page, ratio_bars, row
from loadtest.workloads import Workload

PUT = Workload(Operation.PUT, 8)
PROVENANCE = Provenance("abc123", "Concord 0.1.0", "2 cores", "ext4", Latencies(9, 0.13, 0.2, 0.4), 0.5)


def rounds(*rates: float) -> list[Measurement]:
    return [
        Measurement(rate, 1000 / rate, 5000 / rate, 6000 / rate, 7000 / rate, 1e6 / rate, 1e5 / rate) for rate in rates
    ]


def test_medians_are_taken_of_each_figure_by_itself() -> None:
    found = median(
        [
            Measurement(100, 9, 30, 35, 40, 5, 70),
            Measurement(300, 7, 20, 25, 41, 4, 90),
            Measurement(200, 8, 10, 15, 42, 6, 80),
        ]
    )
    assert (found.per_s, found.p50_ms, found.p99_ms, found.p999_ms, found.cpu_us) == (200, 8, 20, 25, 5)
    assert found.written_bytes == 80
    assert found.spread == pytest.approx(1.0)


def test_the_ratio_is_of_concord_to_etcd() -> None:
    cells = dict(zip(HEADINGS, row(PUT, median(rounds(3000)), median(rounds(2000))), strict=True))
    assert cells["ratio"] == "**1.50**"
    assert (cells["Concord per s"], cells["etcd per s"]) == ("3,000", "2,000")


def test_a_table_has_a_line_for_each_row_and_aligned_columns() -> None:
    lines = markdown_table(["a", "long heading"], [["first", "1"], ["x", "12"]]).splitlines()
    assert lines == [
        "| a     | long heading |",
        "| ----- | -----------: |",
        "| first |            1 |",
        "| x     |           12 |",
    ]


def test_the_page_says_where_it_comes_from() -> None:
    written = page(
        {"Concord": {PUT: rounds(1000, 1100, 900)}, "etcd": {PUT: rounds(500, 600, 400)}},
        ["Concord, synced", "etcd 3.5.1, synced"],
        PROVENANCE,
        command="make bench",
        date="2026-01-02 03:04 UTC",
        folder="bench",
        seconds=3,
        notes=["etcd changed leaders under load in round 2."],
        sections=["## More\n\nbesides\n"],
    )
    for said in ("make bench", "2026-01-02", "abc123", "2 cores", "ext4", "0.13", "etcd 3.5.1, synced", "**2.00**"):
        assert said in written
    assert "3 rounds of 3 s" in written
    assert "20% / 40%" in written
    assert "took 7.78 ms in Concord and 17.5 ms in etcd" in written
    assert written.endswith("round 2.\n\n## More\n\nbesides\n")


def test_the_plot_has_a_bar_for_each_workload_to_the_side_of_who_is_ahead() -> None:
    get = Workload(Operation.GET, 64)
    bars = ratio_bars(
        {"Concord": {PUT: rounds(50, 100), get: rounds(30)}, "etcd": {PUT: rounds(25, 40), get: rounds(60)}}
    )
    assert bars[0] == Bar("put, 100 B, uniform, c = 8", 2.0, 50 / 40, 100 / 25)
    drawn = ET.fromstring(ratios("Concord : etcd & co", bars))  # noqa: S314 - our own
    rects = [each for each in drawn.iter("{http://www.w3.org/2000/svg}rect") if each.get("fill") != "white"]
    assert [each.get("fill") for each in rects] == [MORE, LESS]
    assert {each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")} >= {
        "2.00",
        "0.50",
        "Concord : etcd & co",
    }


def test_a_chart_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs bars"):
        ratios("nothing", [])


MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/vdb /run/with\\040blank xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [("/nowhere/a", "ext4"), ("/run/x", "tmpfs"), ("/runner", "ext4"), ("/run/with blank/a", "xfs")],
)
def test_the_file_system_is_that_of_the_nearest_mount(directory: str, kind: str) -> None:
    assert filesystem_of(Path(directory), MOUNTS) == kind


def test_the_first_value_of_a_field_is_taken() -> None:
    text = "processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n"
    assert field_of(text, "model name") == "A: B"
    assert field_of(text, "bogomips") == ""


@pytest.mark.parametrize(
    ("prefix", "arguments", "says"),
    [
        ("/usr", "", "of Debian GNU/Linux"),
        ("/opt/python", "'--enable-optimizations' '--with-lto'", "built with optimizations"),
        ("/opt/python", None, "built without optimizations"),
    ],
)
def test_the_page_says_how_its_python_was_built(
    monkeypatch: pytest.MonkeyPatch, prefix: str, arguments: str | None, says: str
) -> None:
    monkeypatch.setattr(sys, "base_prefix", prefix)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"NAME": "Debian GNU/Linux"})
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _name: arguments)

    assert python_build() == f"Python {platform.python_version()} {says}"
