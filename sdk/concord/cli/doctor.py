"""`concord doctor`: looks at a cluster and at a data directory, and says what is wrong and what to do about it."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from concord.cli import exits
from concord.cli.arguments import Commands
from concord.cli.console import GREEN, RED, YELLOW, CliError, paint
from concord.cli.diagnosis import Finding
from concord.cli.gateways import add_gateway_arguments, urls_of
from concord.cli.output import print_json

DESCRIPTION = """Look for what is wrong with a cluster and say what to do: does each gateway answer and let us in, is every group
led, do its replicas agree, which nodes are down, what would a failure cost, do the clocks agree. With --data-dir it looks
at the directory of a node or of concord up on this machine, too, and with nothing else (--local) only at that. It writes
nothing. Exit code 1 when something has failed; a warning is none."""
STYLES = {"ok": GREEN, "warn": YELLOW, "fail": RED}


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("doctor", help="find what is wrong and say what to do", description=DESCRIPTION)
    add_gateway_arguments(parser)
    parser.add_argument("--data-dir", metavar="DIR", help="look at this directory of this machine, too")
    parser.add_argument("--local", action="store_true", help="look at --data-dir alone, ask no gateway")
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each check")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make all checks, and print each as it is done."""
    if options.local and options.data_dir is None:
        raise CliError("--local needs --data-dir", exit_code=exits.USAGE)
    found = []
    for finding in _findings(options):
        found.append(finding)
        if options.json:
            print_json(finding)
        else:
            sys.stdout.write(_line(finding))
        sys.stdout.flush()
    if not options.json:
        sys.stdout.write(_summary(found))
    return exits.FAILED if any(one.level == "fail" for one in found) else exits.DONE


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    from concord.cli import doctor_cluster, doctor_local  # noqa: PLC0415 - the help does without

    if not options.local:
        yield from doctor_cluster.findings(urls_of(options.url), options.token)
    if options.data_dir is not None:
        yield from doctor_local.findings(Path(options.data_dir))


def _line(finding: Finding) -> str:
    line = f"{paint(f'{finding.level:<4}', STYLES[finding.level], sys.stdout)}  {finding.check}: {finding.message}\n"
    return line + (f"      → {finding.hint}\n" if finding.hint else "")


def _summary(found: Sequence[Finding]) -> str:
    count = {level: sum(one.level == level for one in found) for level in STYLES}
    return f"\n{count['ok']} ok, {count['warn']} to look at, {count['fail']} failed\n"
