"""Try the served OpenAPI document out for long: `python -m tests.e2e.description --examples 100`.

Schemathesis draws requests from the document, valid and invalid, alone and in sequence, and checks every answer against it:
status, content type, body, headers, authentication, no failure of the server. What its checks are told is in schemathesis.toml.
Three clusters are asked, one after the other: one without tokens, one with a token that may do everything, and one whose token may
do everything but make tokens.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from tests.e2e.cluster import ROOT, Client, local_cluster
from tests.e2e.guarded import Guarded, guarded_cluster

CONFIG = ROOT / "tests" / "e2e" / "schemathesis.toml"
TIMEOUT_S = 3600.0
UNTHROTTLED = {"CONCORD_FAILED_LOGINS": "10000"}  # so many wrong tokens are sent in a row that 401 would become 429
SIZE = ("--groups", "2", "--durability", "memory")
CASES = re.compile(r"Test cases:\s+(\d+) generated")
SUMMARY = re.compile(r"=+ SUMMARY =+.*", re.DOTALL)


def try_out(
    url: str,
    directory: Path,
    examples: int,
    *more: str,
    token: str = "",
    seed: int = 1,
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Try out a gateway's description; exit code 0 when every answer was as it says.

    Args:
        url: of the gateway.
        directory: for what schemathesis leaves behind.
        examples: of each operation, beside those that cover the edges of its schema.
        more: flags of schemathesis.
        token: sent with every request but those that are to be refused without; "" for none.
        seed: of the chance.
        timeout_s: for all of it.
    """
    words = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    where = [f"{url}/api/v1/openapi.json", "--url", url, *(["-H", f"Authorization: Bearer {token}"] if token else [])]
    flags = ["--max-examples", str(examples), "--seed", str(seed), "--no-color", "--suppress-health-check", "all"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}  # of the check that schemathesis.toml names
    return subprocess.run(
        [*words, *where, *flags, *more],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def token_without_admin(guarded: Guarded) -> str:
    """A token that may do everything but make tokens."""
    client = Client(guarded.cluster.port)
    body = {"name": "user", "scopes": [{"prefix": "", "verbs": ["read", "write", "lock", "watch"]}]}
    token: str = guarded.ask(client, "POST", "/tokens", body).data["token"]
    client.close()
    return token


def main() -> int:
    """Run the program."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--examples", type=int, default=100, help="of each operation (%(default)s)")
    flags.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    flags.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    ways = {"open": "without tokens", "admin": "with the first token", "user": "with a token without admin"}
    flags.add_argument("--ways", nargs="+", choices=ways, default=list(ways))
    arguments = flags.parse_args()
    failed, figures = False, dict[str, float]()
    for way in arguments.ways:
        with ExitStack() as held:
            directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="concord-description-")))
            token = ""
            if way == "open":
                cluster = held.enter_context(local_cluster(directory / "data", *SIZE))
                cluster.start()
            else:
                guarded = held.enter_context(guarded_cluster(directory / "data", *SIZE, environ=UNTHROTTLED))
                cluster, token = guarded.cluster, guarded.root if way == "admin" else token_without_admin(guarded)
            done = try_out(cluster.url, directory, arguments.examples, token=token, seed=arguments.seed)
        failed |= done.returncode != 0
        cases = CASES.search(done.stdout)
        figures[f"requests {ways[way]}"] = int(cases[1]) if cases else 0
        summary = SUMMARY.search(done.stdout)
        sys.stdout.write(f"{ways[way]}: exit code {done.returncode}\n")
        sys.stdout.write((summary[0] if summary and not done.returncode else done.stdout + done.stderr) + "\n")
        sys.stdout.flush()
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.encode(figures))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
