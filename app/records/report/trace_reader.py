"""Reads a timeline: what sounded when, what was cut, which tools ran, who spoke.

Replays the recorded commands through a model of Twilio's buffer: a piece of audio plays when it was
sent, or when the audio before it ends, until a clear removes what had not played.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from app.call.caller.pause import LATE_VOICE, LATE_WORDS
from app.call.heard.ledger import BYTES_PER_MS
from app.call.timeline import TimelineEntry
from app.records.report.gaps import LegGapReader
from app.records.report.trace import (
    CallerSpeech,
    CallTrace,
    FalseInterruption,
    Interruption,
    Mark,
    Span,
    Speech,
    Tool,
)


def read_trace(entries: Iterable[TimelineEntry]) -> CallTrace:
    """Read the timeline of a call, with all its legs."""
    reader = _Reader()
    for at_ms, name, data, value in _messages(entries):
        reader.take(at_ms, name, data, value)
    return reader.finish()


def _messages(entries: Iterable[TimelineEntry]) -> list[tuple[float, str, dict[str, Any], Any]]:
    """Single messages in their order: (at_ms, name, fields, value). `value`: of a run's piece."""
    single: list[tuple[int, float, str, dict[str, Any], Any]] = []
    for entry in entries:
        if entry.pieces:
            single += [(order, at, entry.name, entry.data, v) for order, at, v in entry.pieces]
        else:
            single.append((entry.order, entry.at_ms, entry.name, entry.data, None))
    return [message[1:] for message in sorted(single, key=lambda message: message[0])]


@dataclass(slots=True)
class _Piece:
    """Audio that was sent: in Twilio's buffer, or played."""

    item_id: str
    from_ms: float
    size_bytes: int

    @property
    def to_ms(self) -> float:
        return self.from_ms + self.size_bytes / BYTES_PER_MS


@dataclass(slots=True)
class _Sent:
    """A mark that was not echoed yet."""

    name: str
    at_ms: float
    #: Audio sent before it since the last clear.
    behind_bytes: int
    on_empty_buffer: bool


# An item is deleted or replaced after one of these: a barge-in, or the failure of every voice.
_CUTS = {"SpeechStarted", "DigitPressed", "OutputItemAdded", "CalleeDetected", "VoicemailReached"}
_ENDS_OF_ITEMS = {"VoiceFailed", "OutputItemDone", "ResponseDone"}


