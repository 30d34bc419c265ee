"""What happened on a call, as Twilio knows it: the truth that tests compare the bridge with."""

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
    """The call ended before that happened which was waited for."""


@dataclass(frozen=True, slots=True)
class Said:
    """What Twilio let somebody hear. `verb`: Say, Play, or Beep (a conference's). `text`: the
    words, the URL, or the digits."""

    verb: str
    text: str
    at_ms: float


class CallRecord:
    """A call's state and its history. Times are monotonic milliseconds.

    `errors`: what Twilio's debugger would show, as (code, text); 31921 is there for every stream
    that the bridge closed. `requests`: every HTTP request made to the bridge. `streams`: every
    media stream that was opened, the last one being the present one. `hold`: what was heard while
    a conference was waited for. `pressed`: every key, wherever it went. `prompts`: how many
    <Gather>s have said their prompt. `key_sink`: what takes keys before the stream does.
    `talking_ms`: since when it talks with another call, None while it does not. `ready_ms`: when
    a dialled call's whisper was over. `pulled_out`: a dialled call has left its <Dial> for a
    document of its own. `beeped_ms`: when the machine that answered began to record.
    """

    def __init__(
        self, account_sid: str, call_sid: str, direction: str, from_: str, to: str
    ) -> None:
        self.call_sid = call_sid
        self.account_sid = account_sid
        self.from_ = from_
        self.to = to
        self.direction = direction
        self.parent_call_sid = ""
        self.answered_by = ""
        self.status = "ringing"
        self.created_ms = now_ms()
        self.created_at = datetime.now(UTC)
        self.answered_ms: float | None = None
        self.ended_ms: float | None = None
        self.twiml_history: list[str] = []
        self.spoken_by_twilio: list[Said] = []
        self.hold: list[Said] = []
        self.pressed: list[str] = []
        self.prompts = 0
        self.key_sink: Callable[[str], None] | None = None
        self.talking_ms: float | None = None
        self.ready_ms: float | None = None
        self.pulled_out = False
        self.beeped_ms: float | None = None
        self.dialed: list[Dialed] = []
        self.errors: list[tuple[int, str]] = []
        self.requests: list[Exchange] = []
        self.streams: list[MediaStream] = []
        self.playback = PlaybackClock()
        self.voice = CallerVoice()
        self._waiters: set[asyncio.Future[None]] = set()

    # --- what it says ------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether the call has not ended."""
        return self.status in LIVE

    @property
    def stream_sid(self) -> str:
        """The present or last stream, or empty."""
        return self.streams[-1].stream_sid if self.streams else ""

    @property
    def said(self) -> list[str]:
        """The words of every <Say>."""
        return [said.text for said in self.spoken_by_twilio if said.verb == "Say"]

    @property
    def played(self) -> list[str]:
        """The URL or digits of every <Play>."""
        return [said.text for said in self.spoken_by_twilio if said.verb == "Play"]

    @property
    def heard(self) -> bytes:
        """The µ-law that the caller heard from the streams up to now."""
        return self.playback.heard(now_ms())

    @property
    def recorded(self) -> bytes:
        """The µ-law that the machine which answered has recorded since its beep."""
        if self.beeped_ms is None:
            return b""
        return self.heard[self.playback.heard_bytes(self.beeped_ms) :]

    @property
    def error_codes(self) -> list[int]:
        """The codes of `errors`."""
        return [code for code, _ in self.errors]

    def duration_s(self) -> int:
        """How long the call was answered, in whole seconds."""
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
        """The parameters that every request about this call carries, blank ones included."""
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
        """Something happened: whoever waits looks again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def error(self, code: int, text: str) -> None:
        """Writes an error or warning down."""
        self.errors.append((code, text))
        self.changed()

    def requested(self, exchange: Exchange) -> None:
        """Writes down a request whose answer did not matter."""
        self.requests.append(exchange)
        if error := exchange.callback_error:
            self.error(*error)
        self.changed()

    def answered(self) -> None:
        """A verb that needs an open line begins: Twilio picks up now, if it has not."""
        if self.status in UNANSWERED:
            self.status = "in-progress"
            self.answered_ms = now_ms()
            self.changed()

    # --- waiting for it ----------------------------------------------------------------------

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Waits until the condition holds; it is looked at whenever something happens.

        Raises:
            CallEnded: the call ended and the condition does not hold.
        """
        while not condition():
            self._still_live()
            await self._change()

    async def wait_connected(self, streams: int = 1) -> None:
        """Waits until so many streams of this call have started.

        Raises:
            CallEnded: the call ended first; the message says what Twilio complained about.
        """
        await self.wait_for(lambda: len(self.streams) >= streams)

    async def wait_spoken(self) -> None:
        """Waits until the caller has said all that was queued.

        Raises:
            CallEnded: the call ended first.
        """
        await self.wait_for(lambda: not self.voice.queued_bytes)

    async def wait_heard(self, size_bytes: int) -> None:
        """Waits until the caller has heard this much in all.

        Raises:
            CallEnded: the call ended first.
        """
        while (due_ms := self.playback.heard_at_ms(size_bytes)) is None or due_ms > now_ms():
            self._still_live()
            await self._change(due_ms)

    async def wait_quiet(self, silence_ms: float = 0.0) -> None:
        """Waits until something was heard and then nothing for `silence_ms`.

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
    """One target of a <Dial>, and how that went. `dial`, `attributes`: those of the verb and of the
    noun. `status`: the DialCallStatus, empty while it is under way. `leg`: the call to it, if one
    was made: none to a conference, none to what is no number.

    `bridged_ms`: when the talk began. `ended_ms`: when this target was done with.
    """

    kind: str
    target: str
    dial: Mapping[str, str]
    attributes: Mapping[str, str]
    at_ms: float
    status: str = ""
    bridged_ms: float | None = None
    ended_ms: float | None = None
    leg: CallRecord | None = field(default=None, repr=False)

    @property
    def call_sid(self) -> str:
        """The child call's, or empty."""
        return self.leg.call_sid if self.leg else ""

    @property
    def answered_ms(self) -> float | None:
        """When it was picked up."""
        return self.leg.answered_ms if self.leg else None

    @property
    def heard(self) -> list[Said]:
        """What whoever picked up heard before the talk: the whisper."""
        return self.leg.spoken_by_twilio if self.leg else []

    @property
    def pressed(self) -> list[str]:
        """The keys that whoever picked up pressed."""
        return self.leg.pressed if self.leg else []
