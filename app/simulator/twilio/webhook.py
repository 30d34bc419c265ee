"""Twilio's HTTP client: signed form requests to the bridge, whatever its public URL."""

import asyncio
import base64
import hashlib
import hmac
import random
import ssl
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from app.simulator.twilio.network import now_ms

XML_TYPES = frozenset({"text/xml", "application/xml"})
LARGEST_TWIML_BYTES = 64 * 1024

_LONGEST_DETOUR_S = 0.1


def signature(auth_token: str, url: str, params: Iterable[tuple[str, str]] = ()) -> str:
    """The value of X-Twilio-Signature: HMAC-SHA1 over the URL and the sorted form.

    A repeated name counts once per distinct value. The handshake of a media socket is signed the
    same way, over its wss URL alone. (Twilio: webhooks security, "Validating signatures")
    """
    signed = url + "".join(name + value for name, value in sorted(set(params)))
    digest = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to the bridge and its answer."""

    method: str
    #: The public URL.
    url: str
    params: Mapping[str, str]
    #: Monotonic milliseconds.
    sent_ms: float
    took_ms: float
    #: The HTTP status; 0: no answer.
    status: int = 0
    #: Empty: the answer has no Content-Type.
    content_type: str = ""
    body: str = field(default="", repr=False)
    #: Why there is no answer.
    failure: str = ""

    @property
    def callback_error(self) -> tuple[int, str] | None:
        """(code, text) of the error if the answer is not a success; Twilio ignores its body."""
        if self.failure:
            return 11200, f"{self.url}: {self.failure}"
        if not 200 <= self.status < 300:
            return 11200, f"{self.url}: HTTP status {self.status}"
        return None

    @property
    def document_error(self) -> tuple[int, str] | None:
        """(code, text) of the error if the answer is not a TwiML document."""
        if error := self.callback_error:
            return error
        if self.content_type not in XML_TYPES:
            return 11200, f"{self.url}: content type {self.content_type!r} is not XML"
        if len(self.body.encode()) > LARGEST_TWIML_BYTES:
            return 11750, f"{self.url}: TwiML body larger than 64 kB"
        return None


class BridgeClient:
    """Sends every request to the bridge at `webhook_url`, as if it arrived over `public_url`.

    The connection goes to the host and port of `webhook_url`; path, `Host` header and signature are
    those of the requested URL. With an empty `auth_token` nothing is signed, and `api_token` is
    sent as a bearer token. Call `close` when done.
    """

    def __init__(
        self,
        webhook_url: str,
        *,
        public_url: str = "",
        auth_token: str = "",
        api_token: str = "",
        timeout_s: float = 15.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        target, scheme = urlsplit(webhook_url), "http" if tls is None else "https"
        if target.scheme != scheme or not target.hostname:
            raise ValueError(f"webhook_url must be {scheme}://host:port/path, not {webhook_url!r}")
        #: For https: the certificates that are trusted. None: plain HTTP.
        self.tls = tls
        self._origin = target
        self._public = urlsplit(public_url) if public_url else target
        self.host, self.port = target.hostname, target.port or (80 if tls is None else 443)
        self.webhook_url = public_url or webhook_url
        if self._public.path in ("", "/"):
            self.webhook_url = self.public(webhook_url)
        self.auth_token = auth_token
        self._api_token = api_token
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, ssl=tls or False),
        )

    def public(self, url: str, base: str = "") -> str:
        """The public form of `url`: absolute, resolved against `base`, with the bridge's own
        address replaced by its public one."""
        split = urlsplit(urljoin(base, url))
        if split.netloc == self._origin.netloc:
            split = split._replace(scheme=self._public.scheme, netloc=self._public.netloc)
        return split._replace(fragment="").geturl()

    def handshake(self, stream_url: str) -> tuple[str, dict[str, str]]:
        """The local URL of a wss URL, and the headers of its handshake."""
        split = urlsplit(stream_url)
        headers = {
            "Host": split.netloc,
            "X-Forwarded-Proto": "https",
            "User-Agent": "Twilio.TmeWs/1.0",
        }
        if self.auth_token:
            headers["x-twilio-signature"] = signature(self.auth_token, stream_url)
        path = split._replace(scheme="", netloc="").geturl() or "/"
        scheme = "ws" if self.tls is None else "wss"
        return f"{scheme}://{self._origin.netloc}{path}", headers

    async def request(self, url: str, params: Mapping[str, str], method: str = "POST") -> Exchange:
        """Send the form, in the query for GET, and return the answer. A bridge that does not answer
        raises nothing: see `Exchange.failure`."""
        split = urlsplit(url)
        headers = {
            "Host": split.netloc,
            "X-Forwarded-Proto": split.scheme,
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        }
        body = b""
        if method == "GET":
            query = "&".join(part for part in (split.query, urlencode(params)) if part)
            split = split._replace(query=query)
            signed: Iterable[tuple[str, str]] = ()
        else:
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            body = urlencode(params).encode()
            signed = params.items()
        url = split.geturl()
        if self.auth_token:
            headers["X-Twilio-Signature"] = signature(self.auth_token, url, signed)
        elif self._api_token:
            headers["Authorization"] = f"Bearer {self._api_token}"
        return await self._send(method, url, self._reached_at(split), headers, params, body)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def _reached_at(self, split: SplitResult) -> URL:
        here = split._replace(
            scheme=self._origin.scheme, netloc=self._origin.netloc, path=split.path or "/"
        )
        return URL(here.geturl(), encoded=True)

    async def _send(
        self,
        method: str,
        url: str,
        target: URL,
        headers: dict[str, str],
        params: Mapping[str, str],
        body: bytes,
    ) -> Exchange:
        sent_ms = now_ms()
        try:
            async with self._session.request(
                method, target, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                text = (await answer.read()).decode("utf-8", "replace")
                status, content_type = answer.status, answer.content_type
                if "Content-Type" not in answer.headers:
                    content_type = ""
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            failure = str(fault) or type(fault).__name__
            return Exchange(method, url, params, sent_ms, now_ms() - sent_ms, failure=failure)
        took_ms = now_ms() - sent_ms
        return Exchange(method, url, params, sent_ms, took_ms, status, content_type, text)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How status callbacks arrive at the bridge."""

    #: "in order", "twice", or "shuffled": each is up to 100 ms late, and about every other one
    #: arrives twice.
    kind: str = "in order"
    #: Decides about delays and repetitions.
    dice: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if self.kind not in ("in order", "twice", "shuffled"):
            raise ValueError(f"callbacks {self.kind!r}: choose 'in order', 'twice' or 'shuffled'")

    @property
    def keeps_order(self) -> bool:
        """Whether a callback waits for the earlier ones."""
        return self.kind != "shuffled"

    def delays_s(self) -> list[float]:
        """The delay of each copy of the next callback."""
        if self.keeps_order:
            return [0.0] * (2 if self.kind == "twice" else 1)
        copies = self.dice.choice((1, 2))
        return [self.dice.uniform(0, _LONGEST_DETOUR_S) for _ in range(copies)]


