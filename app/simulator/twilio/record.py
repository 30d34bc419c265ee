"""What happened on a call, as Twilio knows it: tests compare the bridge's view with it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from app.simulator.twilio.media.playback import PlaybackClock
from app.simulator.twilio.media.stream import CallerVoice, MediaStream
from app.simulator.twilio.network import now_ms
from app.simulator.twilio.webhook import Exchange

API_VERSION = "2010-04-01"
UNANSWERED = frozenset({"queued", "initiated", "ringing"})
LIVE = UNANSWERED | {"in-progress"}

_PLACES = tuple(
    side + part
    for side in ("From", "To", "Caller", "Called")
    for part in ("City", "State", "Zip", "Country")
)


class CallEnded(Exception):
    """The call ended before the awaited condition became true."""


@dataclass(frozen=True, slots=True)
class Said:
    """What Twilio itself said or played on a call."""

    #: Say, Play, or Beep (of a conference).
    verb: str
    #: The words, the URL or the digits; for Beep onEnter or onExit.
    text: str
    at_ms: float


class CallRecord:
    """A call's state and history. Times are monotonic milliseconds; None: it has not happened."""

    def __init__(
        self, account_sid: str, call_sid: str, direction: str, from_: str, to: str
    ) -> None:
        self.call_sid = call_sid
        self.account_sid = account_sid
        self.from_ = from_
        self.to = to
        self.direction = direction
        #: The call whose <Dial> made this one; empty for others.
        self.parent_call_sid = ""
        #: The result of answering machine detection; empty before it and without it.
        self.answered_by = ""
        self.status = "ringing"
        self.created_ms = now_ms()
        self.created_at = datetime.now(UTC)
        self.answered_ms: float | None = None
        self.ended_ms: float | None = None
        #: Every TwiML document, in order.
        self.twiml_history: list[str] = []
        #: Every <Say> and <Play>, and the beeps of conferences.
        self.spoken_by_twilio: list[Said] = []
        #: What was heard while a conference had not started.
        self.hold: list[Said] = []
        #: Every key, whether a <Gather>, a <Dial> or the stream got it.
        self.pressed: list[str] = []
        #: How many <Gather>s have finished their prompt.
        self.prompts = 0
        #: Takes keys instead of the stream; None: the stream gets them.
        self.key_sink: Callable[[str], None] | None = None
        #: Since when the call talks with another one; None: it does not.
        self.talking_ms: float | None = None
        #: When the whisper of a <Dial>'s call ended.
        self.ready_ms: float | None = None
        #: A <Dial>'s call has left it for a document of its own.
        self.pulled_out = False
        #: When the machine that answered started to record.
        self.beeped_ms: float | None = None
        self.dialed: list[Dialed] = []
        #: (code, text) as in Twilio's debugger; 31921 is there for every stream that the bridge
        #: closed.
        self.errors: list[tuple[int, str]] = []
        #: Every HTTP request to the bridge.
        self.requests: list[Exchange] = []
        #: Every media stream that started; the last one is the current one.
        self.streams: list[MediaStream] = []
        #: What the caller hears from the streams.
        self.playback = PlaybackClock()
        self.voice = CallerVoice()
        self._waiters: set[asyncio.Future[None]] = set()

    # --- its state ---------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether the call has not ended."""
        return self.status in LIVE

    @property
    def stream_sid(self) -> str:
        """The SID of the current or last stream; empty without one."""
        return self.streams[-1].stream_sid if self.streams else ""

    @property
    def said(self) -> list[str]:
        """The words of every <Say>, in order."""
        return [said.text for said in self.spoken_by_twilio if said.verb == "Say"]

    @property
    def played(self) -> list[str]:
        """The URL or digits of every <Play>, in order."""
        return [said.text for said in self.spoken_by_twilio if said.verb == "Play"]

    @property
    def heard(self) -> bytes:
        """The µ-law that the caller has heard from the streams by now."""
        return self.playback.heard(now_ms())

    @property
    def recorded(self) -> bytes:
        """The µ-law that the answering machine has recorded since its beep."""
        if self.beeped_ms is None:
            return b""
        return self.heard[self.playback.heard_bytes(self.beeped_ms) :]

    @property
    def error_codes(self) -> list[int]:
        """The codes of `errors`."""
        return [code for code, _ in self.errors]

    def duration_s(self) -> int:
        """Whole seconds since the answer, up to now or the end; 0 if it was not answered."""
        if self.answered_ms is None:
            return 0
        end_ms = now_ms() if self.ended_ms is None else self.ended_ms
        return round((end_ms - self.answered_ms) / 1000)

    def resource(self) -> dict[str, object]:
        """The call as Twilio's REST API shows it."""
        path = f"/{API_VERSION}/Accounts/{self.account_sid}/Calls/{self.call_sid}"
        return {
            "sid": self.call_sid,
            "account_sid": self.account_sid,
            "api_version": API_VERSION,
            "parent_call_sid": self.parent_call_sid or None,
            "direction": self.direction,
            "from": self.from_,
            "from_formatted": self.from_,
            "to": self.to,
            "to_formatted": self.to,
            "status": self.status,
            "answered_by": self.answered_by or None,
            "forwarded_from": None,
            "caller_name": None,
            "date_created": self._date(self.created_ms),
            "date_updated": self._date(now_ms()),
            "start_time": self._date(self.answered_ms),
            "end_time": self._date(self.ended_ms),
            "duration": None if self.is_live else str(self.duration_s()),
            "price": None,
            "price_unit": "USD",
            "uri": f"{path}.json",
            "subresource_uris": {"streams": f"{path}/Streams.json"},
        }

    def _date(self, at_ms: float | None) -> str | None:
        if at_ms is None:
            return None
        return format_datetime(self.created_at + timedelta(milliseconds=at_ms - self.created_ms))

    def parameters(self) -> dict[str, str]:
        """The parameters of every request about this call, empty ones included."""
        some = {"ParentCallSid": self.parent_call_sid, "AnsweredBy": self.answered_by}
        return {
            "AccountSid": self.account_sid,
            "ApiVersion": API_VERSION,
            "CallSid": self.call_sid,
            "CallStatus": self.status,
            "Called": self.to,
            "Caller": self.from_,
            "Direction": self.direction,
            "From": self.from_,
            "To": self.to,
            **dict.fromkeys(_PLACES, ""),
            **{name: value for name, value in some.items() if value},
        }

    # --- what happens to it ------------------------------------------------------------------

    def changed(self) -> None:
        """Check every `wait_…` again: something happened."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def error(self, code: int, text: str) -> None:
        """Record an error or warning."""
        self.errors.append((code, text))
        self.changed()

    def requested(self, exchange: Exchange) -> None:
        """Record a request whose answer Twilio ignores, and the error if it failed."""
        self.requests.append(exchange)
        if error := exchange.callback_error:
            self.error(*error)
        self.changed()

    def answered(self) -> None:
        """Answer the call if it rings: a verb that needs an answered call begins."""
        if self.status in UNANSWERED:
            self.status = "in-progress"
            self.answered_ms = now_ms()
            self.changed()

    # --- waiting -----------------------------------------------------------------------------

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, checked whenever something happens.

        Raises:
            CallEnded: the call ended and the condition is false.
        """
        while not condition():
            self._still_live()
            await self._change()

    async def wait_connected(self, streams: int = 1) -> None:
        """Wait until `streams` streams of this call have started.

        Raises:
            CallEnded: the call ended first; the message has the errors.
        """
        await self.wait_for(lambda: len(self.streams) >= streams)

    async def wait_spoken(self) -> None:
        """Wait until the caller has said everything that was queued.

        Raises:
            CallEnded: the call ended first.
        """
        await self.wait_for(lambda: not self.voice.queued_bytes)

    async def wait_heard(self, size_bytes: int) -> None:
        """Wait until the caller has heard `size_bytes` in all.

        Raises:
            CallEnded: the call ended first.
        """
        while (due_ms := self.playback.heard_at_ms(size_bytes)) is None or due_ms > now_ms():
            self._still_live()
            await self._change(due_ms)

    async def wait_quiet(self, silence_ms: float = 0.0) -> None:
        """Wait until something was heard, and then nothing for `silence_ms`.

        Raises:
            CallEnded: the call ended first.
        """
        while True:
            due_ms = self.playback.plays_until_ms + silence_ms if self.playback.media else None
            if due_ms is not None and due_ms <= now_ms():
                return
            self._still_live()
            await self._change(due_ms)

    def _still_live(self) -> None:
        if not self.is_live:
            raise CallEnded(f"the call ended ({self.status}); errors: {self.errors}")

    async def _change(self, at_latest_ms: float | None = None) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        delay_s = None if at_latest_ms is None else max(0.0, at_latest_ms - now_ms()) / 1000
        try:
            await asyncio.wait({waiter}, timeout=delay_s)
        finally:
            self._waiters.discard(waiter)


@dataclass(slots=True)
class Dialed:
    """One target of a <Dial> and its outcome. Times are monotonic milliseconds."""

    #: Number, Sip or Conference.
    kind: str
    target: str
    #: The attributes of the <Dial>.
    dial: Mapping[str, str]
    #: The attributes of the noun.
    attributes: Mapping[str, str]
    at_ms: float
    #: The DialCallStatus; empty until this target has ended.
    status: str = ""
    #: When the two calls could hear each other.
    bridged_ms: float | None = None
    ended_ms: float | None = None
    #: The call to the target; None for a conference and for an invalid number.
    leg: CallRecord | None = field(default=None, repr=False)

    @property
    def call_sid(self) -> str:
        """The SID of the child call, or empty."""
        return self.leg.call_sid if self.leg else ""

    @property
    def answered_ms(self) -> float | None:
        """When the callee answered."""
        return self.leg.answered_ms if self.leg else None

    @property
    def heard(self) -> list[Said]:
        """What the callee heard from Twilio: the whisper."""
        return self.leg.spoken_by_twilio if self.leg else []

    @property
    def pressed(self) -> list[str]:
        """The keys that the callee pressed."""
        return self.leg.pressed if self.leg else []
