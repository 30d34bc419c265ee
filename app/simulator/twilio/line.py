"""A telephone line: Twilio, as the bridge meets it, on real sockets and with raw JSON.

    async with PhoneLine("http://127.0.0.1:5050/incoming-call", auth_token="secret") as line:
        call = await line.call()
        await call.wait_connected()
        call.say(question)
        await call.wait_quiet(500)
        call.hang_up()
        await call.wait_ended()

It imports nothing of the bridge, so that a wrong wire cannot agree with itself.
"""

import asyncio
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from app.simulator.twilio import rest_orders
from app.simulator.twilio.call import Call, Caller
from app.simulator.twilio.callee import Callee
from app.simulator.twilio.conference import (
    Conference,
    Conferences,
)
from app.simulator.twilio.network import Network, Pacer
from app.simulator.twilio.outgoing import OutgoingCall
from app.simulator.twilio.record import CallEnded
from app.simulator.twilio.rest import Fault, RestRequest, RestServer
from app.simulator.twilio.trunk import CallOrder, Manners, Source, StatusReport, Trunk
from app.simulator.twilio.webhook import BridgeClient, Delivery

_PATIENCE_S = 5.0


class PhoneLine:
    """A number at Twilio whose calls go to one bridge, the REST API that makes calls and acts on
    them, and the people who are called.

    Args:
        webhook_url: where the bridge answers calls, `http://host:port/path`. Every connection goes
            to that host and port, whatever public URL it is made for.
        auth_token: signs every request. Empty: nothing is signed, and webhooks carry `api_token`
            as a bearer token, as the softphone's do.
        public_url: the address that the bridge believes to have: a base, to which the webhook's
            path is added, or the webhook's whole public URL.
        status_callback_url: gets the number's "Call status changes", relative to the webhook.
        api_key, api_secret: REST credentials beside `account_sid` and `auth_token`.
        pause_scale: real seconds per second of <Pause>. gather_scale: the same for the `timeout`
            of <Gather>, ring_scale for how long Twilio lets it ring and talk: `timeout` and
            `timeLimit` of <Dial>, `Timeout` and `TimeLimit` of a call by REST.
        say_ms: how long a <Say> or <Play> takes. hold_ms: the same while a conference is waited
            for, and how long until its document is requested again.
        webhook_timeout_s, handshake_timeout_s: how long Twilio waits for an answer to a request
            and to the upgrade of a media socket.
        network: delays the messages of media sockets, not the requests or the handshake.
        asks_after_hangup: whether a <Dial>'s action is requested when the caller hangs up amid it.
        asks_when_replaced: whether the action of a <Connect> or <Dial> is requested when a REST
            update takes its place. Either way nothing is made of the answer.
        connects_before_answering: the REST API answers that a call is made only once the callee has
            picked up and its document has run as far as the stream, if there is one.
        callbacks: how the reports of a call's progress arrive: "in order", "twice" (each of them),
            or "shuffled": late, out of order, some of them twice, the same way again for the same
            `seed`.
        call_sids: gives each new call its SID, by its direction: "inbound", "outbound-api" or
            "outbound-dial"; None: they are random.

    `rest_url` goes into `TWILIO_API_BASE_URL`. Leaving the context hangs up every call and closes
    every socket; what failed in a caller's or callee's script is raised then.

    `callees`: who is at which number or SIP URI, for calls made from now on; `callee`: who is at
    all others, at first somebody who answers and hangs up again at once. `calls`: every call to the
    number and every call made by REST, by SID. `children`: those that a <Dial> made.
    """

    def __init__(
        self,
        webhook_url: str,
        *,
        account_sid: str = "",
        auth_token: str = "",
        api_token: str = "",
        public_url: str = "",
        network: Network | None = None,
        status_callback_url: str = "",
        api_key: str = "",
        api_secret: str = "",
        pause_scale: float = 1.0,
        say_ms: float = 5.0,
        webhook_timeout_s: float = 15.0,
        handshake_timeout_s: float = 5.0,
        gather_scale: float = 1.0,
        ring_scale: float = 1.0,
        hold_ms: float = 1000.0,
        asks_after_hangup: bool = True,
        asks_when_replaced: bool = False,
        connects_before_answering: bool = False,
        callbacks: str = "in order",
        seed: int = 0,
        call_sids: Callable[[str], str] | None = None,
    ) -> None:
        self.account_sid = account_sid or "AC" + uuid.uuid4().hex
        self.calls: dict[str, Call] = {}
        self.children: dict[str, OutgoingCall] = {}
        self.callees: dict[str, Callee] = {}
        self.callee = Callee(answers_after_ms=20.0, talks_ms=20.0)
        self.connects_before_answering = connects_before_answering
        self._network = network or Network()
        self._webhook_url = webhook_url
        self._public_url = public_url
        self._auth_token = auth_token
        self._api_token = api_token
        self._status_callback_url = status_callback_url
        self._timeout_s = webhook_timeout_s
        self._call_sids = call_sids or _random_sid
        self._delivery = Delivery(callbacks, random.Random(f"{seed} callbacks"))
        self._manners = Manners(
            pause_scale=pause_scale,
            gather_scale=gather_scale,
            ring_scale=ring_scale,
            say_ms=say_ms,
            hold_ms=hold_ms,
            handshake_timeout_s=handshake_timeout_s,
            asks_after_hangup=asks_after_hangup,
            asks_when_replaced=asks_when_replaced,
        )
        self._trunk: Trunk | None = None
        self._placed: list[OutgoingCall] = []
        self._is_placed = asyncio.Event()
        self._rest = RestServer(
            self.account_sid,
            {self.account_sid: auth_token, api_key: api_secret},
            self._find,
            self._create,
        )

    async def __aenter__(self) -> Self:
        client = BridgeClient(
            self._webhook_url,
            public_url=self._public_url,
            auth_token=self._auth_token,
            api_token=self._api_token,
            timeout_s=self._timeout_s,
        )
        self._trunk = Trunk(
            self.account_sid,
            client,
            self._network,
            Pacer(),
            self._place,
            self._call_sids,
            Conferences(self.account_sid, client),
            self._delivery,
            self._manners,
        )
        await self._rest.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for calls in (self.calls, self.children):
            await asyncio.gather(*(call.close(_PATIENCE_S) for call in calls.values()))
        await self._rest.stop()
        for conference in self.conferences:
            await conference.finish()
        await self._open.client.close()
        failures = [call.failure() for call in (*self.calls.values(), *self.children.values())]
        for failure in failures:
            if failure is not None and fault is None:
                raise failure

    @property
    def rest_url(self) -> str:
        """The base URL of the REST API."""
        return self._rest.url

    @property
    def rest_requests(self) -> list[RestRequest]:
        """Every REST request that came."""
        return self._rest.requests

    @property
    def rest_faults(self) -> list[Fault]:
        """What the REST API shall do wrong next; append to it."""
        return self._rest.faults

    @property
    def conferences(self) -> list[Conference]:
        """Every conference that there was, in the order in which they began."""
        return self._open.conferences.all

    def ring(
        self,
        *,
        from_: str = "+15550100001",
        to: str = "+15550109999",
        caller: Caller | None = None,
    ) -> Call:
        """Calls the number and returns while it rings: the webhook is requested by and by."""
        trunk = self._open
        source = Source(trunk.client.webhook_url)
        url = self._status_callback_url
        report = StatusReport(trunk.client.public(url, trunk.client.webhook_url)) if url else None
        call = Call(trunk, source, from_=from_, to=to, caller=caller, report=report)
        self.calls[call.call_sid] = call
        return call

    async def call(
        self,
        *,
        from_: str = "+15550100001",
        to: str = "+15550109999",
        caller: Caller | None = None,
    ) -> Call:
        """Calls the number and returns once the webhook answered, well or badly; what it answered
        is executed beside."""
        call = self.ring(from_=from_, to=to, caller=caller)
        await call.wait_answer()
        return call

    async def outbound(self, number: int = 1) -> OutgoingCall:
        """Waits for a call that is made by REST. `number`: which one of the line, from 1."""
        while len(self._placed) < number:
            self._is_placed.clear()
            await self._is_placed.wait()
        return self._placed[number - 1]

    def _place(self, order: CallOrder) -> OutgoingCall:
        call = OutgoingCall(self._open, order, self.callees.get(order.to, self.callee))
        if order.parent is not None:
            self.children[call.call_sid] = call
        else:
            self.calls[call.call_sid] = call
            self._placed.append(call)
            self._is_placed.set()
        return call

    def _find(self, call_sid: str) -> Call | None:
        return self.calls.get(call_sid) or self.children.get(call_sid)

    async def _create(self, form: rest_orders.Form) -> Call:
        call = self._place(rest_orders.create(form, self._open.client.webhook_url))
        if self.connects_before_answering:
            with suppress(CallEnded):
                await call.wait_for(lambda: bool(call.streams) or _has_no_stream(call))
        return call

    @property
    def _open(self) -> Trunk:
        if self._trunk is None:
            raise RuntimeError("the line is not open; use it in `async with`")
        return self._trunk


def _random_sid(_direction: str) -> str:
    return "CA" + uuid.uuid4().hex


def _has_no_stream(call: Call) -> bool:
    return bool(call.twiml_history) and "<Stream" not in call.twiml_history[0]
