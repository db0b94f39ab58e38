"""What the exit codes of `concord` mean. `concord --help` is written from this, and docs/cli.md is compared with it."""

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
CONFLICT = 5
DENIED = 6
UNKNOWN = 7
UNAVAILABLE = 8
LOCK_LOST = 124
LOCK_REFUSED = 125
NOT_EXECUTABLE = 126
NO_SUCH_COMMAND = 127
INTERRUPTED = 130

MEANINGS = {
    DONE: "done",
    FAILED: "failed; for status and doctor: something is wrong with the cluster",
    USAGE: "wrong use: the command line, a value or a file is not what it has to be",
    UNREACHABLE: "nobody answers at the URL, or somebody who is no gateway",
    NOT_FOUND: "there is no such key",
    CONFLICT: "a condition did not hold, another has the lock, or the value is no number or would leave its range",
    DENIED: "no token, or one that is not good or may not do this",
    UNKNOWN: "a write may have been applied, or may yet be: read before you write again",
    UNAVAILABLE: "no leader, no time or too much at once: not applied, try again",
    LOCK_LOST: "lock run: the lock was lost and the command was ended",
    LOCK_REFUSED: "lock run: the lock was not got, and the command was not started",
    NOT_EXECUTABLE: "lock run: the command cannot be executed",
    NO_SUCH_COMMAND: "lock run: there is no such command",
    INTERRUPTED: "Ctrl-C",
}
"""By code. `lock run` otherwise ends with the code of its command, 128 + n when signal n ended it."""

CODES = {
    FAILED: "FAILED",
    USAGE: "USAGE",
    UNREACHABLE: "CONNECTION_FAILED",
    NOT_FOUND: "NOT_FOUND",
    CONFLICT: "CONFLICT",
    DENIED: "UNAUTHORIZED",
    UNKNOWN: "UNKNOWN",
    UNAVAILABLE: "CLUSTER_UNAVAILABLE",
}
"""What an error says to a program that has no code of the API."""
RETRYABLE = {UNREACHABLE, UNKNOWN, UNAVAILABLE}
"""The same command may succeed later."""


def epilog() -> str:
    """The codes as lines of a help text."""
    return "exit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items())
