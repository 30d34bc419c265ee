"""What a connection may take: the one place where its limits stand."""

from dataclasses import dataclass

READ_BYTES = 4096
"""Read from one connection in one turn of the loop: what is in there is parsed at once, and even
the smallest headers, chunks and frames take about a millisecond. The rest waits in the kernel."""


UNAUTHENTICATED_PER_TURN = 8
"""Connections without a lock that are read in one turn of the loop, and accepted in one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are totals, not pauses between bytes, and count only while the peer is the one that is
    waited for. Tests pass smaller ones."""

    #: Seconds until a whole request head has come, from the connection's start or, on one that is
    #: kept, from the head's first byte.
    head_s: float = 10.0
    #: Seconds from a request's head to the end of its body.
    body_s: float = 20.0
    #: Seconds until a WebSocket handshake is accepted, and until a closing one is over.
    handshake_s: float = 10.0
    #: Seconds that a kept connection may pass between two requests; longer than proxies do.
    idle_s: float = 75.0
    #: Seconds without `stuck_bytes` taken by a client that has an answer to read.
    stuck_s: float = 30.0
    stuck_bytes: int = 16 << 10
    #: After a refusal, input is discarded for so long and so much, or the client would lose the
    #: answer to a reset.
    linger_s: float = 1.0
    linger_bytes: int = 16 << 20

    #: A request's line and headers.
    head_bytes: int = 32 << 10
    #: Header lines, those behind a chunked body included.
    headers: int = 100
    #: A request's body as it is sent, the frame of its chunks included. Routes take less.
    body_bytes: int = 1 << 20
    #: Requests that may follow each other without waiting for an answer.
    pipelined: int = 16
    #: One message of a WebSocket.
    message_bytes: int = 1 << 20
    #: WebSocket frames of one connection, a KiB of them counting as one more: so many at once, and
    #: so many a second. Twilio sends 50 a second; after a stall of a minute 3000 at once.
    frames: int = 6000
    frames_per_s: float = 200.0

    #: Connections of the process. Fewer where file descriptors are short.
    connections: int = 500
    #: Unfinished requests of all connections that have passed no lock.
    held_bytes: int = 4 << 20


RESERVED_DESCRIPTORS = 48
"""Not for connections: the log, the database, REST, reports, the embedded model."""

DESCRIPTORS_PER_CALL = 3
"""What a call opens beside its media socket: the model's, a voice's, a recording."""
