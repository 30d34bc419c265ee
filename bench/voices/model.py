"""The load's model for external voices: it writes text if the session's output modality is text.

The turns are those of bench/model.py; only the answers differ. `hum` speaks a written answer in the
time of a spoken one.
"""

import asyncio
import math
from array import array
from functools import cache
from typing import Any

from picows import WSListener, WSTransport, WSUpgradeRequest

from app.simulator.speech import Word
from app.simulator.voices.mouth import Spoken
from bench.ledger import Answer, Ledger
from bench.model import ANSWER_DELTAS, DELTA_EVERY_MS, Model, ModelSession, new_id, now_ms
from bench.stamps import DELTA_BYTES

WRITTEN = ("Your table is booked for eight.", " Is there more?")
ANSWER_MS = ANSWER_DELTAS * DELTA_BYTES / 8
PROBE = "One moment please."  # the answer whose first sound is measured
PROBE_MS = 60.0
THINKING_MS = 250.0  # before a greeting, so that its stream is open
LAST_PIECE_MS = 20.0  # before the full stop of a probe ...
END_MS = 40.0  # ... and after it, before the end of its item

Piece = tuple[float, str]
"""A text delta, with its delay after the one before in ms. An empty one ends the text."""


@cache
def hum(text: str, hz: int) -> Spoken:
    """A mouth: a text takes its share of an answer's time, a probe `PROBE_MS`."""
    ms = PROBE_MS if text == PROBE else ANSWER_MS * len(text) / sum(map(len, WRITTEN))
    step = 2 * math.pi * 440 / hz
    samples = (round(6000 * math.sin(step * n)) for n in range(round(hz * ms / 1000)))
    return Spoken(array("h", samples).tobytes(), (Word(text, 0),))


class WritingSession(ModelSession):
    """A session that writes its answers if the output modality is text.

    `probes`: it answers with `PROBE` only, and only to `ask`.
    """

    def __init__(self, ledger: Ledger, *, probes: bool) -> None:
        super().__init__(ledger)
        #: When the last text delta was sent.
        self.completed_ms = 0.0
        #: Set when the socket is closed.
        self.closed = asyncio.Event()
        self._probes = probes
        self._full_stop = "."
        self._text = ""

    def ask(self, *, spaced: bool) -> None:
        """The caller says something short, and the session answers with a probe.

        `spaced`: send the full stop with a space, which shows at once that the sentence ends.
        """
        assert self.call is not None, "the call has not been heard yet"
        self._full_stop = ". " if spaced else "."
        self.speech_item = new_id("item")
        start = {"item_id": self.speech_item, "audio_start_ms": len(self.call.sent_ms) * 20}
        self.send("input_audio_buffer.speech_started", **start)
        self.speech_stops(self.call)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        super().on_ws_disconnected(transport)
        self.closed.set()

    def speech_starts(self) -> None:
        if not self._probes:
            super().speech_starts()

    # --- answers --------------------------------------------------------------------------------

    @property
    def _writes(self) -> bool:
        return bool(self.session["output_modalities"] == ["text"])

    def respond(self) -> None:
        if not self._writes:
            super().respond()
            return
        answer = self.ledger.answer_begun(new_id("item"), self.call)
        if self.call is None:
            self.unclaimed.append(answer)
        self.answer, self._text, self.response_id = answer, "", new_id("resp")
        begun = self.item(answer, "in_progress", [])
        self.send("response.created", response=self._written("in_progress"))
        of_response = {"response_id": self.response_id, "output_index": 0}
        self.send("response.output_item.added", item=begun, **of_response)
        self.send("conversation.item.added", previous_item_id=self.last_item, item=begun)
        part = {"type": "text", "text": ""}
        self.send("response.content_part.added", part=part, **self.place(answer))
        thinking_ms = THINKING_MS if self._probes and self.call is None else 0.0
        self._write_on(answer, self._pieces(), now_ms() + thinking_ms)

    def _pieces(self) -> list[Piece]:
        if self._probes:
            begins = PROBE.removesuffix(".")
            return [(0, begins), (LAST_PIECE_MS, self._full_stop), (END_MS, "")]
        words = [" " + word for word in "".join(WRITTEN).split()]
        return [(DELTA_EVERY_MS, word) for word in [words[0].lstrip(), *words[1:], ""]]

    def _write_on(self, answer: Answer, pieces: list[Piece], at_ms: float) -> None:
        """Send the next piece of an answer after its delay from `at_ms`."""
        wait_ms, text = pieces[0]
        self.at(at_ms + wait_ms, self._write, answer, text, pieces[1:], at_ms + wait_ms)

    def _write(self, answer: Answer, text: str, rest: list[Piece], at_ms: float) -> None:
        if answer is not self.answer:
            return  # it was cancelled
        if not rest:
            self.finish("completed")
            return
        self._text += text
        self.completed_ms = now_ms()
        self.send("response.output_text.delta", **self.place(answer), delta=text)
        self._write_on(answer, rest, at_ms)

    def finish(self, status: str, reason: str = "") -> None:
        if not self._writes or self.answer is None:
            super().finish(status, reason)
            return
        answer, self.answer = self.answer, None
        place, text = self.place(answer), self._text
        self.send("response.output_text.done", text=text, **place)
        part = {"type": "text", "text": text}
        self.send("response.content_part.done", part=part, **place)
        item_status = "completed" if status == "completed" else "incomplete"
        done = self.item(answer, item_status, [{"type": "output_text", "text": text}])
        of_response = {"response_id": self.response_id, "output_index": 0}
        self.send("response.output_item.done", item=done, **of_response)
        self.send("conversation.item.done", previous_item_id=self.last_item, item=done)
        tokens = len(text) // 4
        usage = {
            "total_tokens": 60 + tokens,
            "input_tokens": 60,
            "output_tokens": tokens,
            "input_token_details": {"text_tokens": 20, "audio_tokens": 40, "cached_tokens": 0},
            "output_token_details": {"text_tokens": tokens, "audio_tokens": 0},
        }
        details = {"type": status, "reason": reason} if reason else None
        self.send(
            "response.done",
            response=self._written(status, status_details=details, output=[done], usage=usage),
        )
        limit = {"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}
        self.send("rate_limits.updated", rate_limits=[limit])
        self.last_item = answer.item_id

    def _written(self, status: str, **fields: Any) -> dict[str, Any]:
        return self.response(status, output_modalities=["text"], **fields)


class WritingModel(Model):
    """The server."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        #: New sessions answer with probes only.
        self.probing = False
        #: The last session that opened.
        self.newest: WritingSession | None = None

    def accept(self, request: WSUpgradeRequest) -> WSListener:
        self.newest = WritingSession(self.ledger, probes=self.probing)
        self.sessions.append(self.newest)
        return self.newest
