"""Key to slot: the one hash that every gateway and every replica must agree on."""

import xxhash

SLOT_COUNT = 16384


def tag(key: str) -> str:
    """The part of a key that is hashed: the text in its first non-empty `{…}`, else the whole key.

    Keys that share a tag share a slot, so they can change together (the hash-tag rule of Redis Cluster).
    """
    opening = key.find("{")
    if opening < 0:
        return key
    closing = key.find("}", opening + 1)
    return key[opening + 1 : closing] if closing > opening + 1 else key


def slot_of(key: str) -> int:
    """The slot of a key, `0 <= slot < SLOT_COUNT`."""
    hashed = tag(key) if "{" in key else key  # every replica does this for every item: most keys have no tag
    return xxhash.xxh3_64_intdigest(hashed.encode()) % SLOT_COUNT
