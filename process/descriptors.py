"""File descriptors: as many as the system gives, and a share of them kept from peers.

A process that strangers can make run out of descriptors cannot open the next segment of its log, and a node whose log fails
has to end. So the limit on connections never comes near the limit of the system.
"""

import resource

DESCRIPTORS_MAX = 1 << 16  # more than any limit here asks for; a table of them costs the kernel memory
RESERVED = 256  # for the log, snapshots, channels to other processes, and whatever Python opens


def raise_limit() -> int:
    """Raise this process's limit as far as it may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


def present_limit() -> int:
    """How many this process may open as it is."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


def connections_that_fit(wanted: int, descriptors: int) -> int:
    """So many connections as are wanted, or as leave the reserve, or, where there is hardly anything, half."""
    return min(wanted, max(descriptors - RESERVED, descriptors // 2))
