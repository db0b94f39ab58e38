"""All known mistakes, by name: what a hasty change could make of each rule of `raft/` (its README lists them)."""

from tests.mutation.in_beats import BEATS
from tests.mutation.in_elections import ELECTIONS
from tests.mutation.in_fencing import FENCING
from tests.mutation.in_log import LOG
from tests.mutation.in_outcomes import OUTCOMES
from tests.mutation.in_replication import REPLICATION
from tests.mutation.in_snapshots import SNAPSHOTS

MISTAKES = {
    mistake.name: mistake for mistake in (*ELECTIONS, *REPLICATION, *BEATS, *OUTCOMES, *LOG, *SNAPSHOTS, *FENCING)
}
