"""A group's snapshots: the log that they free, a follower that needs one, damage, and power cuts between two steps."""

import itertools
import random

import msgspec
import pytest

from raft.config import RaftConfig
from raft.interface import Committed
from raft.messages import AppendReply, InstallReply, InstallSnapshot
from raft.snapshot_format import SNAPSHOT_DIRECTORY
from raft.snapshot_transfer import SnapshotWriter
from raft.storage_errors import StorageError
from tests.raft.members import SNAPPY, FatalError, Group, Letter, Member, append, entries


def fill(group: Group, name: str, *among: str, count: int = 30) -> Member:
    """Let a leader commit commands among some members, one at a time, so that its log is compacted."""
    leader = group[name]
    for number in range(count):
        leader.propose(b"%d" % number)
        group.settle(*among)
    assert leader.replica.snapshots_taken
    return leader


def lagging() -> tuple[Group, Member, Member]:
    """Leader a, whose log no longer has what member c lacks."""
    group = Group(config=SNAPPY)
    group.elect("a", "a", "b")
    a, c = fill(group, "a", "a", "b"), group["c"]
    assert a.replica.journal.base_index > c.replica.last_index
    group.mail.clear()
    return group, a, c


def sync_log(member: Member) -> None:
    """Let the write-ahead log reach the disk, but no snapshot."""
    while member.log.work() or member.log.turn() or member.loop.run():
        pass


def pieces(group: Group, to: str = "c") -> list[InstallSnapshot]:
    return [message for _, _, message in group.letters(to=to) if isinstance(message, InstallSnapshot)]


def deliver_all_pieces(group: Group, leader: Member, follower: Member) -> None:
    """Ship a snapshot until the follower has all of it and has yet to check and restore it."""
    for _ in range(100):
        leader.heartbeat()
        group.deliver()
        sync_log(follower)
        leader.sync()
        if follower.replica._installation_finishing:
            break
        while follower.shots.work() or follower.shots.turn():
            pass
    assert follower.replica._installation_finishing
    group.mail.clear()


def with_a_flipped_bit(message: Letter) -> Letter:
    if not isinstance(message, InstallSnapshot) or not message.data:
        return message
    return msgspec.structs.replace(message, data=message.data[:-1] + bytes([message.data[-1] ^ 1]))


def first_piece(group: Group, leader: Member) -> InstallSnapshot:
    for _ in range(3):
        leader.heartbeat()
    found = [piece for piece in pieces(group) if piece.data]
    group.mail.clear()
    return found[0]


# --- taking --------------------------------------------------------------------------------------------------------


def test_what_was_installed_counts_as_applied_at_once() -> None:
    """Not only when the loop turns next: until then somebody may ask how far this member is."""
    group, a, c = lagging()
    deliver_all_pieces(group, a, c)
    while not c.replica.snapshots_installed:
        if not (c.shots.work() or c.shots.turn()):
            c.loop.turn()
    assert c.replica.applied_index == c.replica.commit_index == c.replica.snapshot_index > 10
    assert c.machine.commands == a.machine.commands[: len(c.machine.commands)]


def test_a_snapshot_frees_the_log_before_it() -> None:
    group = Group(config=SNAPPY)
    group.elect("a")
    a = fill(group, "a", count=50)
    assert a.replica.journal.base_index > 30
    assert len(a.replica.journal) < 20


def test_some_entries_before_a_snapshot_stay_for_followers_that_lag_a_little() -> None:
    group = Group(config=SNAPPY)
    group.elect("a")
    a = fill(group, "a")
    assert a.replica.journal.base_index == a.replica.snapshot_index - SNAPPY.trailing_entries


def test_the_log_is_kept_until_its_snapshot_is_durable() -> None:
    group = Group(config=SNAPPY)
    group.elect("a")
    a = group["a"]
    for number in range(30):
        a.propose(b"%d" % number)
        for member in group.members.values():
            sync_log(member)
        group.deliver()
    assert (a.replica.snapshot_index, a.replica.journal.base_index) == (0, 1)
    group.settle()
    assert a.replica.snapshot_index > 0


