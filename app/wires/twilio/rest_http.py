"""How one REST request reaches Twilio: its deadlines, and when it may be tried again.

Nothing is logged but statuses, because URLs, bodies and headers hold numbers and credentials.
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

from app.errors import TwilioError
from app.wires.retry_after import retry_after_s

logger = logging.getLogger(__name__)

_TRIES = 3
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_CONNECT_SHARE = 0.8  # of a try's deadline, so that "unreachable" is told from "no answer"


class HttpClient(AsyncHttpClient):
    """The SDK's seam for an HTTP client, over one aiohttp session.

    `base_url`: stands in for the SDK's host. `deadline_s`: for each try. `total_s`: for all tries
    of a request and the waits between them. `backoff_s`: about the wait before the second try,
    doubled for the third. `longest_wait_s`: the most that Twilio's Retry-After can make us wait.

    `repeatable`: its requests are harmless when they are done twice, and so tried again after
    every trouble that passes. Those that are not are tried again only when Twilio surely did not
    do them: after a 429 or a 503, or when no connection could be made.

    The session opens with the first request; `aclose` it at the end.
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
        """Raises TwilioError when there is no answer; one of any status is the SDK's to judge."""
        parts = urlsplit(uri)
        url = f"{self._base_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        headers = dict(headers or {})
        if auth:
            # By hand, because aiohttp's own takes no colon in a name and nothing beyond Latin-1.
            headers["Authorization"] = f"Basic {b64encode(':'.join(auth).encode()).decode()}"
        now_s = asyncio.get_running_loop().time
        over_s = now_s() + self._total_s
        for tries_left in reversed(range(_TRIES)):
            wait_s = self._backoff_s * 2 ** (_TRIES - 1 - tries_left) * random.uniform(0.5, 1.5)
            try:
                async with self._opened().request(
                    method,
                    url,
                    params=params,
                    data=data,
                    headers=headers,
                    allow_redirects=allow_redirects,
                    timeout=self._timeout(over_s - now_s()),
                ) as answer:
                    text = await answer.text(errors="replace")
            except (aiohttp.ClientError, TimeoutError) as error:
                never_sent = isinstance(error, _NEVER_SENT)
                again = self._repeatable or never_sent
                if not again or not tries_left or now_s() + wait_s >= over_s:
                    raise TwilioError(
                        f"Twilio's REST API cannot be reached ({type(error).__name__}); "
                        "check the network and TWILIO_API_BASE_URL",
                        unsure=not never_sent,
                    ) from None
                logger.warning("Twilio did not answer", extra={"tries_left": tries_left})
            else:
                if answer.status == 429:
                    asked_s = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
                    wait_s = wait_s if asked_s is None else min(asked_s, self._longest_wait_s)
                again = self._passes(answer.status)
                if not again or not tries_left or now_s() + wait_s >= over_s:
                    return Response(answer.status, text, answer.headers)
                logger.warning(
                    "Twilio asked to try again",
                    extra={"status": answer.status, "tries_left": tries_left},
                )
            await asyncio.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _passes(self, status: int) -> bool:
        return status in (429, 503) or (self._repeatable and status >= 500)

    def _timeout(self, left_s: float) -> aiohttp.ClientTimeout:
        total_s = max(min(self._deadline_s, left_s), 0.001)  # 0 would be no deadline at all
        return aiohttp.ClientTimeout(total=total_s, connect=total_s * _CONNECT_SHARE)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # On a connection that Twilio is just closing a request is lost, and nobody can tell
            # whether it was read. What must not be done twice gets a connection of its own.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=not self._repeatable),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
