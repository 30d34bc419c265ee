"""Posts JSON to the owner's URL, signed after Standard Webhooks, once and without retries.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from app.errors import ConfigError
from app.wires.retry_after import retry_after_s

DEADLINE_S = 10.0
_PREFIX = "whsec_"
_GONE = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one delivery."""

    #: HTTP status; None: no response came.
    status: int | None
    #: Why no response came; empty: one did.
    fault: str = ""
    #: The receiver's Retry-After; None: it sent none.
    retry_after_s: float | None = None

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants no retry: 410."""
        return self.status == _GONE


class Webhook:
    """The owner's URL. Close it with `aclose`.

    `secret`: `whsec_` and base64, or any other text, whose bytes are the key then. Empty: requests
    are not signed.

    Raises:
        ConfigError: the text after `whsec_` is not base64.
    """

    def __init__(self, url: str, secret: str = "", *, deadline_s: float = DEADLINE_S) -> None:
        self._url = url
        self._key = signing_key(secret)
        self._deadline = aiohttp.ClientTimeout(total=deadline_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, webhook_id: str, body: bytes, now: datetime) -> Answer:
        """POST a JSON body. `webhook_id`: the same for each retry, so that the receiver can ignore
        repetitions."""
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._key:
            headers["webhook-signature"] = signature(self._key, headers, body)
        try:
            # Redirects are not followed: the secret is agreed with this URL.
            async with self._opened().post(
                self._url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=self._deadline,
            ) as answer:
                asked_s = retry_after_s(answer.headers.get("Retry-After"), now)
                return Answer(answer.status, retry_after_s=asked_s)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # ValueError: a malformed host. Only the type is kept: the text may contain the URL.
            return Answer(None, fault=type(error).__name__)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def signing_key(secret: str) -> bytes:
    """The key of a secret.

    Raises:
        ConfigError: the text after `whsec_` is not base64.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    text = secret.removeprefix(_PREFIX)
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ConfigError(
            "CALL_WEBHOOK_SECRET: expected base64 after whsec_; copy it whole, or use a text that "
            "does not begin so"
        )
    return key


def signature(key: bytes, headers: dict[str, str], body: bytes) -> str:
    """The header `webhook-signature`. `headers`: with `webhook-id` and `webhook-timestamp`."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return f"v1,{b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
