"""What v1 and v3 of the Volcengine stand-in share: the sound, its pace and its faults.

The wires build frames; the service supplies the sound for them.
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
    """A request that the service refuses. `code`: an error code of the wire."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Broken(Exception):
    """The fault of the plan is due: error or drop."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(slots=True)
class Service:
    """The stand-in's settings and its record; see `VolcengineStandIn`."""

    mouth: Mouth
    plan: PlanFor
    app_id: str
    token: str
    gzip: bool
    encoding: str
    voices: frozenset[str]
    heard: Heard = field(default_factory=Heard)
    #: Exceptions of `mouth` and `plan`.
    failures: list[Exception] = field(default_factory=list)
    #: Request ids and session ids, each valid once.
    used_ids: set[str] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake those who wait in `news`: `heard` has changed."""
        self._news.set()

    async def news(self) -> None:
        """Wait for the next change of `heard`."""
        self._news.clear()
        await self._news.wait()

    async def listen(self, text: str, hz: int) -> Said:
        """Record a text and synthesize its sound."""
        # In a thread, because espeak-ng would block the event loop.
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
        """Send the sound as planned. A stall lasts until the task is cancelled.

        `send`: takes a chunk and whether it is the last one. `at_once`: send one chunk, when all of
        the sound is ready.

        Raises:
            Broken: a fault of the plan; end the request with it.
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
    """Whether the text has no letter and no digit outside of tags."""
    return _TO_BE_SAID.search(_TAG.sub("", text)) is None


def within(value: object, low: float, high: float) -> bool:
    """Whether it is a number between `low` and `high`."""
    return isinstance(value, int | float) and low <= value <= high


def container(encoding: str, hz: int, size: int) -> bytes:
    """The bytes before the sound. `pcm` and `wav` are valid; the other encodings are PCM behind the
    first bytes of such a file, which no player can play."""
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
