"""Stamps in the audio that identify each frame. They survive any bridge that forwards µ-law.

A block of audio begins with twelve bytes that name its source and number; the rest is filler.
Twelve bytes are sixteen base64 characters, so a stamp is read without decoding the rest.
"""

from binascii import Error, a2b_base64, b2a_base64
from functools import cache
from random import Random
from struct import Struct
from typing import NamedTuple

FRAME_BYTES = 160  # 20 ms of µ-law at 8000 Hz: one media message of Twilio
DELTA_BYTES = 800  # 100 ms: one delta of the model
CALLER = b"CALL"
AGENT = b"AGNT"

_STAMP = Struct(">4sII")
_STAMP_CHARS = 16
_FRAME_CHARS = 216
_NOISE = Random(0).randbytes(DELTA_BYTES)


@cache
def _filler(size_bytes: int) -> bytes:
    return b2a_base64(_NOISE[: size_bytes - _STAMP.size], newline=False)


# Both are silence (G.711: +0 and -0): a silent frame can carry the number of its caller.
_ZERO, _ONE = 0xFF, 0x7F
_QUIET_BITS = 24
_QUIET_HEAD = bytes((_ONE, _ZERO, _ONE, _ONE))


class Stamp(NamedTuple):
    """The source of a block of audio."""

    #: CALLER or AGENT.
    kind: bytes
    #: The call's index for CALLER, the answer's number for AGENT.
    owner: int
    #: Of the frame or delta, from 0.
    number: int


def caller_frame(call: int, number: int) -> bytes:
    """One frame of a caller, in base64."""
    return b2a_base64(_STAMP.pack(CALLER, call, number), newline=False) + _filler(FRAME_BYTES)


def agent_delta(answer: int, number: int, size_bytes: int = DELTA_BYTES) -> bytes:
    """One delta of an answer, in base64."""
    return b2a_base64(_STAMP.pack(AGENT, answer, number), newline=False) + _filler(size_bytes)


def unpack(head: bytes) -> Stamp | None:
    """The stamp at the head of a block of audio, or None."""
    if len(head) < _STAMP.size:
        return None
    stamp = Stamp(*_STAMP.unpack_from(head))
    return stamp if stamp.kind in (CALLER, AGENT) else None


def read(payload: str) -> Stamp | None:
    """The stamp at the head of a base64 payload, or None if it is not stamped."""
    try:
        return unpack(a2b_base64(payload[:_STAMP_CHARS]))
    except Error:
        return None


def read_frames(payload: str) -> list[Stamp]:
    """The stamps of all frames in a payload: a bridge may join frames."""
    if len(payload) == _FRAME_CHARS:
        stamp = read(payload)
        return [stamp] if stamp else []
    audio = a2b_base64(payload)
    stamps = (unpack(audio[at : at + _STAMP.size]) for at in range(0, len(audio), FRAME_BYTES))
    return [stamp for stamp in stamps if stamp]


def size_bytes(payload: str) -> int:
    """The size of the audio in a base64 payload."""
    return len(payload) * 3 // 4 - payload[-2:].count("=")


def silent_frame(owner: int) -> bytes:
    """One frame of silence, µ-law, stamped with its owner. `owner`: below 2 ** 24."""
    bits = (_ONE if owner >> place & 1 else _ZERO for place in range(_QUIET_BITS))
    return (_QUIET_HEAD + bytes(bits)).ljust(FRAME_BYTES, bytes((_ZERO,)))


def silent_owner(payload: str) -> int | None:
    """The owner of the stamped silence at the head of a base64 payload, or None."""
    size = len(_QUIET_HEAD) + _QUIET_BITS
    head = a2b_base64(payload[: -(-size // 3) * 4])
    bits = head[len(_QUIET_HEAD) : size]
    if not head.startswith(_QUIET_HEAD) or len(bits) < _QUIET_BITS:
        return None
    return sum((bit == _ONE) << place for place, bit in enumerate(bits))
