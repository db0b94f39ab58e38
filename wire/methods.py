"""The numbers of the methods that nodes, gateways and placement offer one another. A number is never used twice.

Number 8 is taken by the notification that carries Raft messages; raft/ defines it.
"""

from wire.messages import (
    AwaitLockRequest,
    ChecksumReply,
    ChecksumRequest,
    ClusterMap,
    HeartbeatReply,
    HeartbeatRequest,
    ListReply,
    ListRequest,
    NodeStatus,
    ReadReply,
    ReadRequest,
    RegisterReply,
    RegisterRequest,
    StatusRequest,
    WatchMapRequest,
    WatchReply,
    WatchRequest,
    WriteReply,
    WriteRequest,
)
from wire.rpc import Method
from wire.token_messages import (
    BootstrapTokensRequest,
    CreateTokenRequest,
    RevokeTokenRequest,
    RotateTokenRequest,
    TokenReply,
    TokenTable,
    WatchTokensRequest,
)

WRITE = Method(1, "write", WriteRequest, WriteReply)
READ = Method(2, "read", ReadRequest, ReadReply)
LIST = Method(3, "list", ListRequest, ListReply)
STATUS = Method(4, "status", StatusRequest, NodeStatus)
WATCH_MAP = Method(5, "watch_map", WatchMapRequest, ClusterMap)
REGISTER = Method(6, "register", RegisterRequest, RegisterReply)
HEARTBEAT = Method(7, "heartbeat", HeartbeatRequest, HeartbeatReply)
CHECKSUM = Method(9, "checksum", ChecksumRequest, ChecksumReply)
WATCH = Method(10, "watch", WatchRequest, WatchReply)
AWAIT_LOCK = Method(20, "await_lock", AwaitLockRequest, WriteReply)

WATCH_TOKENS = Method(30, "watch_tokens", WatchTokensRequest, TokenTable)
CREATE_TOKEN = Method(31, "create_token", CreateTokenRequest, TokenReply)
BOOTSTRAP_TOKENS = Method(32, "bootstrap_tokens", BootstrapTokensRequest, TokenReply)
REVOKE_TOKEN = Method(33, "revoke_token", RevokeTokenRequest, TokenReply)
ROTATE_TOKEN = Method(34, "rotate_token", RotateTokenRequest, TokenReply)
