"""A text-to-speech server like the standard's sample: a thread for each request, headers before any
sound, writes of 4096 bytes, keep-alive, no check of the token."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

WRITE_BYTES = 4096


class ThreadedServer(ThreadingHTTPServer):
    """`sound`: the PCM of a text at a rate. `speed`: how many times faster than real time."""

    daemon_threads = True

    def __init__(self, sound: Callable[[str, int], bytes], speed: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sound, self.speed = sound, speed
        #: How often each text was said to its end.
        self.said: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/stream-audio"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ThreadedServer

    def do_OPTIONS(self) -> None:
        self.send_response(200)
        self.send_header("Allow", "POST, OPTIONS")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get_content_type() == "application/json":
            fields = json.loads(body)
        else:
            fields = dict(parse_qsl(body.decode()))
        hz = int(fields["SampleRate"])
        self.send_response(200)
        self.send_header("Content-Type", "audio/mpeg")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pcm = self.server.sound(fields["Text"], hz)
        begun_s = time.monotonic()
        for start in range(0, len(pcm), WRITE_BYTES):
            wait_s = begun_s + start / (hz * 2) / self.server.speed - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            chunk = pcm[start : start + WRITE_BYTES]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")
        with self.server.lock:
            self.server.said[fields["Text"]] += 1

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def threaded_server(
    sound: Callable[[str, int], bytes], *, speed: float
) -> Iterator[ThreadedServer]:
    """A listening server."""
    with ThreadedServer(sound, speed) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
