"""Twilio's REST API, as far as it acts on calls in progress, on a loopback port of its own."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from app.simulator.twilio_call import Call
from app.simulator.twilio_network import now_ms
from app.simulator.twilio_record import API_VERSION, UNANSWERED
from app.simulator.twilio_verbs import Source

LONGEST_INLINE_TWIML = 4000

_FAULT_CODES = {429: 20429, 500: 20500, 503: 20503}


@dataclass(slots=True)
class Fault:
    """An order to fail the next `times` requests, before they are looked at.

    `status`: the HTTP status to answer, or None to answer properly after the delay. `retry_after`:
    seconds for that header, if any.
    """

    status: int | None = 503
    retry_after: float | None = None
    delay_s: float = 0.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request that came, whatever became of it. `form`: the last value of each name."""

    method: str
    path: str
    form: Mapping[str, str]
    at_ms: float


class _Refusal(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class RestServer:
    """Answers `GET` and `POST /2010-04-01/Accounts/{sid}/Calls/{CallSid}.json`.

    `credentials`: the user names and passwords it takes. `requests`: all that came. `faults`: what
    to fail next, in order; used up ones are taken out.
    """

    def __init__(
        self, account_sid: str, credentials: Mapping[str, str], find: Callable[[str], Call | None]
    ) -> None:
        self.url = ""
        self.requests: list[RestRequest] = []
        self.faults: list[Fault] = []
        self._account_sid = account_sid
        self._credentials = credentials
        self._find = find
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listens on 127.0.0.1; `url` says where."""
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stops listening and closes what is open."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(parse_qsl(await request.text(), keep_blank_values=True))
        self.requests.append(RestRequest(request.method, request.path, form, now_ms()))
        try:
            await self._fail_if_ordered()
            self._check_credentials(request.headers.get("Authorization", ""))
            call = self._called(request.path)
            if request.method == "POST":
                self._update(call, form)
            elif request.method != "GET":
                raise _Refusal(405, 20004, "Method not allowed")
            return web.json_response(call.resource())
        except _Refusal as refusal:
            return _error(refusal.status, refusal.code, str(refusal))
        except _Failure as failure:
            return failure.response

    async def _fail_if_ordered(self) -> None:
        while self.faults and self.faults[0].times <= 0:
            self.faults.pop(0)
        if not self.faults:
            return
        fault = self.faults[0]
        fault.times -= 1
        if not fault.times:
            self.faults.pop(0)
        await asyncio.sleep(fault.delay_s)
        if fault.status is None:
            return
        code = _FAULT_CODES.get(fault.status, 20500)
        response = _error(fault.status, code, "Ordered by the test")
        if fault.retry_after is not None:
            response.headers["Retry-After"] = f"{fault.retry_after:g}"
        raise _Failure(response)

    def _check_credentials(self, authorization: str) -> None:
        scheme, _, encoded = authorization.partition(" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user = password = ""
        expected = self._credentials.get(user, "")
        proven = expected and hmac.compare_digest(expected.encode(), password.encode())
        if scheme.lower() != "basic" or not proven:
            raise _Refusal(401, 20003, "Authenticate")

    def _called(self, path: str) -> Call:
        prefix = f"/{API_VERSION}/Accounts/{self._account_sid}/Calls/"
        call = None
        if path.startswith(prefix) and path.endswith(".json"):
            call = self._find(path[len(prefix) : -len(".json")])
        if call is None:
            raise _Refusal(404, 20404, f"The requested resource {path} was not found")
        return call

    def _update(self, call: Call, form: Mapping[str, str]) -> None:
        status, inline, url = form.get("Status"), form.get("Twiml"), form.get("Url")
        if not call.is_live:
            raise _Refusal(404, 20404, f"The call {call.call_sid} has ended")
        if status not in (None, "completed", "canceled"):
            raise _Refusal(400, 20001, f"Status {status!r} is neither completed nor canceled")
        if inline and url:
            raise _Refusal(400, 20001, "Twiml and Url exclude each other")
        if inline and len(inline) > LONGEST_INLINE_TWIML:
            raise _Refusal(400, 32018, f"Twiml exceeds {LONGEST_INLINE_TWIML} characters")
        if status == "canceled" and call.status not in UNANSWERED:
            raise _Refusal(400, 21220, "Call is in progress. Cannot cancel.")
        if (inline or url) and not status and call.status in UNANSWERED:
            raise _Refusal(400, 21220, "Call is not in-progress. Cannot redirect.")
        if status:
            call.complete(status)
        elif inline:
            call.replace(Source(call.document_url, inline=inline))
        elif url:
            call.replace(Source(url, form.get("Method", "POST").upper()))


class _Failure(Exception):
    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


def _error(status: int, code: int, message: str) -> web.Response:
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return web.json_response(body, status=status)
