"""Orders to Twilio over REST: deadlines, retries and the base URL are ours, the rest the SDK's.

Twilio: Call resource. The `twilio` package makes the requests and reads the answers; it is given an
HTTP client that logs nothing, because URLs, bodies and headers hold numbers and credentials.
"""

# The twilio package ships no types:
# mypy: allow-subclassing-any

import asyncio
import logging
import random
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from app.errors import TwilioError

logger = logging.getLogger(__name__)

_TRIES = 3
_CALL_IS_OVER = {20404, 21220}  # not found, not in progress


class TwilioRest:
    """What the bridge orders at Twilio.

    `username`, `password`: the account SID and its auth token, or an API key and its secret.
    `base_url`: stands in for https://api.twilio.com. `deadline_s`: for each try. `backoff_s`: about
    the wait before the second try, doubled for the third. `longest_wait_s`: the most that Twilio's
    Retry-After can make us wait.

    The connection pool opens with the first request; `aclose` it at the end.
    """

    def __init__(
        self,
        account_sid: str,
        username: str,
        password: str,
        base_url: str = "https://api.twilio.com",
        *,
        deadline_s: float = 5.0,
        backoff_s: float = 0.25,
        longest_wait_s: float = 10.0,
    ) -> None:
        self._http = _HttpClient(base_url, deadline_s, backoff_s, longest_wait_s)
        self._client = Client(username, password, account_sid, http_client=self._http)

    async def hang_up(self, call_sid: str) -> None:
        """Ends a call; a call that is over already counts as ended.

        Raises TwilioError when Twilio refuses or cannot be reached, retries included.
        """
        try:
            await self._client.calls(call_sid).update_async(status="completed")
        except (TwilioRestException, TwilioServiceException) as error:
            # The SDK repeats the status as a code when Twilio gave none.
            known = isinstance(error.code, int) and error.code != error.status
            code = error.code if known else None
            if error.status != 404 and code not in _CALL_IS_OVER:
                raise _refused("to end a call", error.status, code) from None
        except ValueError:
            raise TwilioError(
                "Twilio's answer to a hang-up is not JSON; check TWILIO_API_BASE_URL"
            ) from None

    async def aclose(self) -> None:
        """Closes the connections. The next request would open new ones."""
        await self._http.aclose()


class _HttpClient(AsyncHttpClient):
    """The SDK's seam for an HTTP client, over one aiohttp session.

    Every request is tried again after a lost connection, so it must be harmless when it is done
    twice.
    """

    def __init__(
        self, base_url: str, deadline_s: float, backoff_s: float, longest_wait_s: float
    ) -> None:
        super().__init__(logger, is_async=True)
        self._base_url = base_url.rstrip("/")
        self._deadline = aiohttp.ClientTimeout(total=deadline_s)
        self._backoff_s = backoff_s
        self._longest_wait_s = longest_wait_s
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
        parts = urlsplit(uri)
        url = f"{self._base_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        headers = dict(headers or {})
        if auth:
            # By hand, because aiohttp's own takes no colon in a name and nothing beyond Latin-1.
            headers["Authorization"] = f"Basic {b64encode(':'.join(auth).encode()).decode()}"
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
                    timeout=self._deadline,
                ) as answer:
                    text = await answer.text(errors="replace")
            except (aiohttp.ClientError, TimeoutError) as error:
                if not tries_left:
                    raise TwilioError(
                        f"Twilio's REST API cannot be reached ({type(error).__name__}); "
                        "check the network and TWILIO_API_BASE_URL"
                    ) from None
                logger.warning("Twilio did not answer", extra={"tries_left": tries_left})
            else:
                again = answer.status == 429 or answer.status >= 500
                if not again or not tries_left:
                    return Response(answer.status, text, answer.headers)
                if answer.status == 429:
                    asked_s = _retry_after_s(answer.headers.get("Retry-After"))
                    wait_s = wait_s if asked_s is None else min(asked_s, self._longest_wait_s)
                logger.warning(
                    "Twilio asked to try again",
                    extra={"status": answer.status, "tries_left": tries_left},
                )
            await asyncio.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def _retry_after_s(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date,
    which may be past."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return (date - datetime.now(UTC)).total_seconds()


def _refused(what: str, status: int, code: int | None) -> TwilioError:
    if status in (401, 403):
        fix = "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or the API key"
    elif code:
        fix = f"see https://www.twilio.com/docs/api/errors/{code}"
    else:
        fix = "see https://status.twilio.com, and check TWILIO_API_BASE_URL"
    return TwilioError(f"Twilio refused {what} (status {status}); {fix}", status=status, code=code)
