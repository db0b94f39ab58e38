"""The audit log: who did what to which keys, and what came of it; never a value, never a secret. See docs/audit-log.md."""

from gateway.audit.lines import KeyForm, Lines
from gateway.audit.log import AuditLog
from gateway.audit.opening import open_trail
from gateway.audit.trail import Trail

__all__ = ["AuditLog", "KeyForm", "Lines", "Trail", "open_trail"]
