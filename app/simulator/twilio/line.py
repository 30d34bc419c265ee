"""A phone line: Twilio's webhooks, media streams and REST API, on real sockets.

    async with PhoneLine("http://127.0.0.1:5050/incoming-call", auth_token="secret") as line:
        call = await line.call()
        await call.wait_connected()
        call.say(question)
        await call.wait_quiet(500)
        call.hang_up()
        await call.wait_ended()

It imports nothing from the bridge, so that a mistake in the bridge's codecs cannot hide here.
"""

import asyncio
import random
import ssl
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from app.simulator.twilio import rest_orders
from app.simulator.twilio.account import Account
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
from app.simulator.twilio.trunk import CallOrder, LineOptions, Source, StatusReport, Trunk
from app.simulator.twilio.webhook import BridgeClient, Delivery

_PATIENCE_S = 5.0


class PhoneLine:
    """A Twilio number whose calls go to one bridge, the REST API, and the callees.

    Set `TWILIO_API_BASE_URL` to `rest_url`. Leaving the context hangs up every call, closes every
    socket, and raises what failed in a caller's or callee's script.

    Args:
        webhook_url: where the bridge answers calls, `http://host:port/path`. Every connection goes
            to this host and port, whatever public URL it names.
        auth_token: signs every request. Empty: nothing is signed, and webhooks carry `api_token`
            as a bearer token, as the softphone's do.
        public_url: the bridge's public address: a base, to which the webhook's path is added, or
            the webhook's whole public URL.
        status_callback_url: gets the number's "Call status changes"; relative to the webhook.
        api_key, api_secret: REST credentials beside `account_sid` and `auth_token`.
        pause_scale: real seconds per second of <Pause>.
        gather_scale: real seconds per second of a <Gather>'s `timeout`.
        ring_scale: real seconds per second of `timeout` and `timeLimit` of <Dial>, `Timeout` and
            `TimeLimit` of a call by REST.
        say_ms: how long a <Say> or <Play> takes.
        hold_ms: how long a <Say> or <Play> of a conference's `waitUrl` takes, and how long until
            that document is requested again.
        webhook_timeout_s: how long Twilio waits for the answer to a request.
        handshake_timeout_s: how long Twilio waits for a media socket's handshake.
        network: delays the messages of media sockets, not requests and handshakes.
        asks_after_hangup: request the action of a <Dial> when the caller hangs up during it; the
            answer is ignored.
        asks_when_replaced: request the action of a <Connect> or <Dial> when a REST update replaces
            it; the answer is ignored.
        connects_before_answering: the REST API answers the creation of a call only when the callee
            has answered and the document has run as far as its stream, if it has one.
        callbacks: how status callbacks arrive: "in order", "twice", or "shuffled": late, out of
            order, some of them twice; `seed` repeats the same order.
        tls: trusted certificates, if `webhook_url` is https: of a proxy before the bridge.
        call_sids: makes the SID of a new call from its direction: "inbound", "outbound-api" or
            "outbound-dial"; None: random SIDs.
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
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.account_sid = account_sid or "AC" + uuid.uuid4().hex
        #: Calls to the number and calls made by REST, by SID.
        self.calls: dict[str, Call] = {}
        #: Calls that a <Dial> made, by SID.
        self.children: dict[str, OutgoingCall] = {}
        #: The callees of calls to come, by number or SIP URI.
        self.callees: dict[str, Callee] = {}
        #: The callee at every other number: answers, and hangs up soon.
        self.callee = Callee(answers_after_ms=20.0, talks_ms=20.0)
        self.connects_before_answering = connects_before_answering
        self._network = network or Network()
        self._webhook_url = webhook_url
        self._public_url = public_url
        self._auth_token = auth_token
        self._api_token = api_token
        self._status_callback_url = status_callback_url
        self._timeout_s = webhook_timeout_s
        self._tls = tls
        self._call_sids = call_sids or _random_sid
        self._delivery = Delivery(callbacks, random.Random(f"{seed} callbacks"))
        self._options = LineOptions(
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
            tls=self._tls,
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
            self._options,
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
    def account(self) -> Account:
        """What the REST API says of the account; change it."""
        return self._rest.account

    @property
    def rest_requests(self) -> list[RestRequest]:
        """Every REST request, in order."""
        return self._rest.requests

    @property
    def rest_faults(self) -> list[Fault]:
        """The next faults of the REST API; append to it."""
        return self._rest.faults

    @property
    def conferences(self) -> list[Conference]:
        """Every conference, ended ones included, in order of their first participant."""
        return self._open.conferences.all

    def ring(
        self,
        *,
        from_: str = "+15550100001",
        to: str = "+15550109999",
        caller: Caller | None = None,
    ) -> Call:
        """Call the number and return at once: the webhook is requested in the background."""
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
        """Call the number and return once the webhook answered, with success or not; its document
        runs in the background."""
        call = self.ring(from_=from_, to=to, caller=caller)
        await call.wait_answer()
        return call

    async def outbound(self, number: int = 1) -> OutgoingCall:
        """Wait for a call made by REST. `number`: 1 is the first one of the line."""
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
