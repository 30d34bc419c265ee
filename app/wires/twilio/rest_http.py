"""The HTTP client for the `twilio` package: deadlines, retries and the base URL.

The log gets statuses only, because URLs, bodies and headers hold numbers and credentials.
"""

# The twilio package ships no types:
# mypy: allow-subclassing-any

import asyncio
import logging
import random
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from app.call.backoff import backoff
from app.errors import TwilioError
from app.wires.retry_after import retry_after_s

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
#: The connect timeout's share of an attempt's deadline. It expires before the deadline does, so
#: that "no connection" (never sent) can be distinguished from "no response".
_CONNECT_SHARE = 0.8


class HttpClient(AsyncHttpClient):
    """Implements the SDK's HTTP client with one aiohttp session.

    The session opens with the first request; call `aclose` at the end.

    Args:
        base_url: Replaces the SDK's host; see `base_of`.
        deadline_s: For each attempt, seconds.
        total_s: For all attempts of a request and the waits between them, seconds.
        backoff_s: Wait before the second attempt, seconds, randomized by half; doubled before the
            third.
        longest_wait_s: The longest Retry-After that is respected, seconds.
        repeatable: True for idempotent requests: they are retried after 429, every 5xx and every
            network error. False: a request is retried only if Twilio certainly did not execute it,
            after 429, 503, or if no connection was made.
    """

    def __init__(
        self,
        base_url: str,
        *,
        deadline_s: float,
        total_s: float,
        backoff_s: float,
        longest_wait_s: float,
        repeatable: bool,
    ) -> None:
        super().__init__(logger, is_async=True)
        self._base_url = base_url.rstrip("/")
        self._deadline_s = deadline_s
        self._total_s = total_s
        self._backoff_s = backoff_s
        self._longest_wait_s = longest_wait_s
        self._repeatable = repeatable
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the SDK passes it by this name
        allow_redirects: bool = False,
    ) -> Response:
        """Send a request, with retries. The SDK judges the response's status.

        Raises:
            TwilioError: there is no response.
        """
        parts = urlsplit(uri)
        base_url = base_of(self._base_url, parts.hostname or "")
        url = f"{base_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        headers = dict(headers or {})
        if auth:
            # aiohttp.BasicAuth accepts no colon in the user name, and Latin-1 only.
            headers["Authorization"] = f"Basic {b64encode(':'.join(auth).encode()).decode()}"
        now_s = asyncio.get_running_loop().time
        end_s = now_s() + self._total_s
        for attempts_left in reversed(range(_ATTEMPTS)):
            attempt = _ATTEMPTS - attempts_left
            wait_s = backoff(self._backoff_s, attempt) * random.uniform(0.5, 1.5)
            try:
                async with self._opened().request(
                    method,
                    url,
                    params=params,
                    data=data,
                    headers=headers,
                    allow_redirects=allow_redirects,
                    timeout=self._timeout(end_s - now_s()),
                ) as answer:
                    text = await answer.text(errors="replace")
            except (aiohttp.ClientError, TimeoutError) as error:
                never_sent = isinstance(error, _NEVER_SENT)
                again = self._repeatable or never_sent
                if not again or not attempts_left or now_s() + wait_s >= end_s:
                    raise TwilioError(
                        f"Twilio's REST API cannot be reached ({type(error).__name__}); "
                        "check the network and TWILIO_API_BASE_URL",
                        unsure=not never_sent,
                    ) from None
                logger.warning("Twilio did not answer", extra={"attempts_left": attempts_left})
            else:
                if answer.status == 429:
                    asked_s = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
                    wait_s = wait_s if asked_s is None else min(asked_s, self._longest_wait_s)
                again = self._retryable(answer.status)
                if not again or not attempts_left or now_s() + wait_s >= end_s:
                    return Response(answer.status, text, answer.headers)
                logger.warning(
                    "Twilio request failed, retrying",
                    extra={"status": answer.status, "attempts_left": attempts_left},
                )
            await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _retryable(self, status: int) -> bool:
        return status in (429, 503) or (self._repeatable and status >= 500)

    def _timeout(self, left_s: float) -> aiohttp.ClientTimeout:
        total_s = max(min(self._deadline_s, left_s), 0.001)  # 0 means no timeout to aiohttp
        return aiohttp.ClientTimeout(total=total_s, connect=total_s * _CONNECT_SHARE)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # If Twilio closes an idle connection while a request is sent on it, whether Twilio read
            # the request is unknown. A request that must not run twice gets a new connection.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=not self._repeatable),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def base_of(base_url: str, sdk_host: str) -> str:
    """Where a request goes that the SDK addresses to `sdk_host`, such as `monitor.twilio.com`.

    `base_url`: TWILIO_API_BASE_URL. Twilio's own hosts, those of regions too, begin with the name
    of the product: `api.dublin.ie1.twilio.com` and `monitor.dublin.ie1.twilio.com`. Every other
    address serves all products.
    """
    parts = urlsplit(base_url)
    host, product = parts.hostname or "", sdk_host.partition(".")[0]
    if not (host.startswith("api.") and host.endswith(".twilio.com")) or not product:
        return base_url
    return base_url.replace("://api.", f"://{product}.", 1)