def test_state_and_log_are_back_after_a_power_cut() -> None:
    group = Group(config=SNAPPY)
    group.elect("a")
    a = fill(group, "a", count=25)
    commands, snapshot, last = a.machine.commands, a.replica.snapshot_index, a.replica.last_index
    a.restart()
    assert (a.replica.snapshot_index, a.replica.last_index) == (snapshot, last)
    assert a.machine.commands == commands[: a.replica.applied_index - 2]
    group.elect("a")
    assert a.machine.commands == commands


# --- shipping ------------------------------------------------------------------------------------------------------


def test_a_follower_that_lags_behind_the_log_gets_the_snapshot_and_catches_up() -> None:
    group, a, c = lagging()
    group.beat("a")
    assert c.replica.snapshots_installed == 1
    assert sum(c.host.figures.install.counts) == 1
    assert c.replica.figures.snapshots_installed_bytes > 0
    assert c.machine.commands == a.machine.commands
    more = a.propose(b"more")
    group.settle("a", "c")
    assert isinstance(more[0], Committed)
    assert c.replica.last_index == a.replica.last_index


def test_what_was_installed_is_there_after_a_power_cut() -> None:
    group, a, c = lagging()
    group.beat("a")
    c.restart()
    assert c.replica.applied_index >= a.replica.snapshot_index
    assert c.machine.commands == a.machine.commands[: len(c.machine.commands)] != []


def test_lost_pieces_are_sent_again() -> None:
    group, a, c = lagging()
    rng = random.Random(1)
    for _ in range(60):
        a.heartbeat()
        group.mail = [letter for letter in group.mail if rng.random() < 0.7]
        for name in "ac":
            group[name].sync()
        group.deliver()
        a.sync()
    assert c.machine.commands == a.machine.commands


