"""What `concord doctor` finds out over HTTP. The judging is pure; `findings` asks."""

import datetime as dt
import email.utils
import ipaddress
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from concord.cli import exits
from concord.cli.console import CliError
from concord.cli.diagnosis import Finding, fail, ok, warn
from concord.cli.gateways import TOKEN_VARIABLE
from concord.cli.members import GroupState, Member, groups, members
from concord.cli.probe import LIVENESS_PATH, Answer, error_message, get
from concord.cli.status import STATUS_PATH, numbers

READY_PATH = "/readyz"
TIMEOUT_S = 5.0
SKEW_S_MAX = 2.0
FAULTS_TOLERATED_FROM = 3
"""Replicas from which on one may be lost."""


def findings(urls: Sequence[str], token: str) -> Iterator[Finding]:
    """All checks, in the order in which one explains the next."""
    useful = ""
    for url in urls:
        alive = False
        for finding in gateway_findings(url, token):
            yield finding
            alive = finding.level != "fail"
        useful = useful or (url if alive else "")
    if not useful:
        hint = "mend the gateway or the token first"
        yield warn("cluster", "no gateway tells anything about it", hint)
        return
    try:
        nodes, states = members(useful, token), groups(useful, token)
    except CliError as error:
        yield fail("cluster", error.message, "try again; if it stays so, see the gateway's log")
        return
    yield from node_findings(nodes)
    yield from group_findings(states)
    yield from placement_findings(nodes, states)


def gateway_findings(url: str, token: str) -> Iterator[Finding]:
    """Ask one gateway: reachable, its clock, ready, whether the token is good. The last finding says whether it is of use."""
    name = f"gateway {url}"
    asked_at = time.time()
    try:
        answer = get(url, LIVENESS_PATH, TIMEOUT_S)
        answered_at = time.time()
        ready = get(url, READY_PATH, TIMEOUT_S)
        status = get(url, STATUS_PATH, TIMEOUT_S, token)
        anonymous = get(url, STATUS_PATH, TIMEOUT_S).status if token else status.status
    except CliError as error:
        if error.exit_code == exits.USAGE:
            raise
        yield fail(name, error.message, "start it (concord up, concord gateway), or check --url and the firewall")
        return
    yield from clock_findings(name, answer.date, asked_at, answered_at)
    if ready.status != 200:
        yield fail(f"{name} ready", error_message(ready.body), "see whether the nodes are up and the gateway's --nodes")
    yield from token_findings(url, token, status, asks_for_tokens=anonymous == 401)


def clock_findings(name: str, date: str, asked_at: float, answered_at: float) -> Iterator[Finding]:
    """Compare the time of a gateway's answer (header Date, whole seconds) with when we asked and heard it."""
    try:
        told = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return
    told_at = told.replace(tzinfo=told.tzinfo or dt.UTC).timestamp()
    ahead_s, behind_s = told_at - answered_at, asked_at - (told_at + 1.0)
    if max(ahead_s, behind_s) > SKEW_S_MAX:
        said = f"{ahead_s:.0f} s ahead of" if ahead_s > 0 else f"{behind_s:.0f} s behind"
        hint = "set both by NTP; keys do not live by it, but tokens expire by it and logs are dated by it"
        yield warn(f"{name} clock", f"{said} this machine's", hint)


