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
import uuid
from types import TracebackType
from typing import Self

from app.simulator.twilio_call import Call, Caller
from app.simulator.twilio_network import Network, Pacer, now_ms
from app.simulator.twilio_playback import PlaybackClock
from app.simulator.twilio_record import CallEnded, Dialed, Said
from app.simulator.twilio_rest import Fault, RestRequest, RestServer
from app.simulator.twilio_verbs import DialOutcome, Source, Trunk
from app.simulator.twilio_webhook import BridgeClient, Exchange, signature

__all__ = [
    "Call",
    "CallEnded",
    "Caller",
    "DialOutcome",
    "Dialed",
    "Exchange",
    "Fault",
    "Network",
    "PhoneLine",
    "PlaybackClock",
    "RestRequest",
    "Said",
    "now_ms",
    "signature",
]

_PATIENCE_S = 5.0


class PhoneLine:
    """A number at Twilio whose calls go to one bridge, and the REST API that acts on them.

    Args:
        webhook_url: where the bridge answers calls, `http://host:port/path`. Every connection goes
            to that host and port, whatever public URL it is made for.
        auth_token: signs every request. Empty: nothing is signed, and webhooks carry `api_token`
            as a bearer token, as the softphone's do.
        public_url: the address that the bridge believes to have: a base, to which the webhook's
            path is added, or the webhook's whole public URL.
        status_callback_url: gets the number's "Call status changes", relative to the webhook.
        api_key, api_secret: REST credentials beside `account_sid` and `auth_token`.
        pause_scale: real seconds per second of <Pause>. say_ms: how long a <Say> or <Play> takes.
        webhook_timeout_s, handshake_timeout_s: how long Twilio waits for an answer to a request
            and to the upgrade of a media socket.
        network: delays the messages of media sockets, not the requests or the handshake.

    `rest_url` goes into `TWILIO_API_BASE_URL`. Leaving the context hangs up every call and closes
    every socket; what failed in a caller's script is raised then.
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
    ) -> None:
        self.account_sid = account_sid or "AC" + uuid.uuid4().hex
        self.calls: dict[str, Call] = {}
        self._network = network or Network()
        self._webhook_url = webhook_url
        self._public_url = public_url
        self._auth_token = auth_token
        self._api_token = api_token
        self._status_callback_url = status_callback_url
        self._pause_scale = pause_scale
        self._say_ms = say_ms
        self._timeout_s = webhook_timeout_s
        self._handshake_timeout_s = handshake_timeout_s
        self._trunk: Trunk | None = None
        self._rest = RestServer(
            self.account_sid,
            {self.account_sid: auth_token, api_key: api_secret},
            self.calls.get,
        )

    async def __aenter__(self) -> Self:
        client = BridgeClient(
            self._webhook_url,
            public_url=self._public_url,
            auth_token=self._auth_token,
            api_token=self._api_token,
            timeout_s=self._timeout_s,
        )
        callback_url = self._status_callback_url
        self._trunk = Trunk(
            self.account_sid,
            client,
            self._network,
            Pacer(),
            client.public(callback_url, client.webhook_url) if callback_url else "",
            self._pause_scale,
            self._say_ms,
            self._handshake_timeout_s,
        )
        await self._rest.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(call.close(_PATIENCE_S) for call in self.calls.values()))
        await self._rest.stop()
        await self._open.client.close()
        failures = [call.failure() for call in self.calls.values()]
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
    def dial_outcome(self) -> DialOutcome:
        """How a <Dial> goes from now on."""
        return self._open.dial_outcome

    @dial_outcome.setter
    def dial_outcome(self, outcome: DialOutcome) -> None:
        self._open.dial_outcome = outcome

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
        call = Call(trunk, source, from_=from_, to=to, caller=caller)
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

    @property
    def _open(self) -> Trunk:
        if self._trunk is None:
            raise RuntimeError("the line is not open; use it in `async with`")
        return self._trunk
