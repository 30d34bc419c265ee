"""<Connect><Stream>: a media stream, from its URL in the TwiML to its last status callback."""

import asyncio
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from app.simulator.twilio.media.stream import MediaStream, StreamOrder
from app.simulator.twilio.media.wire import StreamFault
from app.simulator.twilio.trunk import Source
from app.simulator.twilio.verbs.context import VerbContext


class Connect:
    """Executes <Connect>. Await `closed()` in the end."""

    def __init__(self, context: VerbContext) -> None:
        self._context = context
        self._call = context.call
        self._opened: list[MediaStream] = []

    @property
    def stream(self) -> MediaStream | None:
        """The last stream, ended or not."""
        return self._opened[-1] if self._opened else None

    async def closed(self) -> None:
        """Wait until the sockets of all streams are closed."""
        for stream in self._opened:
            await stream.closed()

    async def execute(self, verb: Element, base: str) -> Source | None:
        """Run the stream to its end. Returns the action. Cancelled, it ends the stream: `stop`,
        then close."""
        noun = verb.find("Stream")
        if noun is None:
            self._call.error(12200, "<Connect> without <Stream>")
            return None
        stream = self._new_stream(noun, base)
        action = self._context.action(verb, base, {"StreamSid": stream.stream_sid})
        self._opened.append(stream)
        try:
            await self._run(stream, noun, base)
        except asyncio.CancelledError:
            self._context.ask_after_all(action, after_hangup=False)
            raise
        return action

    async def _run(self, stream: MediaStream, noun: Element, base: str) -> None:
        trunk = self._context.trunk
        try:
            await stream.open(trunk.client, trunk.options.handshake_timeout_s)
            self._call.streams.append(stream)
            self._call.changed()
            self._report(stream, noun, base, "stream-started")
            if (fault := await asyncio.shield(stream.ended)) is not None:
                raise fault
        except StreamFault as fault:
            self._call.error(fault.code, fault.text)
            if fault.code != 31921:  # the bridge may close its socket
                self._report(stream, noun, base, "stream-error", fault)
        finally:
            stream.stop()
            if stream in self._call.streams:
                self._report(stream, noun, base, "stream-stopped")

    def _new_stream(self, noun: Element, base: str) -> MediaStream:
        call, trunk = self._call, self._context.trunk
        url = noun.get("url", "")
        if "://" not in url:
            url = self._context.public(url, base)
            url = "wss" + url[url.index("://") :]
        parameters = {
            parameter.get("name", ""): parameter.get("value", "")
            for parameter in noun.findall("Parameter")
        }
        trunk.streams += 1
        order = StreamOrder(trunk.streams, url, call.account_sid, call.call_sid, parameters)
        return MediaStream(
            order,
            network=trunk.network,
            pacer=trunk.pacer,
            voice=call.voice,
            playback=call.playback,
            changed=call.changed,
            warn=call.error,
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
        self._context.callbacks.post(self._context.public(url, base), params, method)
