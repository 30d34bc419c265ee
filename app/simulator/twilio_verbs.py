"""Twilio's interpreter: fetches TwiML and executes it verb by verb, from the top down."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from app.simulator import twilio_twiml as twiml
from app.simulator.twilio_network import Network, Pacer, now_ms
from app.simulator.twilio_record import CallRecord, Dialed, Said
from app.simulator.twilio_stream import MediaStream, StreamOrder
from app.simulator.twilio_webhook import BridgeClient, Callbacks
from app.simulator.twilio_wire import StreamFault

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_UNHEARD = frozenset({"Reject", "Pause", "Redirect"})  # these do not pick up a ringing call
_BRIDGED = frozenset({"completed", "answered"})


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """How the next <Dial> goes. `status`: completed, answered, busy, no-answer, failed, canceled;
    `after_ms`: how long it takes until its action is requested; `duration_s`: what it claims."""

    status: str = "completed"
    after_ms: float = 20.0
    duration_s: int = 1


@dataclass(slots=True)
class Trunk:
    """What all calls of a line share. `pause_scale`: real seconds per second of <Pause>;
    `streams`: how many were opened."""

    account_sid: str
    client: BridgeClient
    network: Network
    pacer: Pacer
    status_callback_url: str = ""
    pause_scale: float = 1.0
    say_ms: float = 5.0
    handshake_timeout_s: float = 5.0
    dial_outcome: DialOutcome = field(default_factory=DialOutcome)
    streams: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document comes from: requested from `url` with the standard parameters and
    `parameters`, or given as `inline` text, its relative URLs resolved against `url`."""

    url: str
    method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)
    inline: str | None = None


class _Finished(Exception):
    """The document ends the call. `status`: how a call ends that was never answered."""

    def __init__(self, status: str = "") -> None:
        super().__init__(status)
        self.status = status