class _Reader:
    """One pass over the messages."""

    def __init__(self) -> None:
        self._trace = CallTrace()
        self._played: list[_Piece] = []  # of the whole call
        self._since_clear: list[_Piece] = []
        self._sent_bytes = self._sure_bytes = 0  # since the last clear; sure: a mark was echoed
        self._until_ms = 0.0  # when what was sent has played
        self._marks: dict[str, _Sent] = {}
        self._flushed: dict[str, _Sent] = {}
        self._tools: dict[str, tuple[str, str, float]] = {}  # running: name, arguments, from_ms
        self._leg_gaps = LegGapReader()
        self._cut: set[str] = set()
        self._item_ids: dict[str, str] = {}  # by utterance_id
        self._replaced: set[str] = set()  # items replaced by a message with the heard text
        self._voice_failed = False  # an item that is deleted now was not cut by the caller
        self._last_sounds: list[CallerSpeech] = []  # which were judged to be no interruption
        self._forwarded_bytes = 0  # of the caller's audio, in this session
        self._counted_ms = 0.0  # when it was counted last
        self._now_ms = 0.0

    def take(self, at_ms: float, name: str, data: dict[str, Any], value: Any) -> None:
        self._now_ms = at_ms
        self._leg_gaps.take(at_ms, name, data)
        if name in _ENDS_OF_ITEMS or name in _CUTS:
            self._voice_failed = name in _ENDS_OF_ITEMS
        match name:
            case "PlayAudio":
                self._play(str(data["item_id"]), int(value))
            case "AudioReceived":
                self._speech(data["item_id"]).generated_bytes += int(value)
            case "Synthesize":
                self._item_ids[data["utterance_id"]] = data["item_id"]
            case "VoiceReceived":
                if item_id := self._item_ids.get(data["utterance_id"]):
                    self._speech(item_id).generated_bytes += int(value)
            case "TranscriptReceived" | "TextReceived":
                speech = self._speech(data["item_id"])
                speech.text += str(value)
            case "TranscriptCompleted":
                self._speech(data["item_id"]).text = str(data["text"]).strip()
            case "SendMark":
                sure = self._sure_bytes == self._sent_bytes
                self._marks[str(value)] = _Sent(str(value), at_ms, self._sent_bytes, sure)
            case "MarkEchoed":
                self._echoed(str(value))
            case "ClearAudio":
                self._cleared(data.get("dropped_bytes"))
            case "ReportInterruption":
                self._judged(data["verdict"], data["reason"], float(data["paused_ms"]))
            case "TruncateItem":
                self._was_cut(data["item_id"], float(data["audio_end_ms"]))
            case "AddMessage" if data.get("after") in self._trace.speeches:
                self._replaced.add(data["after"])
                if not self._voice_failed:
                    self._was_replaced(data["after"])
            case "DeleteItem" if data["item_id"] in self._trace.speeches.keys() - self._replaced:
                if self._voice_failed:
                    del self._trace.speeches[data["item_id"]]
                else:
                    self._was_cut(data["item_id"], 0.0)
            case "SpeechStarted" | "SpeechStopped" | "CallerAudioForwarded":
                self._caller(name, data)
            case "ModelOpened" | "SwapModel":
                self._session_began(swapped=name == "SwapModel")
            case "OutputItemDone" if data["kind"] == "function_call":
                if data["status"] == "completed":
                    call = str(data["name"]), str(data["arguments"]), at_ms
                    self._tools.setdefault(data["call_id"], call)
            case "ToolReturned":
                self._tool_over(data["call_id"], str(data["output"]), "returned")
            case "ToolFailed":
                self._tool_over(data["call_id"], str(data["message"]), "failed")
            case "AddToolOutput":  # of built-in tools, which the call runs itself
                self._tool_over(data["call_id"], str(data["output"]), "returned")
            case "CancelTool" if data["call_id"] != self._leg_gaps.call_id:
                self._tool_over(data["call_id"], "", "given up")
            case "LegOpened":
                self._leg_over()
                self._tool_over(data.get("call_id", ""), str(data.get("output")), "returned")
            case "StreamStarted" if self._trace.connected_ms is None:
                self._trace.connected_ms = at_ms
            case "HangUp":
                self._trace.hung_up_ms = at_ms
            case "EndLeg":
                self._leg_over(data.get("dropped_bytes"))

    def finish(self) -> CallTrace:
        """The trace. Call it once, after the last message."""
        self._leg_over()
        for call_id in list(self._tools):
            self._tool_over(call_id, "", "open")
        self._trace.leg_gaps = self._leg_gaps.finish()
        speeches = self._trace.speeches
        for item_id in self._cut & speeches.keys():
            speeches[item_id].interrupted = True
        for piece in self._played:
            if piece.item_id in speeches and piece.size_bytes:
                _extend(speeches[piece.item_id].spans, piece)
        self._trace.interruptions = [
            replace(cut, generated_ms=speeches[cut.item_id].generated_ms)
            for cut in self._trace.interruptions
            if cut.item_id in speeches  # else the cut audio was not the model's
        ]
        self._trace.marks.sort(key=lambda mark: mark.sent_ms)
        self._trace.tools.sort(key=lambda tool: tool.from_ms)
        self._trace.ended_ms = self._now_ms
        return self._trace

    # --- playback -----------------------------------------------------------------------------

    def _speech(self, item_id: str) -> Speech:
        speeches = self._trace.speeches
        if item_id not in speeches:
            speeches[item_id] = Speech(item_id, self._now_ms)
        return speeches[item_id]

    def _play(self, item_id: str, size_bytes: int) -> None:
        piece = _Piece(item_id, max(self._until_ms, self._now_ms), size_bytes)
        self._played.append(piece)
        self._since_clear.append(piece)
        self._sent_bytes += size_bytes
        self._until_ms = piece.to_ms

    def _echoed(self, name: str) -> None:
        flushed = self._flushed.pop(name, None)
        sent = flushed or self._marks.pop(name, None)
        if sent is None:
            return  # of a leg before, or unknown
        if not flushed:
            self._sure_bytes = max(self._sure_bytes, sent.behind_bytes)
        self._mark_over(sent, self._now_ms, flushed=bool(flushed))

    def _mark_over(self, sent: _Sent, echoed_ms: float | None, *, flushed: bool) -> None:
        mark = Mark(sent.name, sent.at_ms, echoed_ms, flushed, sent.on_empty_buffer)
        self._trace.marks.append(mark)

    def _take_back(self, dropped_bytes: int | None) -> tuple[str, int]:
        """The last of what was sent was not heard. `dropped_bytes`: None: an older version did not
        record it, so the clock decides. Returns the first item that was cut, and how many bytes
        were."""
        left, taken, first_cut = dropped_bytes, 0, ""
        for piece in reversed(self._since_clear):
            keep = int((self._now_ms - piece.from_ms) * BYTES_PER_MS)
            if left is not None:
                keep = piece.size_bytes - left
                left -= min(left, piece.size_bytes)
            keep = max(0, min(piece.size_bytes, keep))
            if keep < piece.size_bytes:
                first_cut = piece.item_id
            taken += piece.size_bytes - keep
            piece.size_bytes = keep
        return first_cut, taken

    def _cleared(self, recorded_bytes: int | None) -> None:
        first_cut, dropped_bytes = self._take_back(recorded_bytes)
        heard_bytes = sum(each.size_bytes for each in self._played if each.item_id == first_cut)
        heard_ms, dropped_ms = heard_bytes / BYTES_PER_MS, dropped_bytes / BYTES_PER_MS
        self._forget_buffer()
        self._cut.add(first_cut)
        cut = Interruption(self._now_ms, first_cut, heard_ms, 0, dropped_ms)
        self._trace.interruptions.append(cut)

    def _judged(self, verdict: str, reason: str, paused_ms: float) -> None:
        """The caller's sound was an interruption, or it was none, and the agent goes on."""
        if verdict == "confirmed":
            if reason in (LATE_WORDS, LATE_VOICE):
                for sound in self._last_sounds:
                    sound.false_interruption = False
            return
        paused_at_ms = self._now_ms - paused_ms
        cuts = self._trace.interruptions
        if cuts and cuts[-1].at_ms >= paused_at_ms - 1:
            self._cut.discard(cuts.pop().item_id)
        found = FalseInterruption(paused_at_ms, reason, paused_ms)
        self._trace.false_interruptions.append(found)
        sounds = self._trace.caller.values()
        self._last_sounds = [each for each in sounds if each.noticed_ms >= paused_at_ms - 1]
        for sound in self._last_sounds:
            sound.false_interruption = True

    def _forget_buffer(self) -> None:
        self._flushed |= self._marks
        self._marks.clear()
        self._since_clear.clear()
        self._sent_bytes = self._sure_bytes = 0
        self._until_ms = self._now_ms

    def _was_cut(self, item_id: str, heard_ms: float) -> None:
        """The item was truncated or deleted at the model. That happens without a clear if the model
        was not done with it, and all that was sent of it had been heard."""
        cuts = self._trace.interruptions
        if cuts and cuts[-1].item_id == item_id and cuts[-1].at_ms == self._now_ms:
            cuts[-1] = replace(cuts[-1], heard_ms=heard_ms)
        elif item_id not in self._cut and heard_ms > 0:
            cuts.append(Interruption(self._now_ms, item_id, heard_ms, 0, 0))
        self._cut.add(item_id)

    def _was_replaced(self, item_id: str) -> None:
        """The item was replaced by text: how much of it was heard follows from the buffer."""
        heard_bytes = sum(each.size_bytes for each in self._played if each.item_id == item_id)
        if item_id not in self._cut:  # without a clear, see `_was_cut`
            self._was_cut(item_id, heard_bytes / BYTES_PER_MS)

    # --- the rest -----------------------------------------------------------------------------

    def _session_began(self, *, swapped: bool) -> None:
        """The positions of the caller's audio begin anew. At a swap, audio that the session before
        got is not counted yet: it is not the new one's."""
        for speech in self._trace.caller.values():
            speech.before_swap |= swapped
        of_before_ms = self._now_ms - self._counted_ms if swapped else 0.0
        self._forwarded_bytes = -round(of_before_ms * BYTES_PER_MS)

    def _caller(self, name: str, data: dict[str, Any]) -> None:
        """Turn detection counts time in the audio appended to its session. How much was appended
        when its event arrived gives the time on the timeline."""
        if name == "CallerAudioForwarded":
            self._forwarded_bytes += int(data["size_bytes"])
            self._counted_ms = self._now_ms
        elif name == "SpeechStarted":
            from_ms = self._timeline_ms(float(data["audio_start_ms"]))
            heard = CallerSpeech(data["item_id"], from_ms, self._now_ms)
            self._trace.caller.setdefault(data["item_id"], heard)
        elif speech := self._trace.caller.get(data["item_id"]):
            ended_ms = self._timeline_ms(float(data["audio_end_ms"]))
            speech.to_ms = max(speech.from_ms, ended_ms)

    def _timeline_ms(self, audio_ms: float) -> float:
        behind_ms = max(0.0, self._forwarded_bytes / BYTES_PER_MS - audio_ms)
        return max(0.0, self._now_ms - behind_ms)

    def _tool_over(self, call_id: str, result: str, outcome: str) -> None:
        if call_id in self._tools:
            name, arguments, from_ms = self._tools.pop(call_id)
            tool = Tool(call_id, name, arguments, result, outcome, from_ms, self._now_ms)
            self._trace.tools.append(tool)

    def _leg_over(self, dropped_bytes: int | None = None) -> None:
        """What is in the buffer is not heard any more, and its marks are not echoed."""
        for sent in self._flushed.values():
            self._mark_over(sent, None, flushed=True)
        self._flushed.clear()
        self._take_back(dropped_bytes)
        self._forget_buffer()
        for sent in self._flushed.values():
            self._mark_over(sent, None, flushed=False)
        self._flushed.clear()
        for call_id in self._tools.keys() - {self._leg_gaps.call_id}:
            self._tool_over(call_id, "", "open")


def _extend(spans: list[Span], piece: _Piece) -> None:
    """Join a piece to the last span, if no pause is between them."""
    if spans and piece.from_ms - spans[-1].to_ms < 1.0:
        spans[-1] = Span(spans[-1].from_ms, piece.to_ms)
    else:
        spans.append(Span(piece.from_ms, piece.to_ms))
