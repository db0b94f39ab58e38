"""docs/metrics.md has every figure that gateways and nodes show, and no other."""

import re
from pathlib import Path

import msgspec
import pytest
from prometheus_client.core import Metric

from shard.figures import families
from tests.gateway.double import SETTINGS, Client, run

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<kind>counter|gauge|histogram) \|(?P<labels>[^|]*)\| (?P<meaning>[^|]+) \|")

Described = dict[str, tuple[str, frozenset[str]]]  # by name: type and labels


def rows(section: str) -> Described:
    """What a section of the page says."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = [line for line in text.splitlines() if line.startswith("| `")]
    matches = [ROW.match(line) for line in found]
    assert all(matches), [line for line, match in zip(found, matches, strict=True) if not match]
    described = {
        match["name"]: (match["kind"], frozenset(re.findall(r"`(\w+)`", match["labels"]))) for match in matches if match
    }
    assert len(described) == len(found), "a name is there twice"
    return described


def shown_by_gateway(scratch: Path) -> Described:
    """What a gateway shows once every label has had a value."""

    async def scenario(client: Client) -> list[Metric]:
        metrics = client.gateway._metrics
        metrics.rpc_ended("read", "OK")
        metrics.watch_ended("gone")
        metrics.wrong_token("refused")
        await client.send("GET", "/health")
        return list(metrics.registry.collect())

    found = run(scenario, settings=msgspec.structs.replace(SETTINGS, auth="on", audit_log=str(scratch / "audit")))
    return {
        metric.name + "_total" * (metric.type == "counter"): (
            metric.type,
            frozenset(label for sample in metric.samples for label in sample.labels) - {"le"},
        )
        for metric in found
    }


def shown_by_node(_: Path) -> Described:
    return {family.name: (family.kind.value, frozenset(family.labels)) for family in families()}


@pytest.mark.parametrize(("section", "shown"), [("Gateways", shown_by_gateway), ("Nodes", shown_by_node)])
def test_the_page_has_every_figure_and_no_other(section: str, shown: object, tmp_path: Path) -> None:
    assert callable(shown)
    assert rows(section) == shown(tmp_path)


def test_the_page_says_of_a_nodes_figures_what_the_node_says() -> None:
    said = {match["name"]: match["meaning"] for line in PAGE.read_text().splitlines() if (match := ROW.match(line))}
    assert {family.name: said[family.name] for family in families()} == {
        family.name: family.help for family in families()
    }


def test_names_keep_to_prometheus_conventions() -> None:
    for family in families():
        assert re.fullmatch(r"concord_(node|group|log|snapshot|transport|rpc)_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind.value == "counter")
        assert family.kind.value != "histogram" or family.name.endswith("_seconds")
        assert family.help.endswith(".")
