"""Who may talk, and what it costs (items 44 to 48 of docs/audit.md); our side is in tests/wire and tests/raft."""

from pathlib import Path

from tests.audit.shipped import shipped

SUCCESS = 0


def test_the_library_as_shipped_runs_a_strangers_code(tmp_path: Path) -> None:
    assert shipped("network.code_from_a_stranger", tmp_path) == {"ran": ["a stranger was here"]}


def test_the_library_as_shipped_shows_a_stranger_everything_and_obeys_it(tmp_path: Path) -> None:
    assert shipped("network.data_for_a_stranger", tmp_path) == {"read": "secret value", "members": 2}


def test_the_library_as_shipped_takes_its_term_from_a_stranger(tmp_path: Path) -> None:
    assert shipped("network.a_term_of_a_stranger", tmp_path) == {"term": 10**12}


def test_the_library_as_shipped_takes_a_frame_three_times_in_spite_of_its_password(tmp_path: Path) -> None:
    assert shipped("network.a_frame_three_times", tmp_path) == {"accepted": 3}


def test_the_library_as_shipped_unpacks_little_into_much(tmp_path: Path) -> None:
    found = shipped("network.a_frame_that_unpacks", tmp_path)
    assert found["KiB sent"] < 100
    assert found["MiB unpacked"] == 64


def test_the_library_as_shipped_never_listens_again_after_it_ran_out_of_descriptors(tmp_path: Path) -> None:
    assert shipped("network.out_of_descriptors", tmp_path) == {"listens": False}


def test_the_library_as_shipped_acknowledges_on_a_strangers_word(tmp_path: Path) -> None:
    assert shipped("network.an_acknowledgement_of_a_stranger", tmp_path) == {"outcomes": [[None, SUCCESS]]}
