"""The served OpenAPI document is tried out against real processes: whatever it allows works, whatever it forbids is refused.

Schemathesis draws requests from the document, valid and invalid, alone and in sequence, and checks every answer against it: status,
content type, body, headers, no failure of the server. What its checks are told is in schemathesis.toml.
"""

import subprocess
import sys
from pathlib import Path

from tests.e2e.cluster import ROOT, local_cluster

CONFIG = ROOT / "tests" / "e2e" / "schemathesis.toml"
EXAMPLES = 4  # of each operation, beside those that cover the edges of its schema
TIMEOUT_S = 300.0


def test_every_request_that_the_description_allows_or_forbids_is_answered_as_it_says(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "data", "--groups", "2", "--durability", "memory") as cluster:
        cluster.start()
        words = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
        where = [f"{cluster.url}/api/v1/openapi.json", "--url", cluster.url]
        flags = ["--max-examples", str(EXAMPLES), "--no-color", "--suppress-health-check", "all"]
        done = subprocess.run(
            [*words, *where, *flags], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "passed" in done.stdout, done.stdout
