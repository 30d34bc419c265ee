"""What both wires of the Volcengine stand-in share: what is said, how fast, and the faults.

A wire brings the frames; the desk brings the sound to put into them.
"""

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosed

from app.simulator.voices.mouth import Heard, Mouth, Plan, PlanFor, Said

LARGEST_TEXT_BYTES = 1024
ENCODINGS = {"pcm", "wav", "mp3", "ogg_opus"}

_TAG = re.compile(r"<[^>]*>")
_TO_BE_SAID = re.compile(r"[^\W_]")


class Refusal(Exception):
    """A request that the service does not take. `code`: as the wire in question has it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Broken(Exception):
    """The plan's fault is due: error or drop."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(slots=True)
class Desk:
    """`app_id`, `token`: what a client must show; empty takes anything. `gzip`: answers are
    compressed. `encoding`: answers are in this one whatever was asked for. `voices`: those that
    there are; empty has every one. `failures`: what went wrong in the stand-in itself."""

    mouth: Mouth
    plan: PlanFor
    app_id: str
    token: str
    gzip: bool
    encoding: str
    voices: frozenset[str]
    heard: Heard = field(default_factory=Heard)
    failures: list[Exception] = field(default_factory=list)
    used_ids: set[str] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Something has changed in `heard`."""
        self._news.set()

    async def news(self) -> None:
        """Wait for the next change."""
        self._news.clear()
        await self._news.wait()

    async def listen(self, text: str, hz: int) -> Said:
        """Note a text, and think of its sound."""
        # in a thread, because espeak takes its time
        spoken = await asyncio.to_thread(self.mouth, _TAG.sub("", text), hz)
        said = Said(text, spoken, hz)
        self.heard.said.append(said)
        self.tell()
        return said

    async def say(
        self,
        said: Said,
        plan: Plan,
        encoding: str,
        send: Callable[[bytes, bool], Awaitable[None]],
        *,
        at_once: bool = False,
    ) -> None:
        """Send the sound as planned, with whether it was the last of it. `at_once`: in one piece,
        when all of it is made. A stall lasts until somebody ends it.

        Raises:
            Broken: a fault.
        """
        loop = asyncio.get_running_loop()
        pcm = said.spoken.pcm
        faulty = plan.fault not in ("", "refuse") and plan.fault_after_bytes < len(pcm)
        end = plan.fault_after_bytes & ~1 if faulty else len(pcm)
        per_second = said.hz * 2 * plan.speed
        step = max(2, plan.chunk_ms * said.hz // 1000 * 2)
        prefix = container(self.encoding or encoding, said.hz, len(pcm))
        try:
            await asyncio.sleep(plan.delay_ms / 1000)
            began_s = loop.time()
            if at_once:
                await asyncio.sleep(len(pcm) / per_second)
                step, end = max(2, len(pcm)), 0 if faulty else len(pcm)
            for at in range(0, end, step):
                await asyncio.sleep(began_s + at / per_second - loop.time())
                piece = pcm[at : min(end, at + step)]
                await send(prefix + piece, at + step >= len(pcm))
                prefix = b""
                said.sent_bytes += len(piece)
                self.tell()
            if plan.fault == "stall" and faulty:
                await asyncio.Event().wait()
            if faulty:
                raise Broken(plan.fault)
            if not pcm:
                await send(prefix, True)
            said.whole = True
        except (asyncio.CancelledError, ConnectionClosed):
            said.dropped = not said.whole
            raise
        finally:
            self.tell()


def nothing_to_say(text: str) -> bool:
    return _TO_BE_SAID.search(_TAG.sub("", text)) is None


def within(value: object, low: float, high: float) -> bool:
    """Whether it is a number, and not too small or too large."""
    return isinstance(value, int | float) and low <= value <= high


def container(encoding: str, hz: int, size: int) -> bytes:
    """What stands in front of the sound. Only `pcm` and `wav` are what they should be; what the
    others hold behind their first bytes is PCM again, for nobody to play."""
    match encoding:
        case "wav":
            head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1,
                               hz, hz * 2, 2, 16)  # fmt: skip
            return head + struct.pack("<4sI", b"data", size)
        case "mp3":
            return b"ID3\x04" + bytes(6)
        case "ogg_opus":
            return b"OggS" + bytes(24)
    return b""
