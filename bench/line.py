"""Twilio's end of the load: webhook, media stream, a frame every 20 ms, and a playback buffer.

Message shapes: Twilio: media streams websocket messages; signatures: Twilio: webhooks security.
"""

import asyncio
import hashlib
import hmac
import xml.etree.ElementTree as ElementTree
from base64 import b64encode
from urllib.parse import urlsplit

import aiohttp
import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from app.simulator.twilio.media.tcp import new_socket
from bench import stamps
from bench.ledger import Call, Ledger
from bench.model import now_ms

PUBLIC_URL = "https://bridge.example.test"
AUTH_TOKEN = "secret"
ACCOUNT_SID = "AC" + "0" * 32
FRAME_MS = 20
NO_ANSWER = 0xFFFFFFFF  # the number of audio that is not from the model
MEDIA = (
    b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
    b'"timestamp":"%d","payload":"%b"},"streamSid":"%b"}'
)


class Media(msgspec.Struct):
    """Audio for the caller, in base64."""

    payload: str


class Mark(msgspec.Struct):
    """A mark to echo once the media before it have played."""

    name: str


class BridgeMessage(msgspec.Struct):
    """A message of the bridge: media, mark or clear. Twilio ends the stream for any other."""

    event: str
    streamSid: str
    media: Media | None = None
    mark: Mark | None = None


decode = msgspec.json.Decoder(BridgeMessage).decode
encode = msgspec.json.Encoder().encode


def signature(url: str, form: dict[str, str]) -> str:
    """X-Twilio-Signature of a form POST, or of a handshake when there is no form."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.new(AUTH_TOKEN.encode(), signed.encode(), hashlib.sha1).digest()
    return b64encode(digest).decode()


class Line(WSListener):
    """One caller and the Twilio end of their media stream."""

    def __init__(self, call: Call, ledger: Ledger) -> None:
        self.call, self.ledger = call, ledger
        self.stream_sid = f"MZ{call.index:032x}"
        self.call_sid = f"CA{call.index:032x}"
        self._sid = self.stream_sid.encode()
        self._sequence = 1
        self._timer: asyncio.TimerHandle | None = None

    # --- calling --------------------------------------------------------------------------------

    async def dial(self, http: aiohttp.ClientSession, port: int, webhook: bool) -> None:
        """Call the bridge on a loopback port: webhook, TwiML, media stream. A failure becomes a
        fault of the ledger.

        `webhook`: False opens the stream at once, for a bridge without a webhook.
        """
        try:
            url = f"wss://{urlsplit(PUBLIC_URL).netloc}/media-stream"
            parameters: dict[str, str] = {}
            if webhook:
                url, parameters = await self._ask_for_twiml(http, port)
            await self._open_stream(url, port)
        except (OSError, ValueError, aiohttp.ClientError, WSError, TimeoutError) as error:
            self.ledger.faults.append(f"call {self.call.index}: {error!r}")
            return
        self.start(parameters)

    def start(self, parameters: dict[str, str]) -> None:
        """Send `connected` and `start`. `parameters`: the <Parameter>s of the TwiML."""
        self._send(event="connected", protocol="Call", version="1.0.0")
        details = {
            "accountSid": ACCOUNT_SID,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        self._send(event="start", sequenceNumber="1", start=details, streamSid=self.stream_sid)
        self.call.stream_open = True

    async def _ask_for_twiml(
        self, http: aiohttp.ClientSession, port: int
    ) -> tuple[str, dict[str, str]]:
        form = {
            "CallSid": self.call_sid,
            "AccountSid": ACCOUNT_SID,
            "From": f"+1415{5550000 + self.call.index}",
            "To": "+14155550100",
            "CallStatus": "ringing",
            "Direction": "inbound",
            "ApiVersion": "2010-04-01",
        }
        headers = self._headers(f"{PUBLIC_URL}/incoming-call", form)
        address = f"http://127.0.0.1:{port}/incoming-call"
        async with http.post(address, data=form, headers=headers) as answer:
            answer.raise_for_status()
            twiml = await answer.text()
        try:
            stream = ElementTree.fromstring(twiml).find("Connect/Stream")
        except ElementTree.ParseError as error:
            raise ValueError(f"the TwiML is not XML: {error}") from error
        if stream is None:
            raise ValueError(f"the TwiML has no <Connect><Stream>: {twiml}")
        parameters = {p.get("name", ""): p.get("value", "") for p in stream.iter("Parameter")}
        return stream.get("url", ""), parameters

    async def _open_stream(self, url: str, port: int) -> None:
        await ws_connect(
            lambda: self,
            f"ws://127.0.0.1:{port}{urlsplit(url).path}",
            extra_headers=self._headers(url, {}),
            websocket_handshake_timeout=10,
            socket_factory=new_socket,
        )

    def _headers(self, url: str, form: dict[str, str]) -> dict[str, str]:
        return {
            "Host": urlsplit(url).netloc,
            "X-Forwarded-Proto": "https",
            "X-Twilio-Signature": signature(url, form),
        }

    # --- the stream -----------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.call.stream_open:
            self.call.stream_open = False
            self.ledger.faults.append(f"call {self.call.index}: the bridge closed its stream")
        if self._timer:
            self._timer.cancel()

    def _send(self, **message: object) -> None:
        self._sequence += 1
        self.transport.send(WSMsgType.TEXT, encode(message))

    def send_frame(self) -> None:
        """Send the caller's next 20 ms."""
        number = self.ledger.frame_sent(self.call, now_ms())
        self._sequence += 1
        payload = stamps.caller_frame(self.call.index, number)
        counters = (self._sequence, number + 1, number * FRAME_MS)
        self.transport.send(WSMsgType.TEXT, MEDIA % (*counters, payload, self._sid))

    def hang_up(self) -> None:
        """Hang up: send `stop`, then close the socket."""
        if self.call.stream_open:
            self.call.stream_open = False
            details = {"accountSid": ACCOUNT_SID, "callSid": self.call_sid}
            number = str(self._sequence + 1)
            self._send(event="stop", sequenceNumber=number, stop=details, streamSid=self.stream_sid)
            self.transport.send_close()
            self.transport.disconnect()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        at_ms = now_ms()
        if frame.msg_type == WSMsgType.TEXT:
            self._take(decode(frame.get_payload_as_memoryview()), at_ms)
        elif frame.msg_type == WSMsgType.CLOSE:
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()

    def _take(self, message: BridgeMessage, at_ms: float) -> None:
        playback = self.call.playback
        if message.media:
            self._play(message.media.payload, at_ms)
        elif message.mark:
            playback.mark(message.mark.name, at_ms)
            if self._timer is None:
                self._echo_reached()
        elif message.event == "clear":
            self.ledger.cleared(self.call, at_ms)
            self._echo(playback.clear(at_ms))
        else:
            fault = f"call {self.call.index}: Twilio has no message {message.event!r}"
            self.ledger.faults.append(fault)

    def _play(self, payload: str, at_ms: float) -> None:
        stamp = stamps.read(payload)
        made_here = stamp is not None and stamp.owner < len(self.ledger.answers)
        if stamp is None or stamp.kind != stamps.AGENT or not made_here:
            self.call.playback.play(NO_ANSWER, stamps.size_bytes(payload), at_ms)
            return
        answer = self.ledger.answers[stamp.owner]
        if answer.call and answer.call is not self.call:
            fault = f"call {self.call.index}: heard the answer to call {answer.call.index}"
            self.ledger.faults.append(fault)
        self.ledger.delta_arrived(self.call, answer, stamp.number, at_ms)

    # --- marks ----------------------------------------------------------------------------------

    def _echo_reached(self) -> None:
        self._timer = None
        self._echo(self.call.playback.reached_marks(now_ms()))
        wait_ms = self.call.playback.next_mark_ms - now_ms()
        if wait_ms < float("inf"):
            # A timer may fire up to a millisecond early: then this method runs again.
            delay_s = max(wait_ms, 0.5) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._echo_reached)

    def _echo(self, names: list[str]) -> None:
        for name in names:
            number = str(self._sequence + 1)
            mark = {"name": name}
            self._send(event="mark", sequenceNumber=number, mark=mark, streamSid=self.stream_sid)


