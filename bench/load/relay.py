"""The least work that a Python process can do as a bridge: it copies payloads between the sockets.

picows on both sides, no JSON parser, no webhook, no checks, no log. When the caller speaks it
clears and truncates by the clock, so that it can run the same script as the service. The service's
cost is given as a multiple of the relay's.
"""

import argparse
import asyncio
import gc
import time

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

TEXT, CLOSE = WSMsgType.TEXT, WSMsgType.CLOSE
SESSION = (
    b'{"type":"session.update","session":{"type":"realtime","audio":{'
    b'"input":{"format":{"type":"audio/pcmu"},"turn_detection":{"type":"server_vad"}},'
    b'"output":{"format":{"type":"audio/pcmu"}}}}}'
)
APPEND = b'{"type":"input_audio_buffer.append","audio":"%b"}'
TRUNCATE = (
    b'{"type":"conversation.item.truncate","item_id":"%b","content_index":0,"audio_end_ms":%d}'
)


def value_of(message: bytes, key: bytes) -> bytes:
    """The string that follows `key`, which ends with the string's opening quote."""
    start = message.index(key) + len(key)
    return message[start : message.index(b'"', start)]


class ModelSide(WSListener):
    """The socket to the model: forwards deltas; at speech it clears and truncates."""

    def __init__(self, caller: "CallerSide") -> None:
        self.caller = caller
        self.item = b""
        self.sent_s = self.start_s = self.end_s = 0.0  # of the item, and when all has played

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(TEXT, SESSION)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.caller.transport.disconnect()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != TEXT:
            if frame.msg_type == CLOSE:
                transport.disconnect()
            return
        message = frame.get_payload_as_bytes()
        if message.startswith(b'{"type":"response.output_audio.delta"'):
            self.play(message)
        elif message.startswith(b'{"type":"input_audio_buffer.speech_started"'):
            self.interrupt(transport)

    def play(self, message: bytes) -> None:
        item, payload = value_of(message, b'"item_id":"'), value_of(message, b'"delta":"')
        self.caller.transport.send(TEXT, self.caller.media % payload)
        now_s = time.monotonic()
        begin_s = max(now_s, self.end_s)
        if item != self.item:
            self.item, self.sent_s, self.start_s = item, 0.0, begin_s
        length_s = (len(payload) * 3 // 4 - payload.count(b"=", -2)) / 8000
        self.sent_s += length_s
        self.end_s = begin_s + length_s

    def interrupt(self, transport: WSTransport) -> None:
        now_s = time.monotonic()
        if self.end_s > now_s:
            self.caller.transport.send(TEXT, self.caller.clear)
            heard_s = max(0.0, min(now_s - self.start_s, self.sent_s))
            transport.send(TEXT, TRUNCATE % (self.item, int(heard_s * 1000)))
            self.end_s = now_s


class CallerSide(WSListener):
    """The media stream: its frames go to the model."""

    def __init__(self, model_url: str) -> None:
        self.model_url = model_url
        self.model: WSTransport | None = None
        self.early: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.model:
            self.model.disconnect()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != TEXT:
            if frame.msg_type == CLOSE:
                transport.disconnect()
            return
        message = frame.get_payload_as_bytes()
        if message.startswith(b'{"event":"media"'):
            payload = value_of(message, b'"payload":"')
            if self.model:
                self.model.send(TEXT, APPEND % payload)
            else:
                self.early.append(payload)
        elif message.startswith(b'{"event":"start"'):
            stream = b'"streamSid":"' + value_of(message, b'"streamSid":"') + b'"'
            self.media = b'{"event":"media",' + stream + b',"media":{"payload":"%b"}}'
            self.clear = b'{"event":"clear",' + stream + b"}"
            self.dialling = asyncio.get_running_loop().create_task(self.dial())
        elif message.startswith(b'{"event":"stop"') and self.model:
            self.model.disconnect()

    async def dial(self) -> None:
        """Open the model's socket and forward the payloads that arrived meanwhile."""
        self.model, _ = await ws_connect(lambda: ModelSide(self), self.model_url)
        for payload in self.early:
            self.model.send(TEXT, APPEND % payload)
        self.early.clear()


async def serve(port: int, model_url: str) -> None:
    """Run until killed."""
    server = await ws_create_server(
        lambda request: CallerSide(model_url), "127.0.0.1", port, backlog=2048
    )
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model-url", required=True, help="ws://…/v1/realtime?model=…")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.model_url))
