"""What each status of an item that was refused means to a user: the code of the API, and one sentence. Pure."""

from wire.messages import Status

REFUSALS: dict[Status, tuple[str, str]] = {
    Status.NOT_FOUND: ("NOT_FOUND", "there is no such key"),
    Status.PRECONDITION_FAILED: ("PRECONDITION_FAILED", "the key is not as the request expects"),
    Status.NOT_A_NUMBER: ("CONFLICT", "the value is not a whole number of 64 bits"),
    Status.OUT_OF_RANGE: ("CONFLICT", "the sum would be out of range"),
    Status.REUSED_KEY: ("CONFLICT", "the idempotency key was used for another request"),
    Status.TOO_LARGE: ("BATCH_TOO_LARGE", "the transaction reads more than 4 MiB"),
    Status.LOCKED: ("CONFLICT", "another holds the lock"),
    Status.NOT_HOLDER: ("CONFLICT", "the lock is not held by this owner under this fence"),
    Status.QUEUE_FULL: ("TOO_MANY_REQUESTS", "as many wait for the lock as may"),
}
