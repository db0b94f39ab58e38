"""Opens the audit log that a gateway's settings ask for."""

import secrets
from collections.abc import Callable
from pathlib import Path

from gateway.audit.lines import HASH_KEY_BYTES_MAX, KeyForm, Lines
from gateway.audit.log import AuditLog
from gateway.audit.trail import Trail
from gateway.settings import GatewaySettings

HASH_KEY_BYTES_MIN = 16


def open_trail(settings: GatewaySettings, on_dropped: Callable[[], object]) -> Trail | None:
    """The audit log, begun; None when the settings name none.

    Raises:
        OSError: the log cannot be opened, or the key cannot be read or has a wrong size.
    """
    if not settings.audit_log:
        return None
    form = KeyForm(settings.audit_keys)
    lines = Lines(form, _hash_key(settings.audit_hash_key) if form is KeyForm.HASH else b"")
    log = AuditLog(settings.audit_log, on_dropped=on_dropped)
    log.start()
    return Trail(log, lines, reads=settings.audit_reads, refuses=settings.audit_full == "refuse")


def _hash_key(path: str) -> bytes:
    if not path:
        return secrets.token_bytes(HASH_KEY_BYTES_MAX)
    key = Path(path).read_bytes().strip()
    if not HASH_KEY_BYTES_MIN <= len(key) <= HASH_KEY_BYTES_MAX:
        raise OSError(f"audit_hash_key: expected {HASH_KEY_BYTES_MIN} to {HASH_KEY_BYTES_MAX} bytes in the file")
    return key