class Interpreter:
    """Executes documents on a call until one of them ends it or leads nowhere.

    Cancelled, it stops the stream that runs: `stop`, then close. `streams_closed()` must be awaited
    in the end.
    """

    def __init__(self, call: CallRecord, trunk: Trunk, callbacks: Callbacks) -> None:
        self._call = call
        self._trunk = trunk
        self._callbacks = callbacks
        self._opened: list[MediaStream] = []
        self._verbs: dict[str, Callable[[Element, str], Awaitable[Source | None]]] = {
            "Connect": self._connect,
            "Say": self._say,
            "Play": self._say,
            "Pause": self._pause,
            "Redirect": self._redirect,
            "Hangup": self._hang_up,
            "Reject": self._reject,
            "Dial": self._dial,
        }

    @property
    def stream(self) -> MediaStream | None:
        """The stream that was opened last, over or not."""
        return self._opened[-1] if self._opened else None

    async def run(self, source: Source) -> str:
        """Executes the document and those it leads to. Gives the status that the call ends with."""
        following: Source | None = source
        try:
            while following is not None:
                following = await self._document(following)
        except _Finished as finished:
            if finished.status:
                return finished.status
        self._call.answered()  # Twilio picks up even to say that the application failed
        return "completed"

    async def streams_closed(self) -> None:
        """Waits until no stream has a socket any more."""
        for stream in self._opened:
            await stream.closed()

    # --- documents ---------------------------------------------------------------------------

    async def _document(self, source: Source) -> Source | None:
        fetched = await self._fetch(source)
        if fetched is None:
            return None
        self._call.twiml_history.append(fetched)
        self._call.changed()
        try:
            response = twiml.parse(fetched)
        except twiml.TwimlError as fault:
            self._call.error(12100, str(fault))
            return None
        for warning in twiml.warnings(response):
            self._call.error(12200, warning)
        for verb in response:
            execute = self._verbs.get(verb.tag)
            if execute is None:
                continue
            if verb.tag not in _UNHEARD:
                self._call.answered()
            following = await execute(verb, source.url)
            if following is not None:
                return following
        return None

    async def _fetch(self, source: Source) -> str | None:
        if source.inline is not None:
            return source.inline
        params = {**self._call.parameters(), **source.parameters}
        exchange = await self._trunk.client.request(source.url, params, source.method)
        self._call.requests.append(exchange)
        if error := exchange.document_error:
            self._call.error(*error)
            return None
        return exchange.body

    def _source(
        self, url: str, verb: Element, base: str, parameters: Mapping[str, str] | None = None
    ) -> Source:
        url = self._trunk.client.public(url, base)
        return Source(url, verb.get("method", "POST").upper(), parameters or {})

    def _action(self, verb: Element, base: str, parameters: Mapping[str, str]) -> Source | None:
        action = verb.get("action")
        return self._source(action, verb, base, parameters) if action else None

    # --- small verbs ---------------------------------------------------------------------------

    async def _say(self, verb: Element, base: str) -> None:
        words = verb.get("digits") or twiml.text(verb)
        self._call.spoken_by_twilio.append(Said(verb.tag, words, now_ms()))
        self._call.changed()
        await asyncio.sleep(self._trunk.say_ms / 1000)

    async def _pause(self, verb: Element, base: str) -> None:
        try:
            length_s = float(verb.get("length", "1"))
        except ValueError:
            self._call.error(12200, f"<Pause length> {verb.get('length')!r} is not a number")
            length_s = 1.0
        await asyncio.sleep(length_s * self._trunk.pause_scale)

    async def _redirect(self, verb: Element, base: str) -> Source:
        return self._source(twiml.text(verb), verb, base)

    async def _hang_up(self, verb: Element, base: str) -> None:
        raise _Finished

    async def _reject(self, verb: Element, base: str) -> None:
        if self._call.answered_ms is not None:
            raise _Finished
        raise _Finished("busy" if verb.get("reason") == "busy" else "no-answer")

    # --- <Connect><Stream> ---------------------------------------------------------------------

    async def _connect(self, verb: Element, base: str) -> Source | None:
        noun = verb.find("Stream")
        if noun is None:
            self._call.error(12200, "<Connect> without <Stream>")
            return None
        stream = self._new_stream(noun, base)
        self._opened.append(stream)
        try:
            await stream.open(self._trunk.client, self._trunk.handshake_timeout_s)
            self._call.streams.append(stream)
            self._call.changed()
            self._report(stream, noun, base, "stream-started")
            if (fault := await asyncio.shield(stream.ended)) is not None:
                raise fault
        except StreamFault as fault:
            self._call.error(fault.code, fault.text)
            if fault.code != 31921:  # the bridge closed its socket, which it may
                self._report(stream, noun, base, "stream-error", fault)
        finally:
            stream.stop()
            if stream in self._call.streams:
                self._report(stream, noun, base, "stream-stopped")
        return self._action(verb, base, {"StreamSid": stream.stream_sid})

    def _new_stream(self, noun: Element, base: str) -> MediaStream:
        url = noun.get("url", "")
        if "://" not in url:
            url = self._trunk.client.public(url, base)
            url = "wss" + url[url.index("://") :]
        parameters = {
            parameter.get("name", ""): parameter.get("value", "")
            for parameter in noun.findall("Parameter")
        }
        self._trunk.streams += 1
        order = StreamOrder(
            self._trunk.streams, url, self._call.account_sid, self._call.call_sid, parameters
        )
        return MediaStream(
            order,
            network=self._trunk.network,
            pacer=self._trunk.pacer,
            voice=self._call.voice,
            playback=self._call.playback,
            changed=self._call.changed,
            warn=self._call.error,
        )

    def _report(
        self,
        stream: MediaStream,
        noun: Element,
        base: str,
        event: str,
        fault: StreamFault | None = None,
    ) -> None:
        url = noun.get("statusCallback")
        if not url:
            return
        params = {
            "AccountSid": self._call.account_sid,
            "CallSid": self._call.call_sid,
            "StreamSid": stream.stream_sid,
            "StreamName": noun.get("name", stream.stream_sid),
            "StreamEvent": event,
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        if fault is not None:
            params["StreamError"] = str(fault)
        method = noun.get("statusCallbackMethod", "POST").upper()
        self._callbacks.post(self._trunk.client.public(url, base), params, method)

    # --- <Dial> --------------------------------------------------------------------------------

    async def _dial(self, verb: Element, base: str) -> Source | None:
        legs = [
            Dialed(noun.tag, twiml.text(noun), verb.attrib, noun.attrib, now_ms())
            for noun in verb
            if noun.tag in twiml.CHILDREN["Dial"]
        ]
        if not legs:  # <Dial>+1555…</Dial>
            legs = [Dialed("Number", twiml.text(verb), verb.attrib, {}, now_ms())]
        self._call.dialed += legs
        self._call.changed()
        outcome = self._trunk.dial_outcome
        status = outcome.status
        for leg in legs:
            if leg.kind == "Number" and not _E164.fullmatch(leg.target):
                self._call.error(13224, f"<Number> {leg.target!r} is not an E.164 number")
                leg.status = "failed"
        if all(leg.status for leg in legs):
            status = "failed"
        else:
            await asyncio.sleep(outcome.after_ms / 1000)
        for leg in legs:
            leg.status = leg.status or status
        self._call.changed()
        params = {
            "DialCallStatus": status,
            "DialCallSid": legs[0].call_sid,
            "DialBridged": "true" if status in _BRIDGED else "false",
        }
        if status in _BRIDGED:
            params["DialCallDuration"] = str(outcome.duration_s)
        return self._action(verb, base, params)
