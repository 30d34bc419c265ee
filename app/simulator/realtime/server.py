"""A scripted OpenAI Realtime server on the loopback, strict about client events.

It speaks the GA protocol as raw JSON over real sockets and imports nothing from the bridge's wires.
Tests and the demo script its answers: see `Reply`, `Script`, `Options` and `Fault`.

    async with RealtimeServer(Script("Hello!", "Until tomorrow.", heard=["Bye"])) as server:
        ...  # point OPENAI_BASE_URL at server.base_url
        session = await server.session()
        await session.received("response.create")
"""

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from app.simulator.realtime.script import (
    Brain,
    Options,
    Reply,
    Script,
    Transcribe,
)
from app.simulator.realtime.session import Fault, Session
from app.simulator.realtime.vad import Detector, Loudness

_HOST = "127.0.0.1"
_LARGEST_FRAME_BYTES = 22 * 1024 * 1024  # 15 MiB of audio in base64
_CLOSE_WAIT_S = 2.0
_PATHS = ("/v1/realtime",)
_AZURE_PATHS = ("/openai/realtime", "/openai/v1/realtime")
# A browser cannot set headers: it sends its key as a subprotocol, beside the one that is chosen.
# (OpenAI: Realtime API with WebSockets, "Connect from a browser")
_SUBPROTOCOL = "realtime"
_KEY_SUBPROTOCOL = "openai-insecure-api-key."


@dataclass(frozen=True, slots=True)
class Handshake:
    """A client's request for a WebSocket."""

    path: str
    #: Names in lower case.
    headers: dict[str, str]
    #: The HTTP status of the answer; 101: accepted.
    status: int
    #: Monotonic seconds.
    at_s: float


