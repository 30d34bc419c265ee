"""One client's session with the scripted server: its socket, its faults, and what tests read."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from app.simulator.realtime.checks import Refusal
from app.simulator.realtime.dialogue import Dialogue
from app.simulator.realtime.items import Item
from app.simulator.realtime.response import Response
from app.simulator.realtime.script import Brain, Options, Transcribe
from app.simulator.realtime.vad import Detector
from app.simulator.realtime.wire import Wire

Interceptor = Callable[["Session", dict[str, Any]], bool]
"""Gets a client event before the server. True: it handled the event, and the server ignores it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one connection."""

    #: Refuse the handshake with this HTTP status.
    refuse_status: int | None = None
    #: Accept the handshake and never send anything.
    mute: bool = False
    #: The delay of `session.updated`.
    update_delay_ms: float = 0
    #: Interceptors by the type of client event.
    on: Mapping[str, Interceptor] = field(default_factory=dict)


class Session(WSListener):
    """One client's session: read what happened, and make things happen."""

    def __init__(
        self,
        number: int,
        model: str,
        brain: Brain,
        transcribe: Transcribe | None,
        options: Options,
        fault: Fault,
        *,
        detector: Callable[[], Detector],
        beta: bool,
        opened: Callable[["Session"], None],
    ) -> None:
        self._wire = Wire(number, after_each=self._tell, remembers=options.remembers)
        self._wire.muted = fault.mute
        self._dialogue = Dialogue(
            self._wire,
            model,
            brain,
            transcribe,
            options,
            detector=detector,
            update_delay_ms=fault.update_delay_ms,
        )
        self._beta = beta
        self._opened = opened
        self._interceptors = dict(fault.on)
        self._news = asyncio.Event()
        self._fragments = bytearray()
        self.model = model
        self._remembers = options.remembers
        #: Every event that the client sent, if the server remembers them.
        self.client_events: list[dict[str, Any]] = []
        #: Set when the socket is closed.
        self.closed = asyncio.Event()
        #: The code of the client's close frame; None: it has sent none.
        self.close_code: int | None = None

    # --- what happened --------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self._dialogue.session_id

    @property
    def config(self) -> dict[str, Any]:
        """The settings in force, as `session.updated` shows them."""
        return self._dialogue.config

    @property
    def heard(self) -> bytes:
        """All the audio that the client appended, in order."""
        return bytes(self._dialogue.heard)

    @property
    def items(self) -> list[Item]:
        """Every item, deleted ones included, in order of creation."""
        return self._dialogue.conversation.all_items

    @property
    def conversation(self) -> tuple[Item, ...]:
        """The items that the model reads now."""
        return self._dialogue.conversation.items

    @property
    def active(self) -> Response | None:
        """The response that is being generated."""
        return self._dialogue.active

    @property
    def blocked(self) -> bool:
        """The client reads too slowly; generation waits for it."""
        return not self._wire.writable.is_set()

    @property
    def errors_sent(self) -> list[dict[str, Any]]:
        """The `error` objects of all `error` events."""
        return self._wire.errors_sent

    @property
    def failures(self) -> list[Exception]:
        """What the brain, the transcription and interceptors raised."""
        return self._dialogue.failures

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks that run for this session."""
        return self._dialogue.tasks

    def events_of(self, event_type: str) -> list[dict[str, Any]]:
        """The client events of one type so far."""
        return [event for event in self.client_events if event["type"] == event_type]

    def sent_at_s(self, event_type: str) -> list[float]:
        """When the server sent its events of one type, in monotonic seconds."""
        return [at_s for sent, at_s in self._wire.sent if sent == event_type]

    async def until(self, condition: Callable[["Session"], bool]) -> None:
        """Wait for a condition, checked after every event in or out.

        Raises ConnectionError when the socket closes first.
        """
        while not condition(self):
            if self.closed.is_set():
                raise ConnectionError(f"session {self.id} closed before the condition held")
            self._news.clear()
            await self._news.wait()

    async def received(self, event_type: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for `count` client events of one type; returns them."""
        await self.until(lambda session: len(session.events_of(event_type)) >= count)
        return self.events_of(event_type)

    # --- what to do next ------------------------------------------------------------------------

    def start_speech(self) -> None:
        """The caller starts to speak, whatever turn detection hears."""
        self._dialogue.start_speech()

    def stop_speech(self, transcript: str | None = None) -> None:
        """The caller stops speaking. `transcript`: what they said; None: transcribe the audio."""
        self._dialogue.stop_speech(transcript)

    def intercept(self, event_type: str, interceptor: Interceptor) -> None:
        """Give client events of one type to `interceptor` first, from now on."""
        self._interceptors[event_type] = interceptor

    def send_raw(self, data: str | bytes) -> None:
        """Send a frame that need not be an event: text, or bytes as a binary frame."""
        self._wire.send_raw(data)

    def send_error(
        self,
        code: str,
        message: str,
        cause_event_id: str | None = None,
        *,
        param: str | None = None,
        error_type: str = "server_error",
    ) -> None:
        """Send an `error` event that no client event caused."""
        self._wire.send_error(
            code, message, param=param, cause_event_id=cause_event_id, error_type=error_type
        )

    def mute(self) -> None:
        """Send nothing from now on; the socket stays open."""
        self._wire.muted = True

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket with a close frame."""
        self._wire.close(code, reason)

    def drop(self) -> None:
        """Break the connection without a close frame."""
        self._wire.drop()

    # --- the socket -----------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._wire.open(transport)
        self._opened(self)
        if not self._beta:
            self._dialogue.open()
            return
        code = "beta_api_shape_disabled"
        message = "The beta Realtime API is gone; leave out the OpenAI-Beta header."
        self._wire.send_error(code, message)
        self._wire.close(4000, f"invalid_request_error.{code}")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._dialogue.stop()
        self.closed.set()
        self._tell()

    def pause_writing(self) -> None:
        self._wire.writable.clear()
        self._tell()

    def resume_writing(self) -> None:
        self._wire.writable.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            self.close_code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big") or None
            self._wire.answer_close(frame.get_close_code())
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._fragments += frame.get_payload_as_memoryview()
            if frame.fin:
                message = bytes(self._fragments)
                self._fragments.clear()
                if self._wire.is_open:
                    self._on_message(message)

    def _on_message(self, message: bytes) -> None:
        cause: str | None = None
        try:
            try:
                event = msgspec.json.decode(message)
            except msgspec.DecodeError as error:
                raise Refusal("invalid_event", "The event is not valid JSON.") from error
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                cause = event["event_id"] if isinstance(event.get("event_id"), str) else None
                if self._remembers:
                    self.client_events.append(event)
                interceptor = self._interceptors.get(event["type"])
                if self._wire.muted or (interceptor is not None and interceptor(self, event)):
                    return
            self._dialogue.handle(event)
        except Refusal as refusal:
            self._wire.send_error(
                refusal.code, refusal.message, param=refusal.param, cause_event_id=cause
            )
        except Exception as error:
            # a fault of the server or of a test's interceptor: surfaces when the server closes
            self.failures.append(error)
            self.drop()
        finally:
            self._tell()

    def _tell(self) -> None:
        self._news.set()