def token_findings(url: str, token: str, status: Answer, *, asks_for_tokens: bool) -> Iterator[Finding]:
    """Whether we are let in, and whether others are, too."""
    name = f"gateway {url}"
    if status.status in {401, 403}:
        what = "does not take the token" if token else "asks for a token"
        yield fail(
            name, f"answers, but {what}", f"set {TOKEN_VARIABLE}; the first one is made by concord token bootstrap"
        )
        return
    if status.status != 200:
        yield fail(name, f"{status.status}: {error_message(status.body)}", "no node answers it: are the nodes up?")
        return
    if token and urlsplit(url).scheme == "http" and not _is_loopback(url):
        yield warn(
            f"{name} token", "goes over plain HTTP, where it can be overheard", "put TLS in front of the gateway"
        )
    if not asks_for_tokens and not _is_loopback(url):
        yield warn(f"{name} token", "lets everybody in without one", "start it with --auth on, see docs/tokens.md")
    yield ok(name, "answers" + (", and takes the token" if token and asks_for_tokens else ""))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def node_findings(nodes: Sequence[Member]) -> Iterator[Finding]:
    """Who is down, and what an answer of each node waits for."""
    down = [one for one in nodes if not one.reachable]
    for one in down:
        yield fail(
            f"node {one.name}", f"does not answer at {one.address}", "start it; if it does not start, its log says why"
        )
    if not down:
        yield ok("nodes", f"all {len(nodes)} answer")
    weak = {one.durability for one in nodes if one.durability} - {"fsync"}
    if "memory" in weak:
        hint = "start the nodes with --durability fsync, unless the data may go"
        yield warn("durability", "memory: what was acknowledged is gone when a majority's processes end", hint)
    elif weak:
        hint = "start the nodes with --durability fsync, unless power cuts do not matter"
        yield warn(
            "durability", f"{', '.join(sorted(weak))}: a power cut of a majority loses acknowledged writes", hint
        )
    elif nodes != down:
        yield ok("durability", "fsync: an answer waits for the disks of a majority")
    newest = max((one.epoch for one in nodes if one.epoch is not None), default=0)
    behind = [one.name for one in nodes if one.epoch is not None and one.epoch < newest]
    if behind:
        hint = "try again in a moment; if it stays so, they do not reach placement"
        yield warn("cluster map", f"{' '.join(behind)} have an older one than epoch {newest}", hint)


def group_findings(states: Sequence[GroupState]) -> Iterator[Finding]:
    """Who is not led, and whose replicas do not agree."""
    leaderless = [one.id for one in states if not one.leader]
    if leaderless:
        hint = "a majority of its replicas must be up: concord groups shows which nodes have them"
        yield fail("leaders", f"groups {numbers(leaderless)} have none, their keys cannot be used", hint)
    elif states:
        yield ok("leaders", f"all {len(states)} groups have one")
    else:
        yield fail("groups", "there are none", "placement makes them once all expected nodes have come")
    for one in states:
        if one.fenced:
            hint = "it serves nothing and mends itself from the leader; if it stays so, see docs/adr/0004"
            yield fail(f"group {one.id}", f"the state of its replica on {' '.join(one.fenced)} is wrong", hint)
        elif one.diverged:
            hint = "keep the data directories of its nodes, they are the evidence, and see docs/adr/0004"
            yield fail(f"group {one.id}", "its replicas differ, and it is not known which is right", hint)
    if states and not any(one.fenced or one.diverged for one in states):
        yield ok("replicas", "those of each group agree, as of their last comparison")


def placement_findings(nodes: Sequence[Member], states: Sequence[GroupState]) -> Iterator[Finding]:
    """What the loss of a node, or of a zone, would cost."""
    alive = {one.name for one in nodes if one.reachable}
    idle = alive - {name for one in states for name in one.replicas}
    if states and idle:
        hint = "a cluster that has begun gives its groups to no other nodes, see docs/operations.md"
        yield warn("nodes", f"{' '.join(sorted(idle))} host no group and replace nobody", hint)
    zones = {one.name: one.zone or one.name for one in nodes}
    few = [one.id for one in states if len(one.replicas) < FAULTS_TOLERATED_FROM]
    if few:
        hint = "at the first start of a cluster, ask for --replicas 3 on as many nodes"
        yield warn("copies", f"groups {numbers(few)} have fewer than 3 replicas: no node may fail", hint)
    edge = [one.id for one in states if one.id not in few and _spare(one, alive) == 0]
    if edge:
        yield warn(
            "copies",
            f"groups {numbers(edge)} stand still when one more node fails",
            "bring back the nodes that are down; one that is lost cannot be replaced yet, see docs/operations.md",
        )
    together = [one.id for one in states if one.id not in few and _a_zone_has_the_majority(one, zones)]
    if together:
        hint = "give the nodes of each site a --zone of its own"
        yield warn("zones", f"groups {numbers(together)} have a majority in one zone", hint)
    if states and not (few or edge or together):
        yield ok("copies", "every group outlives the loss of a node, and of a zone")


def _spare(state: GroupState, alive: set[str]) -> int:
    """How many more replicas a group may lose; below 0 it has lost its majority."""
    return sum(node in alive for node in state.replicas) - (len(state.replicas) // 2 + 1)


def _a_zone_has_the_majority(state: GroupState, zones: dict[str, str]) -> bool:
    counts = Counter(zones.get(node, node) for node in state.replicas)
    return max(counts.values(), default=0) > len(state.replicas) // 2
