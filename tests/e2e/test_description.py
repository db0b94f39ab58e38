"""A share of `python -m tests.e2e.description`: whatever the served description allows works, whatever it forbids is refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.cluster import local_cluster
from tests.e2e.description import SIZE, try_out
from tests.e2e.guarded import Guarded

TIMEOUT_S = 300.0
OF_KEYS = "/api/v1/kv"
"""What is asked by one process while another asks the rest: most of the time they think of what to ask."""

FOR_TOKENS = ("--include-path-regex", "/api/v1/(tokens|status)|/metrics", "--phases", "coverage,fuzzing")
"""What answers otherwise when tokens are asked for; not in sequence, which would rotate the token that is used."""


def test_every_request_that_the_description_allows_or_forbids_is_answered_as_it_says(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "data", *SIZE) as cluster, ThreadPoolExecutor() as executor:
        cluster.start()
        parts = [
            executor.submit(try_out, cluster.url, tmp_path, 1, flag, OF_KEYS, timeout_s=TIMEOUT_S)
            for flag in ("--include-path-regex", "--exclude-path-regex")
        ]
        for done in [part.result() for part in parts]:
            assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
            assert "passed" in done.stdout, done.stdout


def test_what_asks_for_a_token_answers_as_the_description_says(guarded: Guarded, tmp_path: Path) -> None:
    done = try_out(guarded.cluster.url, tmp_path, 1, *FOR_TOKENS, token=guarded.root, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "passed" in done.stdout, done.stdout
