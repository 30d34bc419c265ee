"""The application called as an ASGI server calls it, with requests as a proxy passes them on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from fastapi import FastAPI
from twilio.request_validator import RequestValidator

from app.config.settings import Settings
from app.main import create_app
from app.web.app_state import set_state, state_of
from app.web.gate import Gate
from app.wires.twilio.signature import SignatureChecker

API_TOKEN = "the owner's token"
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
PROXY = "10.0.0.7"
CLIENT = "203.0.113.9"


@dataclass(frozen=True, slots=True)
class Proxy:
    """What a proxy makes of the requests for a public URL."""

    #: The path prefix that it routes to the service.
    prefix: str = ""
    strips: bool = False
    #: Which headers say what was requested: "X-Forwarded", "Forwarded", "both", or "" for none.
    style: str = ""
    #: Several slashes become one.
    merges_slashes: bool = False
    passes_host: bool = False
    address: str = PROXY
    #: Further headers, after its own.
    headers: tuple[tuple[str, str], ...] = ()

    def passes(self, url: str) -> tuple[str, list[tuple[str, str]]]:
        """The path with its query, and the headers, that arrive for a public URL."""
        split = urlsplit(url)
        path = split.path
        if self.merges_slashes:
            while "//" in path:
                path = path.replace("//", "/")
        if self.strips:
            assert path.startswith(self.prefix)
            path = path.removeprefix(self.prefix)
        scheme = {"wss": "https", "ws": "http"}.get(split.scheme, split.scheme)
        headers = [("host", split.netloc if self.passes_host else "127.0.0.1:5050")]
        if self.style in ("X-Forwarded", "both"):
            headers += [
                ("x-forwarded-for", CLIENT),
                ("x-forwarded-host", split.netloc),
                ("x-forwarded-proto", scheme),
            ]
            if self.strips:
                headers.append(("x-forwarded-prefix", self.prefix))
        if self.style in ("Forwarded", "both"):
            headers.append(("forwarded", f'For={CLIENT};Host="{split.netloc}";Proto={scheme}'))
            if self.strips and self.style == "Forwarded":
                headers.append(("x-forwarded-prefix", self.prefix))
        return path + (f"?{split.query}" if split.query else ""), [*headers, *self.headers]


@dataclass(slots=True)
class Answer:
    """A response; for a WebSocket 101 if it was accepted, 403 if it was closed."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


class Caller:
    """Sends signed requests through a proxy to an application whose lifespan has begun."""

    def __init__(self, application: FastAPI) -> None:
        self.application = application
        self.proxy = Proxy()

    def settle(self, proxy: Proxy, public_url: str | None = None, trusts: str = PROXY) -> None:
        """Use this proxy, and these values of PUBLIC_URL and TRUSTED_PROXIES."""
        self.proxy = proxy
        chosen = Settings(_env_file=None, public_url=public_url, trusted_proxies=trusts)  # type: ignore[call-arg, arg-type] # pydantic-settings'
        checker = SignatureChecker(AUTH_TOKEN, chosen.public_url, chosen.trusted_proxies)
        gate = Gate(
            checker, api_token=API_TOKEN, signed=True, stream_signature="require", rest_url=""
        )
        set_state(self.application, replace(state_of(self.application), gate=gate))

    async def posts(
        self, url: str, form: Mapping[str, str], *, signed_url: str | None = None
    ) -> Answer:
        """A webhook request for a public URL. `signed_url`: signed in place of it."""
        signature = RequestValidator(AUTH_TOKEN).compute_signature(signed_url or url, form)
        headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-twilio-signature", signature),
        ]
        return await self._request("POST", url, headers, urlencode(form).encode())

    async def gets(self, url: str) -> Answer:
        """A request of the HTTP API's."""
        return await self._request("GET", url, [("authorization", f"Bearer {API_TOKEN}")])

    async def streams(self, url: str, *, signed_url: str | None = None) -> Answer:
        """The handshake of a media stream; the socket is closed at once."""
        signature = RequestValidator(AUTH_TOKEN).compute_signature(signed_url or url, {})
        path, headers = self.proxy.passes(url)
        scope = self._scope("websocket", path, [*headers, ("x-twilio-signature", signature)])
        messages = await self._run(
            {**scope, "scheme": "ws", "subprotocols": []},
            [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}],
        )
        accepted = messages[0]["type"] == "websocket.accept"
        return Answer(101 if accepted else 403)

    async def _request(
        self, method: str, url: str, more: list[tuple[str, str]], body: bytes = b""
    ) -> Answer:
        path, headers = self.proxy.passes(url)
        scope = self._scope("http", path, [*headers, *more])
        messages = await self._run(
            {**scope, "scheme": "http", "method": method},
            [{"type": "http.request", "body": body, "more_body": False}],
        )
        answer = Answer(
            messages[0]["status"],
            {name.decode(): value.decode() for name, value in messages[0]["headers"]},
        )
        answer.body = b"".join(each.get("body", b"") for each in messages[1:]).decode()
        return answer

    def _scope(self, kind: str, target: str, headers: list[tuple[str, str]]) -> dict[str, Any]:
        path, _, query = target.partition("?")
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "root_path": "",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "client": (self.proxy.address, 4711),
            "server": ("127.0.0.1", 5050),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }

    async def _run(
        self, scope: dict[str, Any], received: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        waiting = iter(received)

        async def receive() -> dict[str, Any]:
            if (message := next(waiting, None)) is None:
                await asyncio.Event().wait()  # the client stays connected
            assert message is not None
            return message

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        return sent


@asynccontextmanager
async def running_application(folder: Path) -> AsyncIterator[Caller]:
    """The application without a server. Its model refuses every connection."""
    values = {
        "openai_api_key": "the model's key",
        "openai_base_url": "http://127.0.0.1:9/v1",
        "api_token": API_TOKEN,
        "database_url": f"sqlite:///{folder / 'calls.db'}",
    }
    application = create_app(Settings(_env_file=None, **values))  # type: ignore[call-arg, arg-type] # pydantic-settings'
    async with application.router.lifespan_context(application):
        yield Caller(application)
