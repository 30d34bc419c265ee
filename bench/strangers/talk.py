"""Calls in which the agent speaks often and in real time, and a stream of new callers."""

import asyncio
from array import array

import aiohttp
from picows import WSListener, WSUpgradeRequest

from bench.ledger import Answer, Call, Ledger
from bench.line import Line, Metronome, ProbedLine
from bench.model import Model, ModelSession, now_ms
from bench.samples import Samples
from bench.stamps import FRAME_BYTES
from bench.strangers.gaps import Span, Stalls, gap_ms

ANSWER_FRAMES = 125  # 2.5 s of every 4
STALLED_MS = 2.0  # a later timer of the load counts as a stall
NEW_EVERY_S = 0.25
ANSWERED_WITHIN_S = 2.0  # webhook and stream
HEARD_WITHIN_S = 3.0  # and the greeting
LOOK_EVERY_S = 0.02
MOST_NEW = 400


class TalkLedger(Ledger):
    """Records when each frame of the agent arrived.

    `talking`: the number of calls to measure, the first ones; new callers are not measured.
    """

    def __init__(self, talking: int) -> None:
        super().__init__(talking + MOST_NEW, FRAME_BYTES)
        self.talking = talking
        self.stalls = Stalls()
        self._arrived_ms: dict[int, array[float]] = {}

    def delta_arrived(self, call: Call, answer: Answer, number: int, now_ms: float) -> None:
        self._arrived_ms.setdefault(answer.number, array("d")).append(now_ms)
        super().delta_arrived(call, answer, number, now_ms)

    def longest_gap_ms(self, window: Span) -> float:
        """The longest gap in the agent's audio on the measured calls."""
        return max(
            (
                gap_ms(each.sent_ms, self._arrived_ms.get(each.number, ()), self.stalls, window)
                for call in self.calls[: self.talking]
                for each in call.answers
                if each.sent_ms and each.sent_ms[0] < window[1]
            ),
            default=0.0,
        )


class TalkMetronome(Metronome):
    """Records when the load itself did not run."""

    def late(self, at_ms: float, late_ms: float) -> None:
        super().late(at_ms, late_ms)
        if late_ms > STALLED_MS and isinstance(self._ledger, TalkLedger):
            self._ledger.stalls.late(at_ms, late_ms)


class TalkSession(ModelSession):
    """Sends audio in real time, and is never interrupted."""

    deltas = ANSWER_FRAMES
    interrupts = False


class TalkModel(Model):
    def accept(self, request: WSUpgradeRequest) -> WSListener:
        self.sessions.append(session := TalkSession(self.ledger))
        return session


class Newcomers:
    """New callers, four each second, who hear the greeting and hang up; and an operator who lists
    the calls."""

    def __init__(self, ledger: TalkLedger, port: int, token: str) -> None:
        #: From the webhook's request to the open stream.
        self.answered_ms = Samples()
        #: From the webhook's request to the first sound.
        self.heard_ms = Samples()
        #: Callers without an answer, and failed requests of the operator.
        self.failures: list[str] = []
        self.count = 0
        self._ledger, self._port, self._token = ledger, port, token
        self._calls: set[asyncio.Task[None]] = set()

    async def come(self, calls: list[Call], seconds: float) -> None:
        """Make calls for `seconds`, and wait for the last one. `calls`: unused calls, taken from
        the end."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while loop.time() < began_s + seconds:
            self._calls.add(asyncio.create_task(self._one(calls.pop())))
            self.count += 1
            await asyncio.sleep(began_s + self.count * NEW_EVERY_S - loop.time())
        await asyncio.gather(*self._calls)

    async def _one(self, call: Call) -> None:
        # A connection for each, as from a proxy without keep-alive.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:
            await self._call(http, call)
            if self.count % 2:
                await self._operator(http)

    async def _call(self, http: aiohttp.ClientSession, call: Call) -> None:
        line, began_ms = ProbedLine(call, self._ledger), now_ms()
        sound = line.listen()
        faults = len(self._ledger.faults)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                await line.dial(http, self._port, webhook=True)
            if not call.stream_open:
                self.failures.append(self._ledger.faults[faults])
                return
            self.answered_ms.add(now_ms() - began_ms)
            async with asyncio.timeout(HEARD_WITHIN_S):
                self.heard_ms.add(await sound - began_ms)
        except TimeoutError:
            what = "heard nothing" if call.stream_open else "was not answered in time"
            self.failures.append(f"a new caller {what}")
        finally:
            line.hang_up()

    async def _operator(self, http: aiohttp.ClientSession) -> None:
        url = f"http://127.0.0.1:{self._port}/calls?limit=1"
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S), http.get(url, headers=headers) as answer:
                if answer.status != 200:
                    self.failures.append(f"an operator got {answer.status}")
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            self.failures.append(f"an operator: {error!r}")


async def dial(lines: list[Line], port: int) -> None:
    """Make the calls one after the other. Raises RuntimeError if one is not answered."""
    async with aiohttp.ClientSession() as http:
        for line in lines:
            await line.dial(http, port, webhook=True)
    for _ in range(int(HEARD_WITHIN_S / LOOK_EVERY_S)):
        if all(line.call.model_open for line in lines):
            return
        await asyncio.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"the calls were not answered: {lines[0].ledger.faults[:3]}")
