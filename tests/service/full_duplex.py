"""A second kind of model, in process, with its wire: full-duplex, and without turns.

It hears and speaks all the time. It reports no speech, no turn, no response and no item, cannot be
cancelled or corrected, and decides itself when it speaks. Its wire makes up what the core needs.
"""

import asyncio
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from app.audio import rms_dbfs, silence, ulaw_ms
from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.wires.model import ModelWire

#: Louder than this is speech, the caller's as well as the model's.
SPEECH_DBFS = -50.0
#: A silence of this length ends an utterance.
GAP_MS = 200.0
_NUMBERS = count(1)  # of all sessions: ids are unique within a leg


class Says(NamedTuple):
    """What the model speaks. `ulaw`: whole frames of 20 ms."""

    text: str
    ulaw: bytes


class Calls(NamedTuple):
    """A tool that the model calls."""

    name: str
    arguments: str


def is_loud(frame: bytes) -> bool:
    return rms_dbfs(frame) > SPEECH_DBFS


class FullDuplexModel:
    """The model. Its time is the audio that it is given: it gives back as much, speech or silence.

    It begins the next step of its script when it is prompted, and when the caller stops speaking.
    It falls silent when the caller has spoken for a while.
    """

    def __init__(self, *script: Says | Calls, hears: tuple[str, ...] = ()) -> None:
        self.script = deque(script)
        self.hears = deque(hears)  # what the caller says, utterance by utterance
        #: Everything that it was told, in order: prompts, messages, the answers of its tools.
        self.told: list[str] = []
        self.wire: FullDuplexWire
        self._speech = bytearray()
        self._heard_ms = self._quiet_ms = 0.0

    def go_on(self) -> None:
        """The next step of the script."""
        step = self.script.popleft()
        if isinstance(step, Says):
            self._speech += step.ulaw
            self.wire.text += step.text
        else:
            self.wire.call_tool(step)

    def hear(self, frame: bytes) -> bytes:
        """Take audio of the caller; returns the model's own, of the same length."""
        if is_loud(frame):
            self._heard_ms, self._quiet_ms = self._heard_ms + ulaw_ms(len(frame)), 0
            if self._heard_ms >= GAP_MS:
                self._speech.clear()
        elif self._heard_ms:
            self._quiet_ms += ulaw_ms(len(frame))
            if self._quiet_ms >= GAP_MS:
                self._heard_ms = 0
                self.wire.transcribe(self.hears.popleft())
                self.go_on()
        said, self._speech = self._speech[: len(frame)], self._speech[len(frame) :]
        return bytes(said).ljust(len(frame), silence(1)[:1])


class FullDuplexWire(ModelWire):
    """Makes up turns and responses: from silences, of the caller and of the model."""

    def __init__(
        self, model: FullDuplexModel, agent: Agent, *, feed: Callable[[ev.Event], None], **_: Any
    ) -> None:
        self.text = ""  # spoken by the model, and not in a response yet
        self._model = model
        model.wire = self
        self._interruptible = agent.turns.interruptible
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._open = self._paused = self._shut = False
        self._response = self._caller = ""  # the ids of what goes on now
        self._at_ms = self._silent_ms = 0.0
        self._held: list[bytes] = []  # silence that may be a pause or the end

    async def connect(self) -> None:
        self._open = True
        self._feed(ev.ModelOpened())

    def send(self, command: do.ToModel) -> None:
        match command:
            case do.ConfigureSession():
                self._soon(lambda: self._feed(ev.SessionConfigured()))
            case do.AddMessage(_, _, text, item_id):
                self._model.told.append(text)
                self._soon(lambda: self._feed(ev.MessageTaken(item_id)))
            case do.AddToolOutput(_, call_id, output):
                self._model.told.append(output)
                self._soon(lambda: self._feed(ev.ToolOutputTaken(call_id)))
            case do.CreateResponse(event_id, direction):
                self._soon(lambda: self._prompt(event_id, direction))
            case do.CancelResponse(_, response_id):
                self._soon(lambda: self._end("cancelled", response_id))
        # TruncateItem, DeleteItem: it cannot unsay anything.

    def append_audio(self, payload: str) -> bool:
        self._soon(lambda: self._hear(b64decode(payload)))
        return True

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        self._open = False

    def _soon(self, act: Callable[[], None]) -> None:
        """The core handles an event now: act after that."""
        self._loop.call_soon(lambda: act() if self._open else None)

    def _hear(self, frame: bytes) -> None:
        self._at_ms += ulaw_ms(len(frame))
        if is_loud(frame) and not self._caller:
            self._caller = f"caller_{next(_NUMBERS)}"
            self._feed(ev.SpeechStarted(self._caller, int(self._at_ms)))
            if self._interruptible:
                self._end("cancelled", self._response)
        self._speak(self._model.hear(frame))

    def transcribe(self, text: str) -> None:
        item_id, self._caller = self._caller, ""
        self._feed(ev.SpeechStopped(item_id, int(self._at_ms)))
        self._feed(ev.CallerTurnCommitted(item_id, None))
        self._feed(ev.CallerTranscribed(item_id, text))

    def _prompt(self, event_id: str, direction: str) -> None:
        if self._response:
            self._feed(ev.ModelFaulted("speaking", "It speaks already.", event_id, "busy"))
        else:
            self._model.told.append(direction)
            self._model.go_on()

    def _speak(self, frame: bytes) -> None:
        loud = is_loud(frame)
        self._silent_ms = 0.0 if loud else self._silent_ms + ulaw_ms(len(frame))
        self._shut = self._shut and loud  # what was cancelled is not heard to its end
        if loud and not self._shut:
            self._begin()
            spoken = b"".join((*self._held, frame))
            if not self._paused:
                payload, item_id = b64encode(spoken).decode(), f"{self._response}_said"
                self._feed(ev.AudioReceived(self._response, item_id, payload, len(spoken)))
            self._held.clear()
        elif self._response:
            self._held.append(frame)
            if self._silent_ms >= GAP_MS:
                self._end("completed", self._response)

    def _begin(self) -> None:
        if not self._response:
            self._response, text = f"response_{next(_NUMBERS)}", self.text
            item_id, self.text = f"{self._response}_said", ""
            self._feed(ev.ResponseCreated(self._response))
            self._feed(ev.OutputItemAdded(self._response, item_id, "message"))
            self._feed(ev.TranscriptReceived(item_id, text, self._response))

    def _end(self, status: str, response_id: str) -> None:
        if response_id and response_id == self._response:
            self._response, self._shut = "", status == "cancelled"
            self._held.clear()
            item = (f"{response_id}_said", "message", "incomplete" if self._shut else "completed")
            self._feed(ev.OutputItemDone(response_id, *item))
            self._feed(ev.ResponseDone(response_id, status))

    def call_tool(self, called: Calls) -> None:
        response_id = f"response_{next(_NUMBERS)}"
        call_id = f"call_{next(_NUMBERS)}"
        item = ("function_call", "completed", call_id, called.name, called.arguments)
        self._feed(ev.ResponseCreated(response_id))
        self._feed(ev.OutputItemDone(response_id, f"{response_id}_call", *item))
        self._feed(ev.ResponseDone(response_id, "completed"))
