"""The page says what was measured, beside what, by which command, and with which spread."""

from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtest.dialects import Operation
from loadtest.errors import LoadtestError
from loadtest.figures import Latencies
from loadtest.plot import LESS, MORE, Bar, ratios
from loadtest.provenance import Provenance, field_of, filesystem_of
from loadtest.redis_mark import parse
from loadtest.report import HEADINGS, Measurement, markdown_table, median, page, ratio_bars, row
from loadtest.workloads import Workload

PUT = Workload(Operation.PUT, 8)
PROVENANCE = Provenance("abc123", "Concord 0.1.0", "2 cores", "ext4", Latencies(9, 0.13, 0.2, 0.4), 0.5)


CSV = """\
"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET","816.33","8.9","0.9","7.359","17.1","24.607","52.415"
"GET","61728.40","0.1","0.02","0.103","0.2","0.303","1.2"
"""


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
    )
    for said in ("make bench", "2026-01-02", "abc123", "2 cores", "ext4", "0.13", "etcd 3.5.1, synced", "**2.00**"):
        assert said in written
    assert "3 rounds of 3 s" in written
    assert "20% / 40%" in written
    assert "took 7.78 ms in Concord and 17.5 ms in etcd" in written
    assert written.endswith("round 2.\n")


def test_what_is_not_synced_has_a_table_of_its_own_and_no_ratio() -> None:
    both = {"Concord": {PUT: rounds(1000)}, "etcd": {PUT: rounds(500)}}
    write = partial(page, setups=[], provenance=PROVENANCE, command="x", date="y", folder="bench", seconds=3, notes=[])
    plain, relaxed = write(both), write({**both, "Concord, os": {PUT: rounds(7770)}})
    assert "7,770" not in plain
    compared, alone = relaxed.split("## Concord without syncs, compared with nothing")
    assert (compared.count("7,770"), alone.count("7,770"), alone.count("500")) == (0, 1, 0)


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


def test_a_further_mark_stands_under_what_it_is() -> None:
    marked = page(
        {"Concord": {PUT: rounds(1000)}, "etcd": {PUT: rounds(500)}},
        [],
        PROVENANCE,
        command="x",
        date="y",
        folder="bench",
        seconds=3,
        notes=[],
        marks=("Redis 7, alone", parse(CSV.splitlines(), 8)),
    )
    last = marked.partition("## A further mark, which is something else")[2]
    assert "Redis 7, alone" in last
    assert "| put       |           8 |    816 |   7.36 / 24.6 / 52.4 |" in last


@pytest.mark.parametrize(
    "text", ["", "Could not connect to Redis", '"test","rps"\n"SET","x"\n', CSV.partition('"GET"')[0]]
)
def test_what_its_benchmark_does_not_say_is_no_mark(text: str) -> None:
    with pytest.raises(LoadtestError, match="redis-benchmark"):
        parse(text.splitlines(), 8)


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
