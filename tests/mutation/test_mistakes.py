"""Every planted mistake still fits the code, and planting it changes what is imported.

That each is noticed is shown by `make mutants`, and for a few of them by the simulation's own tests.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mistake import Mistake
from tests.mutation.mistakes import MISTAKES
from tests.mutation.planting import AlreadyImportedError, mutated, plant

ROOT = Path(__file__).parents[2]


def source_of(mistake: Mistake) -> str:
    return (ROOT / mistake.module.replace(".", "/")).with_suffix(".py").read_text()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_replaces_one_place_of_the_code_and_compiles(name: str) -> None:
    mistake = MISTAKES[name]
    changed = mutated(source_of(mistake), mistake)
    assert changed != source_of(mistake)
    compile(changed, mistake.module, "exec")


def test_no_name_is_used_twice() -> None:
    places = [(mistake.module, mistake.right, mistake.wrong) for mistake in MISTAKES.values()]
    assert len(set(places)) == len(places)


def test_a_planted_mistake_is_what_gets_imported() -> None:
    program = """
from tests.mutation.mistakes import MISTAKES
from tests.mutation.planting import plant
plant(MISTAKES["lease-for-ever"])
from raft.lease import Lease
print(Lease(["b", "c"], 1.0).valid(1e9))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_mistake_is_not_planted_too_late() -> None:
    import raft.lease  # noqa: F401, PLC0415 - it is being imported that is tested

    with pytest.raises(AlreadyImportedError):
        plant(MISTAKES["lease-for-ever"])
