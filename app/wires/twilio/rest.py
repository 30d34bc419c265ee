"""Orders to Twilio over REST: end a call, send it elsewhere, place a new one.

Twilio: Call resource. The `twilio` package makes the requests and reads the answers; deadlines,
retries and the base URL are ours (`rest_http`).
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.rest import Client

from app.errors import BridgeError, TwilioError
from app.wires.twilio.rest_http import HttpClient

LONGEST_INLINE_TWIML = 4000  # characters (Twilio: error 32018)
_LONGEST_RING_S = 600


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call that Twilio is to place. Numbers are E.164; `from_number` is the account's own.

    When it is answered Twilio asks `url` for TwiML, or runs `twiml`: exactly one of them is given.
    `status_callback` is told of `status_events`. `ring_s`: 1 to 600; Twilio may ring 5 s longer.
    `detect_machine_callback`: told who answered, while the call goes on, a machine only after its
    greeting; empty: not found out. `time_limit_s`: Twilio ends the call then.

    Raises:
        BridgeError: it is no order that Twilio could carry out.
    """

    to: str
    from_number: str
    url: str = ""
    twiml: str = ""
    status_callback: str = ""
    status_events: tuple[str, ...] = ("initiated", "ringing", "answered", "completed")
    ring_s: int = 30
    detect_machine_callback: str = ""
    time_limit_s: int | None = None

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.twiml):  # Twilio would ignore `twiml` beside `url`
            raise BridgeError("a call is placed with either a URL or TwiML; give one of them")
        if not 1 <= self.ring_s <= _LONGEST_RING_S:
            raise BridgeError(f"a call rings 1 to {_LONGEST_RING_S} seconds, not {self.ring_s}")
        _check_length(self.twiml)


class TwilioRest:
    """What the bridge orders at Twilio.

    `username`, `password`: the account SID and its auth token, or an API key and its secret.
    `base_url`: stands in for https://api.twilio.com. `deadline_s`: for each try. `total_s`: for an
    order as a whole. `backoff_s`: about the wait before the second try, doubled for the third.
    `longest_wait_s`: the most that Twilio's Retry-After can make us wait.

    Every order raises TwilioError when Twilio refuses or cannot be reached, retries included.
    Connections open with the first order; `aclose` them at the end.
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

    async def hang_up(self, call_sid: str) -> None:
        """Ends a call, ringing or answered.

        `TwilioError.call_is_over` says that Twilio knows no such call to end. That is as good as
        done, unless the call's media stream still lives: the stream is right then.
        """
        await _carried_out(
            "to end a call", self._live.calls(call_sid).update_async(status="completed")
        )

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Replaces what an answered call runs, its media stream included, by `twiml`.

        `TwilioError.call_is_over` says that there is no such call to act on any more.

        Raises:
            BridgeError: `twiml` is longer than Twilio takes; nothing was sent.
        """
        _check_length(twiml)
        await _carried_out(
            "to redirect a call", self._live.calls(call_sid).update_async(twiml=twiml)
        )

    async def place(self, order: CallOrder) -> str:
        """Places a call, and returns its SID as soon as Twilio has queued it.

        It is never ordered a second time unless the first was surely not done.
        `TwilioError.unsure` says that the telephone may ring all the same.
        """
        placed = await _carried_out(
            "to place a call", self._new.calls.create_async(**_parameters(order))
        )
        if not isinstance(placed.sid, str) or not placed.sid:
            raise _not_twilios("to place a call")
        return placed.sid

    async def aclose(self) -> None:
        """Closes the connections. The next order would open new ones."""
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
        given["async_amd"] = "true"  # a string by the SDK's own declaration
        given["async_amd_status_callback"] = order.detect_machine_callback
    if order.time_limit_s is not None:
        given["time_limit"] = order.time_limit_s
    return given


async def _carried_out(what: str, order: Awaitable[Any]) -> Any:
    """The SDK's answer, or its troubles as ours."""
    try:
        return await order
    except (TwilioRestException, TwilioServiceException) as error:
        # The SDK repeats the status as a code when Twilio gave none.
        known = isinstance(error.code, int) and error.code != error.status
        raise _refused(what, error.status, error.code if known else None) from None
    except (ValueError, AttributeError):  # no JSON, or JSON that is no object
        raise _not_twilios(what) from None


def _check_length(twiml: str) -> None:
    if len(twiml) > LONGEST_INLINE_TWIML:
        raise BridgeError(
            f"TwiML of {len(twiml)} characters, and Twilio takes {LONGEST_INLINE_TWIML} in a "
            "request; shorten what it says"
        )


def _not_twilios(what: str) -> TwilioError:
    return TwilioError(
        f"the answer to an order {what} is not JSON of Twilio's; check TWILIO_API_BASE_URL",
        unsure=True,
    )


def _refused(what: str, status: int, code: int | None) -> TwilioError:
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
