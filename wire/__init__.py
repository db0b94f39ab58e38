"""What goes between processes: frames, typed messages, RPC, TLS.

The door. Messages are in `wire.messages`, the methods that carry them in `wire.methods`, slots in `wire.slots`;
`wire/README.md` has the protocol and the theory.
"""

from typing import TYPE_CHECKING

from process.lazy import door

if TYPE_CHECKING:
    from wire.client import RpcClient
    from wire.errors import Applied, Code, Failure, RpcError
    from wire.limits import Limits
    from wire.rpc import Call, Method, Notification, Peer
    from wire.server import RpcServer
    from wire.tls import Role, TlsConfig, TlsConfigError
else:
    __getattr__ = door(
        __name__,
        {
            "Applied": "errors",
            "Call": "rpc",
            "Code": "errors",
            "Failure": "errors",
            "Limits": "limits",
            "Method": "rpc",
            "Notification": "rpc",
            "Peer": "rpc",
            "Role": "tls",
            "RpcClient": "client",
            "RpcError": "errors",
            "RpcServer": "server",
            "TlsConfig": "tls",
            "TlsConfigError": "tls",
        },
    )

__all__ = [
    "Applied",
    "Call",
    "Code",
    "Failure",
    "Limits",
    "Method",
    "Notification",
    "Peer",
    "Role",
    "RpcClient",
    "RpcError",
    "RpcServer",
    "TlsConfig",
    "TlsConfigError",
]
