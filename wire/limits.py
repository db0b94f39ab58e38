"""Every limit of a connection in one value, so that a test or an operator can turn each of them down."""

import msgspec

from wire.frame import BUDGET_MS_MAX, HEADER

_FRAME_BYTES_MAX = 16 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client and a server may hold, send and wait for. The values hold per connection unless they say otherwise.

    Attributes:
        frame_bytes_max: largest frame, header included. A longer one breaks the connection that it comes on.
        hello_bytes_max: the same before the peer has said who it is.
        in_flight_max: unanswered calls of a client; one more is OVERLOADED.
        send_buffer_bytes_max: bytes that wait to be sent. A client's call over it is OVERLOADED, a server's reply over
            it is answered by a small UNKNOWN, since what was asked for may have been done.
        write_high_water_bytes: unsent bytes in the transport at which a server stops to read from that peer, and a
            client keeps further frames to itself.
        open_calls_max: unanswered calls at which a server stops to read from that peer.
        open_bytes_max: the same for the bytes of their requests.
        held_bytes_max: for all connections of a server together: bytes of unfinished frames, and unsent bytes over
            `write_high_water_bytes`. Over it the slowest connection is cut off.
        turn_s: time of all connections of a server together for frames in one turn of its loop; then each that reads has one more
            looked at, and the rest waits for the next turns.
        connections_max: connections of a server, unfinished handshakes included; one more is closed at once.
        peer_connections_max: connections of one certificate to a server; one more is refused.
        handshakes_max: those of them that have not greeted yet; for one more the oldest is cut off.
        connect_timeout_s: for a client to connect, shake hands and be greeted.
        handshake_timeout_s: for a server to have its peer's TLS handshake, and again for the greeting.
        backoff_s_min: pause after a failed attempt to connect; doubles with every further one.
        backoff_s_max: the longest such pause.
        call_timeout_s_max: longer timeouts are cut to this, by the client and by the server.
        sweep_interval_s: the least time between two searches for expired calls, so the precision of timeouts.
        stall_timeout_s: a peer that takes no byte for so long is cut off.
        dead_peer_s: a peer whose machine acknowledges nothing, or on Linux has no room for what waits, for so long is
            gone (TCP keepalive and user timeout). After a longer silence TCP pauses longer than that between two
            attempts: a new connection is there sooner.
        goodbye_timeout_s: for the other side to close after it was told to.
    """

    frame_bytes_max: int = _FRAME_BYTES_MAX
    hello_bytes_max: int = 4096
    in_flight_max: int = 4096
    send_buffer_bytes_max: int = 4 * _FRAME_BYTES_MAX
    write_high_water_bytes: int = 1 << 20
    open_calls_max: int = 4096
    open_bytes_max: int = 4 * _FRAME_BYTES_MAX
    held_bytes_max: int = 12 << 20
    turn_s: float = 0.01
    connections_max: int = 1024
    peer_connections_max: int = 8
    handshakes_max: int = 128
    connect_timeout_s: float = 2.0
    handshake_timeout_s: float = 5.0
    backoff_s_min: float = 0.02
    backoff_s_max: float = 1.0
    call_timeout_s_max: float = 60.0
    sweep_interval_s: float = 0.005
    stall_timeout_s: float = 30.0
    dead_peer_s: float = 3.0
    goodbye_timeout_s: float = 0.5

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could work."""
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if min(self.frame_bytes_max, self.hello_bytes_max) <= HEADER.size:
            raise ValueError(f"a frame has a header of {HEADER.size} bytes")
        if self.call_timeout_s_max * 1000 > BUDGET_MS_MAX:
            raise ValueError(f"call_timeout_s_max: the header of a frame tells at most {BUDGET_MS_MAX} ms")


DEFAULT_LIMITS = Limits()