class Callbacks:
    """Requests whose answers Twilio ignores: sent in the background, one after another."""

    def __init__(self, client: BridgeClient, sent: Callable[[Exchange], None]) -> None:
        self._client = client
        self._sent = sent
        self._last: asyncio.Task[None] | None = None
        self._apart: set[asyncio.Task[None]] = set()

    def post(self, url: str, params: Mapping[str, str], method: str = "POST") -> None:
        """Send a request once all earlier ones are answered; its outcome goes to `sent`."""
        self._last = asyncio.create_task(self._after(self._last, url, params, method))

    def deliver(
        self, delivery: Delivery, url: str, params: Mapping[str, str], method: str = "POST"
    ) -> None:
        """Send a status callback as `delivery` says."""
        for delay_s in delivery.delays_s():
            if delivery.keeps_order:
                self.post(url, params, method)
            else:
                task = asyncio.create_task(self._late(delay_s, url, params, method))
                self._apart.add(task)

    async def finish(self) -> None:
        """Wait until all are answered."""
        if self._last is not None:
            await self._last
        for task in self._apart:
            await task

    async def abandon(self) -> None:
        """Cancel those that are not answered yet."""
        tasks = self._apart | ({self._last} if self._last is not None else set())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _after(
        self, before: asyncio.Task[None] | None, url: str, params: Mapping[str, str], method: str
    ) -> None:
        if before is not None:
            await before
        self._sent(await self._client.request(url, params, method))

    async def _late(self, delay_s: float, url: str, params: Mapping[str, str], method: str) -> None:
        await asyncio.sleep(delay_s)
        self._sent(await self._client.request(url, params, method))