def test_duplicated_and_late_messages_do_not_multiply_the_pieces() -> None:
    """Each answer calls for the next piece: had each duplicate its own successor, they would grow without end."""
    group, a, c = lagging()
    size = first_piece(group, a).size
    sent = 0
    for _ in range(200):
        a.heartbeat()
        sent += len([piece for piece in pieces(group) if piece.data])
        group.mail = [letter for letter in group.mail for _ in range(2)]
        group.deliver()
        c.sync()
        a.sync()
        if c.machine.commands == a.machine.commands:
            break
    assert c.machine.commands == a.machine.commands
    assert sent <= 4 * (size // SNAPPY.snapshot_chunk_bytes + 1)


def test_a_follower_whose_disk_was_busy_asks_for_more_as_soon_as_it_is_not() -> None:
    group, a, c = lagging()
    group.mail = [("a", "c", first_piece(group, a))]
    for _ in range(20):
        group.deliver()
        sync_log(c)  # but its snapshots' disk hangs
        sync_log(a)
    for _ in range(20):
        c.sync()
        sync_log(a)
        group.deliver()
    assert c.replica.snapshots_installed == 1, "no heartbeat is needed to go on"


def test_an_answer_that_waited_for_the_disk_counts_for_no_later_term() -> None:
    """The leader of the piece may lead again, in that very term, and would take its old clock for a promise."""
    group, a, c = lagging()
    group.mail = [("a", "c", first_piece(group, a))]
    for _ in range(20):
        group.deliver()
        sync_log(c)  # but its snapshots' disk hangs
        sync_log(a)
    c.receive("b", AppendReply(9, False, 0, 0, 0, 0.0, 0))
    sync_log(c)
    group.mail.clear()
    c.sync()
    assert c.replica.term == 9
    assert not group.letters("c", kind=InstallReply)


def test_pieces_are_taken_in_order_only() -> None:
    group, a, c = lagging()
    piece = first_piece(group, a)
    c.receive("a", msgspec.structs.replace(piece, offset=10))
    c.receive("a", piece)
    c.receive("a", piece)
    c.sync()
    offsets = [message.offset for _, _, message in group.letters("c", "a") if isinstance(message, InstallReply)]
    assert offsets == [0, len(piece.data), len(piece.data)]


def test_a_piece_commits_nothing_of_the_followers_own_tail() -> None:
    group = Group(config=SNAPPY)
    c = group["c"]
    c.receive("b", append(c, term=1, entries=entries(1, 1, 1)))
    c.sync()
    group.mail.clear()
    group.elect("a", "a", "b")
    a = fill(group, "a", "a", "b")
    c.receive("a", first_piece(group, a))
    assert (c.replica.commit_index, c.machine.commands) == (1, [])


def test_a_piece_of_an_older_term_is_refused() -> None:
    group, a, c = lagging()
    piece = first_piece(group, a)
    c.receive("b", append(c, term=9))
    group.mail.clear()
    c.sync()
    c.receive("a", piece)
    c.sync()
    [answer] = [message for _, _, message in group.letters("c", "a") if isinstance(message, AppendReply)]
    assert (answer.term, answer.success, c.replica.leader) == (9, False, "b")


def test_a_damaged_snapshot_is_refused_and_fetched_again(caplog: pytest.LogCaptureFixture) -> None:
    group, a, c = lagging()
    damaged = False
    for _ in range(100):
        a.heartbeat()
        if not damaged and any(piece.data for piece in pieces(group)):
            group.mail = [(sender, to, with_a_flipped_bit(message)) for sender, to, message in group.mail]
            damaged = True
        group.deliver()
        c.sync()
        a.sync()
        assert c.machine.commands == a.machine.commands[: len(c.machine.commands)]
    assert "damaged" in caplog.text
    assert c.machine.commands == a.machine.commands
    assert c.replica.snapshots_installed == 1


def test_a_follower_that_has_the_entries_needs_no_snapshot() -> None:
    group, a, c = lagging()
    group.beat("a")
    installed = c.replica.snapshots_installed
    piece = InstallSnapshot(
        term=a.replica.term,
        index=a.replica.snapshot_index,
        index_term=1,
        size=100,
        sha256=bytes(32),
        offset=0,
        data=b"x",
        sent_s=0.0,
        round=0,
    )
    c.receive("a", piece)
    c.sync()
    assert [message.match_index for _, _, message in group.letters("c") if isinstance(message, AppendReply)] == [
        piece.index
    ]
    assert c.replica.snapshots_installed == installed


def test_a_snapshot_does_not_replace_a_log_that_goes_on_from_it() -> None:
    """What follows it in the log may have been acknowledged by this very member."""
    group, a, c = lagging()
    last = a.replica.last_index
    c.receive("a", append(c, term=1, entries=entries(*[1] * (last - 1))))
    c.sync()
    group.mail.clear()
    assert (c.replica.last_index, c.replica.commit_index) == (last, 1)
    piece = first_piece(group, a)
    c.receive("a", piece)
    c.sync()
    assert c.replica.last_index == last
    assert c.replica.commit_index == piece.index
    assert c.replica.snapshots_installed == 0


def test_a_member_does_not_campaign_while_it_restores() -> None:
    group, a, c = lagging()
    deliver_all_pieces(group, a, c)
    group.advance(SNAPPY.election_timeout_s_max + 1)
    c.look_at_timers()
    assert not group.letters("c")
    c.sync()
    group.advance(SNAPPY.election_timeout_s_max + 1)
    c.look_at_timers()
    assert group.letters("c")


def test_entries_do_not_get_into_a_log_that_is_about_to_be_replaced() -> None:
    group, a, c = lagging()
    deliver_all_pieces(group, a, c)
    c.receive("a", append(c, entries=entries(1)))
    assert c.replica.last_index == 1
    group.beat("a")
    assert c.machine.commands == a.machine.commands


def test_entries_that_a_followers_snapshot_holds_already_are_skipped() -> None:
    group, _a, c = lagging()
    group.beat("a")
    last, base = c.replica.last_index, c.replica.journal.base_index
    c.receive("a", append(c, prev_index=base - 3, prev_term=1, entries=entries(1, 1, 1, 1)))
    c.sync()
    assert c.replica.last_index == last
    assert [message.match_index for _, _, message in group.letters("c") if isinstance(message, AppendReply)] == [
        base + 1
    ]


# --- power cuts between two steps ----------------------------------------------------------------------------------


def test_a_power_cut_after_the_snapshots_rename_and_before_the_logs_record_loses_nothing() -> None:
    """At the member that takes it: the log still begins before the snapshot."""
    group = Group(config=SNAPPY)
    group.elect("a")
    a = group["a"]
    for number in range(30):
        a.propose(b"%d" % number)
        sync_log(a)
        group.deliver("a")
        group["b"].sync()
        group["c"].sync()
        group.deliver(to="a")
        while a.shots.work() or a.shots.turn():
            a.loop.run()
            if a.replica.snapshots_taken:
                break
        if a.replica.snapshots_taken:
            break
    taken = a.replica.snapshot_index
    assert a.host.wal.durable < a.host.wal.written, "the record of the compaction is not durable yet"
    a.restart()
    assert (a.replica.snapshot_index, a.replica.journal.base_index) == (taken, 1)
    assert a.machine.commands == [b"%d" % at for at in range(taken - 2)]


def test_a_power_cut_after_an_installed_snapshots_rename_and_before_the_logs_record_loses_nothing() -> None:
    """At the member that got it: the log ends before the snapshot begins."""
    group, a, c = lagging()
    for _ in range(1000):
        if c.host._store.latest(7) is not None:
            break
        a.heartbeat()
        group.deliver()
        sync_log(c)
        c.shots.work()
        c.shots.turn()
        a.sync()
    assert c.replica.journal.base_index == 1
    c.restart()
    taken = c.replica.snapshot_index
    assert c.replica.applied_index == c.replica.journal.base_index == taken > 1
    assert c.replica.term >= c.replica.journal.last_term
    assert c.machine.commands == a.machine.commands[: taken - 2]
    group.mail.clear()
    group.beat("a")
    assert c.machine.commands == a.machine.commands


def test_a_log_whose_snapshot_is_gone_ends_the_process() -> None:
    """Without what came before, the member would serve an empty state as if it were the group's."""
    group = Group(config=SNAPPY)
    group.elect("a")
    a = fill(group, "a")
    for name in a.disk.listdir(f"{SNAPSHOT_DIRECTORY}/7"):
        a.disk.remove(f"{SNAPSHOT_DIRECTORY}/7/{name}")
    with pytest.raises(FatalError, match="no snapshot that holds what came before"):
        a.restart()


def test_a_damaged_snapshot_ends_the_start() -> None:
    group = Group(config=SNAPPY)
    group.elect("a")
    a = fill(group, "a")
    [name] = a.disk.listdir(f"{SNAPSHOT_DIRECTORY}/7")
    a.disk.corrupt(f"{SNAPSHOT_DIRECTORY}/7/{name}", 200, 0x10)
    with pytest.raises((StorageError, FatalError)):
        a.restart()


def write_another(member: Member) -> SnapshotWriter:
    """A snapshot of another group of the node that is never complete."""
    return member.host._store.write(
        9,
        1,
        1,
        itertools.repeat(b"x"),
        schedule=lambda _work, _delay_s=0.0: None,
        budget_s=1.0,
        clock=member.host.now,
        done=lambda meta: pytest.fail(str(meta)),
    )


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_node_takes_one_snapshot_at_a_time_and_then_those_that_were_put_off(name: str) -> None:
    group = Group(config=SNAPPY)
    group.elect("a")
    replica = group[name].replica
    other = write_another(group[name])
    for number in range(30):
        group["a"].propose(b"%d" % number)
        group.settle()
    group["a"].heartbeat()
    group.settle()
    assert (replica.snapshots_taken, replica.applied_index > 20) == (0, True)
    other.cancel()
    group[name].scan()
    group.settle()
    assert replica.snapshots_taken == 1  # though nobody wrote anything any more


def test_a_fenced_member_does_not_wait_for_a_snapshot_that_was_put_off() -> None:
    group = Group(config=SNAPPY)
    group.elect("a")
    other = write_another(group["b"])
    for number in range(30):
        group["a"].propose(b"%d" % number)
        group.settle()
    other.cancel()
    assert group["b"].replica.due(group.now)
    group["b"].replica.fence(group["b"].replica.applied_index)
    assert not group["b"].replica.due(group.now)


# --- what the write-ahead log asks for -----------------------------------------------------------------------------


def test_a_group_that_holds_old_segments_lets_go_of_them() -> None:
    config = RaftConfig(snapshot_entries=1_000_000, segment_bytes=1 << 13, log_bytes=1 << 15, rewrite_bytes=600)
    group = Group(config=config)
    group.elect("a")
    a = group["a"]
    for _ in range(300):
        a.propose(bytes(500))
        group.settle()
    assert a.replica.snapshots_taken > 0
    assert a.host.wal.size_bytes <= 2 * config.log_bytes
    outcome = a.propose(b"goes on")
    group.settle()
    assert isinstance(outcome[0], Committed)
