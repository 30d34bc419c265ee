"""Every limit of a connection, in one place."""

from dataclasses import dataclass

#: How much is read from one connection in one turn of the event loop. It is parsed at once, and
#: takes about a millisecond even if it holds the smallest headers, chunks or frames. The rest waits
#: in the kernel.
READ_BYTES = 4096

#: How many unauthenticated connections are read in one turn of the loop, and how many accepted.
UNAUTHENTICATED_PER_TURN = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the server. Times are totals, not pauses between bytes, and do not count while
    the peer waits for this service. Tests pass smaller limits."""

    #: Seconds until a whole request head has come, from the connection's start or, on one that is
    #: kept, from the head's first byte.
    head_s: float = 10.0
    #: Seconds from a request's head to the end of its body.
    body_s: float = 20.0
    #: Seconds until a WebSocket handshake is accepted, and until a closing one is over.
    handshake_s: float = 10.0
    #: Seconds that a kept connection may be idle between two requests; longer than proxies wait.
    idle_s: float = 75.0
    #: A client that takes less than `stuck_bytes` of its answer in this time is disconnected.
    stuck_s: float = 30.0
    stuck_bytes: int = 16 << 10
    #: After a refusal, input is discarded for so many seconds and bytes. Closing at once would
    #: reset the connection, and the client would lose the answer.
    linger_s: float = 1.0
    linger_bytes: int = 16 << 20

    #: A request line and headers.
    head_bytes: int = 32 << 10
    #: Header lines, trailers of a chunked body included.
    headers: int = 100
    #: A request's body as it is sent, chunk headers included. Routes have smaller limits.
    body_bytes: int = 1 << 20
    #: Pipelined requests: sent without waiting for the answer before.
    pipelined: int = 16
    #: One message of a WebSocket.
    message_bytes: int = 1 << 20
    #: WebSocket frames of one connection: `frames` at once, and `frames_per_s` over time. Each KiB
    #: counts as one more. Twilio sends 50 a second, and 3000 at once after a stall of a minute.
    frames: int = 6000
    frames_per_s: float = 200.0

    #: Connections of the process; fewer if the limit of file descriptors is low.
    connections: int = 500
    #: Bytes of unfinished requests, over all unauthenticated connections.
    held_bytes: int = 4 << 20


#: File descriptors kept for the log, the database, REST, reports and the embedded model.
RESERVED_DESCRIPTORS = 48

#: File descriptors of a call beside its media socket: the model's, a voice's, a recording.
DESCRIPTORS_PER_CALL = 3
