"""Twilio's REST API: hang up a call, redirect a call, place a call.

Twilio: Call resource. The `twilio` package builds the requests and parses the responses;
`rest_http` adds deadlines, retries and the base URL.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.rest import Client

from app.errors import BridgeError, TwilioError
from app.wires.twilio.rest_http import HttpClient

#: Characters of TwiML that Twilio accepts in a request (Twilio: error 32018).
LONGEST_INLINE_TWIML = 4000
_LONGEST_RING_S = 600


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call for Twilio to place (Twilio: Call resource, create).

    Raises:
        BridgeError: a field is invalid.
    """

    #: E.164.
    to: str
    #: E.164, a number of the account.
    from_number: str
    #: Where Twilio requests TwiML when the call is answered. Give either `url` or `twiml`.
    url: str = ""
    #: The TwiML to run when the call is answered.
    twiml: str = ""
    #: URL that receives `status_events`; empty for none.
    status_callback: str = ""
    status_events: tuple[str, ...] = ("initiated", "ringing", "answered", "completed")
    #: Seconds, 1 to 600. Twilio may ring up to 5 s longer.
    ring_s: int = 30
    #: URL that receives the result of answering machine detection; empty disables detection. The
    #: call goes on meanwhile. A machine is reported at the end of its greeting.
    detect_machine_callback: str = ""
    #: Seconds after which Twilio ends the call. None for Twilio's own limit.
    time_limit_s: int | None = None

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.twiml):  # Twilio ignores `twiml` if `url` is given
            raise BridgeError("a call needs either a URL or TwiML; give one of them")
        if not 1 <= self.ring_s <= _LONGEST_RING_S:
            raise BridgeError(f"a call rings 1 to {_LONGEST_RING_S} seconds, not {self.ring_s}")
        _check_length(self.twiml)


class TwilioRest:
    """The client of Twilio's REST API for one account.

    Every method but `aclose` raises TwilioError if Twilio rejects the request or cannot be
    reached; retries are over by then. Connections open with the first request; call `aclose` at
    the end.

    Args:
        account_sid: The account whose calls are meant.
        username: The account SID, or an API key.
        password: The auth token, or the API key's secret.
        base_url: Replaces https://api.twilio.com.
        deadline_s: For each attempt, seconds.
        total_s: For all attempts of a request and the waits between them, seconds.
        backoff_s: Wait before the second attempt, seconds, randomized by half; doubled before the
            third.
        longest_wait_s: The longest Retry-After that is respected, seconds.
    """

    def __init__(
        self,
        account_sid: str,
        username: str,
        password: str,
        base_url: str = "https://api.twilio.com",
        *,
        deadline_s: float = 5.0,
        total_s: float = 20.0,
        backoff_s: float = 0.25,
        longest_wait_s: float = 10.0,
    ) -> None:
        self.account_sid = account_sid
        self._repeatable, self._once = (
            HttpClient(
                base_url,
                deadline_s=deadline_s,
                total_s=total_s,
                backoff_s=backoff_s,
                longest_wait_s=longest_wait_s,
                repeatable=repeatable,
            )
            for repeatable in (True, False)
        )
        self._live = Client(username, password, account_sid, http_client=self._repeatable)
        self._new = Client(username, password, account_sid, http_client=self._once)
        # The package imports the rest of itself at the first use: 70 ms, amid the audio of calls.
        _ = self._live.calls, self._new.calls

    async def hang_up(self, call_sid: str) -> None:
        """Hangs up a call, ringing or answered.

        If TwilioError has `call_is_over`, Twilio has no such call in progress: treat the call as
        ended, unless its media stream is still open.
        """
        await checked("to end a call", self._live.calls(call_sid).update_async(status="completed"))

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Replaces the TwiML that an answered call runs. This ends the call's media stream.

        If TwilioError has `call_is_over`, Twilio has no such call in progress.

        Raises:
            BridgeError: `twiml` is longer than `LONGEST_INLINE_TWIML`; nothing was sent.
        """
        _check_length(twiml)
        await checked("to redirect a call", self._live.calls(call_sid).update_async(twiml=twiml))

    async def place(self, order: CallOrder) -> str:
        """Places a call. Returns its SID as soon as Twilio has queued it.

        The request is retried only if Twilio certainly did not execute it, so that no telephone
        rings twice. If TwilioError has `unsure`, the call may have been placed.
        """
        placed = await checked(
            "to place a call", self._new.calls.create_async(**_parameters(order))
        )
        if not isinstance(placed.sid, str) or not placed.sid:
            raise _not_json("to place a call")
        return placed.sid

    async def aclose(self) -> None:
        """Closes all connections. A later request opens new ones."""
        await self._repeatable.aclose()
        await self._once.aclose()


def _parameters(order: CallOrder) -> dict[str, Any]:
    given: dict[str, Any] = {
        "to": order.to,
        "from_": order.from_number,
        "timeout": order.ring_s,
        **({"url": order.url} if order.url else {"twiml": order.twiml}),
    }
    if order.status_callback:
        given["status_callback"] = order.status_callback
        given["status_callback_event"] = list(order.status_events)
    if order.detect_machine_callback:
        given["machine_detection"] = "DetectMessageEnd"
        given["async_amd"] = "true"  # the SDK declares it as a string
        given["async_amd_status_callback"] = order.detect_machine_callback
    if order.time_limit_s is not None:
        given["time_limit"] = order.time_limit_s
    return given


async def checked(what: str, request: Awaitable[Any]) -> Any:
    """Awaits a request of the SDK; its exceptions become TwilioError."""
    try:
        return await request
    except (TwilioRestException, TwilioServiceException) as error:
        # The SDK uses the HTTP status as the code if Twilio sent none.
        has_code = isinstance(error.code, int) and error.code != error.status
        raise refused(what, error.status, error.code if has_code else None) from None
    except (ValueError, AttributeError):  # not JSON, or JSON but not an object
        raise _not_json(what) from None


def _check_length(twiml: str) -> None:
    if len(twiml) > LONGEST_INLINE_TWIML:
        raise BridgeError(
            f"the TwiML has {len(twiml)} characters, and Twilio accepts {LONGEST_INLINE_TWIML}; "
            "shorten its texts"
        )


def _not_json(what: str) -> TwilioError:
    return TwilioError(
        f"the response to a request {what} is not JSON from Twilio; check TWILIO_API_BASE_URL",
        unsure=True,
    )


def refused(what: str, status: int, code: int | None) -> TwilioError:
    """The error of a refused request. `code`: Twilio's error code, if it sent one."""
    if status in (401, 403):
        fix = "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or the API key"
    elif code:
        fix = f"see https://www.twilio.com/docs/api/errors/{code}"
    else:
        fix = "see https://status.twilio.com, and check TWILIO_API_BASE_URL"
    return TwilioError(
        f"Twilio refused {what} (status {status}); {fix}",
        status=status,
        code=code,
        unsure=status >= 500 and status != 503,
    )