class ProbedLine(Line):
    """A line that measures when the next sound arrives."""

    def listen(self) -> asyncio.Future[float]:
        """A future that is done when the next sound arrives, with the time in ms."""
        self._sound = asyncio.get_running_loop().create_future()
        return self._sound

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        at_ms, until_ms = now_ms(), self.call.playback.end_ms
        super().on_ws_frame(transport, frame)
        if self.call.playback.end_ms > until_ms and not self._sound.done():
            self._sound.set_result(at_ms)


class Metronome:
    """Sends every caller's frames at absolute deadlines, the calls spread evenly over the 20 ms.

    Deadlines are whole milliseconds, as uvloop's timers are: for less than half a millisecond the
    loop does not sleep, so it is not late.
    """

    def __init__(self, lines: list[Line], ledger: Ledger) -> None:
        self._lines, self._ledger = lines, ledger
        self._sent = 0
        self._handle: asyncio.Handle | None = None

    def start(self) -> None:
        """Start: a line sends frames as soon as its stream is open."""
        self._loop = asyncio.get_running_loop()
        self._began_ms = now_ms()
        self._tick()

    def stop(self) -> None:
        """Stop sending frames."""
        if self._handle:
            self._handle.cancel()

    def late(self, at_ms: float, late_ms: float) -> None:
        """Record that a frame was sent `late_ms` late."""
        if self._ledger.within(at_ms):
            self._ledger.late_ms.add(late_ms)

    def _tick(self) -> None:
        frame, turn = divmod(self._sent, len(self._lines))
        due_ms = frame * FRAME_MS + turn * FRAME_MS // len(self._lines)
        late_ms = now_ms() - self._began_ms - due_ms
        if late_ms < 0:
            self._handle = self._loop.call_later(-late_ms / 1000, self._tick)
            return
        self._sent += 1
        line = self._lines[turn]
        if line.call.stream_open:
            line.send_frame()
            self.late(now_ms(), late_ms)
        # One frame at a time: messages are read, and timed, in between.
        self._handle = self._loop.call_soon(self._tick)