class RealtimeServer:
    """Listens between `start` and `close`, or inside `async with`.

    Leaving `async with` without another error raises the first exception of the brain.

    Args:
        brain: answers every turn; a `Script`, or a list of replies, is the short form for tests.
        transcribe: turns µ-law of one turn of the caller into text.
        detector: makes the speech detector of one session.
    """

    def __init__(
        self,
        brain: Brain | Script | Sequence[Reply | str] = (),
        *,
        transcribe: Transcribe | None = None,
        detector: Callable[[], Detector] = Loudness,
        options: Options | None = None,
    ) -> None:
        if not callable(brain):
            script = brain if isinstance(brain, Script) else Script(*brain)
            brain, transcribe = script.brain, transcribe or script.transcribe
        self.options = options or Options()
        #: Every session, in order; only the open ones if the server does not remember.
        self.sessions: list[Session] = []
        #: Every handshake, refused ones included.
        self.handshakes: list[Handshake] = []
        #: Faults of the next connections, one each, in order.
        self.faults: deque[Fault] = deque()
        #: The fault of every connection for which `faults` has none.
        self.fault = Fault()
        self._brain, self._transcribe, self._detector = brain, transcribe, detector
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections = 0
        self._news = asyncio.Event()

    def answer_with(self, brain: Brain, transcribe: Transcribe | None) -> None:
        """Give another brain to the sessions that begin from now on."""
        self._brain, self._transcribe = brain, transcribe

    @property
    def port(self) -> int:
        if self._socket is None:
            raise RuntimeError("the server does not listen; call start() first")
        return int(self._socket.getsockname()[1])

    @property
    def base_url(self) -> str:
        """The value for `OPENAI_BASE_URL`."""
        return f"http://{_HOST}:{self.port}/{'openai' if self.options.api_version else 'v1'}"

    @property
    def open_sessions(self) -> list[Session]:
        return [session for session in self.sessions if not session.closed.is_set()]

    @property
    def failures(self) -> list[Exception]:
        """What the brain, the transcription and interceptors raised, in all sessions."""
        return [failure for session in self.sessions for failure in session.failures]

    async def session(self, index: int = 0) -> Session:
        """Wait for a session. `index`: 0 is the first one."""
        await self.until(lambda server: len(server.sessions) > index)
        return self.sessions[index]

    async def until(self, condition: Callable[["RealtimeServer"], bool]) -> None:
        """Wait for a condition, checked after every handshake and every opened session."""
        while not condition(self):
            self._news.clear()
            await self._news.wait()

    async def start(self, port: int = 0) -> None:
        """Listen on the loopback. `port`: 0 takes a free one."""
        self._socket = socket.create_server((_HOST, port))
        await self.resume()

    def hang(self) -> None:
        """From now on the kernel accepts connections and the server answers none of them."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def resume(self) -> None:
        """Answer connections again, pending ones included."""
        if self._socket is not None and self._server is None:
            # a copy, so that closing the server does not close the port (see `hang`)
            self._server = await ws_create_server(
                self._accept, sock=self._socket.dup(), max_frame_size=_LARGEST_FRAME_BYTES
            )

    async def close(self) -> None:
        """Close every session, then the port. Returns when no task runs any more."""
        self.hang()
        for session in self.open_sessions:
            session.close(1001, "the server goes away")
        closing = [asyncio.ensure_future(s.closed.wait()) for s in self.open_sessions]
        if closing:
            _, late = await asyncio.wait(closing, timeout=_CLOSE_WAIT_S)
            for waiter in late:
                waiter.cancel()
            for session in self.open_sessions:
                session.drop()
        for session in self.sessions:
            await asyncio.gather(*session.tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def __aenter__(self) -> "RealtimeServer":
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
        if error is None and self.failures:
            raise self.failures[0]

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        path = request.path.decode("latin-1")
        headers = {name.lower(): value for name, value in request.headers.items()}
        fault = self.faults.popleft() if self.faults else self.fault
        status, code, message = self._judge(path, headers, fault)
        self._connections += 1
        if self.options.remembers:
            self.handshakes.append(Handshake(path, headers, status, time.monotonic()))
        self._news.set()
        if status != 101:
            error = {"message": message, "type": "invalid_request_error", "code": code}
            body = json.dumps({"error": {**error, "param": None}}).encode()
            response = WSUpgradeResponse.create_error_response(
                status, body, {"Content-Type": "application/json"}
            )
            return WSUpgradeResponseWithListener(response, None)
        session = Session(
            self._connections,
            self._model_in(path),
            self._brain,
            self._transcribe,
            self.options,
            fault,
            detector=self._detector,
            beta="openai-beta" in headers,
            opened=self._on_opened,
        )
        if _SUBPROTOCOL not in _subprotocols(headers):
            return session
        chosen = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": _SUBPROTOCOL})
        return WSUpgradeResponseWithListener(chosen, session)

    def _on_opened(self, session: Session) -> None:
        if not self.options.remembers:
            self.sessions = self.open_sessions
        self.sessions.append(session)
        self._news.set()

    def _judge(self, path: str, headers: dict[str, str], fault: Fault) -> tuple[int, str, str]:
        """HTTP status, error code and message for a handshake; 101 accepts it."""
        if fault.refuse_status is not None:
            return fault.refuse_status, "refused", "Refused as the test asked."
        url = urlsplit(path)
        version = self.options.api_version
        if url.path not in (_AZURE_PATHS if version else _PATHS):
            return 404, "unknown_url", f"Unknown request URL: GET {url.path}."
        if version and parse_qs(url.query).get("api-version") != [version]:
            return 404, "404", "Resource not found"
        key = self._key_in(headers)
        if not key:
            return 401, "missing_api_key", "Missing authentication in header."
        if self.options.api_key and key != self.options.api_key:
            return 401, "invalid_api_key", "Incorrect API key provided."
        if not self._model_in(path):
            return 400, "missing_required_parameter", "You must provide a model parameter."
        return 101, "", ""

    def _key_in(self, headers: dict[str, str]) -> str:
        """The key that a handshake sends, from the header that this server reads; empty: none."""
        if self.options.api_version:
            return "" if "authorization" in headers else headers.get("api-key", "")
        for name in _subprotocols(headers):
            if name.startswith(_KEY_SUBPROTOCOL):
                return name.removeprefix(_KEY_SUBPROTOCOL)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key if scheme.lower() == "bearer" else ""

    def _model_in(self, path: str) -> str:
        """The model that a handshake asks for; empty: none."""
        query = parse_qs(urlsplit(path).query)
        named = query.get("deployment") if self.options.api_version else None
        return (named or query.get("model") or [""])[0]


def _subprotocols(headers: dict[str, str]) -> list[str]:
    """The subprotocols that a handshake offers."""
    return [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
