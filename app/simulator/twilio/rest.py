"""Twilio's REST API for calls and the account, on a loopback port of its own."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from app.simulator.twilio.account import Account
from app.simulator.twilio.call import Call
from app.simulator.twilio.network import now_ms
from app.simulator.twilio.record import API_VERSION
from app.simulator.twilio.rest_orders import Form, Refusal, update

_FAULT_CODES = {429: 20429, 500: 20500, 503: 20503}


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next requests."""

    #: The HTTP status of the answer; the request has no effect. None: answer as usual.
    status: int | None = 503
    #: Seconds for the Retry-After header; None: no header.
    retry_after: float | None = None
    #: Wait before answering.
    delay_s: float = 0.0
    #: How many requests fail.
    times: int = 1
    #: Only requests whose path contains this.
    path: str = ""
    #: The request takes effect, but the connection breaks before the answer; `status` is ignored.
    lost: bool = False


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request that arrived, whatever the answer."""

    method: str
    path: str
    #: The last value of each name.
    form: Mapping[str, str]
    at_ms: float
    #: Every name and value, in order.
    fields: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """Every value of a name, in order."""
        return [value for each, value in self.fields if each == name]


class RestServer:
    """Answers `POST /2010-04-01/Accounts/{sid}/Calls.json`, `GET` and `POST` for
    `…/Calls/{CallSid}.json`, and what `Account` has.

    Args:
        account_sid: the account of the paths.
        credentials: passwords by user name.
        find: the call of a SID, or None.
        create: makes the call that a form describes, and returns when Twilio would answer.
        account: the account's other resources; None: one with no number.
    """

    def __init__(
        self,
        account_sid: str,
        credentials: Mapping[str, str],
        find: Callable[[str], Call | None],
        create: Callable[[Form], Awaitable[Call]],
        account: Account | None = None,
    ) -> None:
        self.url = ""
        self.account = account or Account()
        #: Every request, in order.
        self.requests: list[RestRequest] = []
        #: What fails next, in order; a fault is removed after its last request.
        self.faults: list[Fault] = []
        self._account_sid = account_sid
        self._calls_path = f"/{API_VERSION}/Accounts/{account_sid}/Calls"
        self._credentials = credentials
        self._find = find
        self._create = create
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; `url` has the address. `port`: 0: a free one."""
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and close open connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        form = Form(parse_qsl(await request.text(), keep_blank_values=True))
        self.requests.append(
            RestRequest(request.method, request.path, form.last, now_ms(), form.fields)
        )
        fault = self._ordered_fault(request.path)
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
            if fault.status is not None and not fault.lost:
                return _failed(fault.status, fault.retry_after)
        try:
            self._check_credentials(request.headers.get("Authorization", ""))
            response = await self._obey(request, form)
        except Refusal as refusal:
            response = _error(refusal.status, refusal.code, str(refusal))
        if fault is not None and fault.lost and request.transport is not None:
            request.transport.abort()
        return response

    async def _obey(self, request: web.BaseRequest, form: Form) -> web.Response:
        creates = request.path == f"{self._calls_path}.json"
        if creates and request.method == "POST":
            return web.json_response((await self._create(form)).resource(), status=201)
        if request.method not in ("GET", "POST"):
            raise Refusal(405, 20004, "Method not allowed")
        if not request.path.startswith(f"{self._calls_path}/"):
            query = dict(request.query)
            return web.json_response(
                self.account.answer(self._account_sid, request.method, request.path, query, form)
            )
        call = self._called(request.path)
        if request.method == "POST":
            update(call, form)
        return web.json_response(call.resource())

    def _ordered_fault(self, path: str) -> Fault | None:
        self.faults[:] = [fault for fault in self.faults if fault.times > 0]
        for fault in self.faults:
            if fault.path in path:
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                return fault
        return None

    def _check_credentials(self, authorization: str) -> None:
        scheme, _, encoded = authorization.partition(" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user = password = ""
        expected = self._credentials.get(user, "")
        proven = expected and hmac.compare_digest(expected.encode(), password.encode())
        if scheme.lower() != "basic" or not proven:
            raise Refusal(401, 20003, "Authenticate")

    def _called(self, path: str) -> Call:
        call = None
        if path.startswith(f"{self._calls_path}/") and path.endswith(".json"):
            call = self._find(path[len(self._calls_path) + 1 : -len(".json")])
        if call is None:
            raise Refusal(404, 20404, f"The requested resource {path} was not found")
        return call


def _failed(status: int, retry_after: float | None) -> web.Response:
    response = _error(status, _FAULT_CODES.get(status, 20500), "Ordered by the test")
    if retry_after is not None:
        response.headers["Retry-After"] = f"{retry_after:g}"
    return response


def _error(status: int, code: int, message: str) -> web.Response:
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return web.json_response(body, status=status)
