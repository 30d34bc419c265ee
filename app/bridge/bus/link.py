"""The connection to Redis: each request has a deadline, and whether Redis answers is known."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Connection, Redis, Sentinel, SSLConnection
from redis.asyncio import UnixDomainSocketConnection as UnixConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)

from app.bridge.bus.bus import LEASE_S, BusUnavailable
from app.config.redis_url import RedisAddress
from app.errors import ConfigError

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Every key and every channel begins with it.
PREFIX = "phone-agent:"
#: A request that takes longer has failed.
DEADLINE_S = 0.5
#: After Redis was away, its owners have this time to register anew.
SETTLE_S = 2 * LEASE_S
# At the start: a wrong password is worth a longer wait.
FIRST_S = 2.0
# A burst of new calls waits its turn, rather than open a connection for each.
MOST_CONNECTIONS = 8
_AWAY = (RedisError, OSError, TimeoutError)
_REFUSALS = (AuthenticationError, AuthorizationError)
# A number that the server does not have, and a server that takes no other machines.
_REFUSAL_TEXTS = ("DB index", "invalid DB", "DENIED")
_ACL = f"~{PREFIX}* &{PREFIX}* +@all -@admin -@dangerous"


class Link:
    """A Redis server, which may be away. Call `close`.

    The requests of `probe` decide whether it is: while it is away, all others fail at once.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, address: RedisAddress, clock: Callable[[], float] = monotonic) -> None:
        #: Whether Redis answers.
        self.available = False
        #: Called when a request has failed: probe again.
        self.on_away: Callable[[], None] = lambda: None
        #: Called when Redis answers again: it may have lost everything.
        self.on_back: Callable[[], None] = lambda: None
        self._clock = clock
        self._address = address
        self._sentinel: Sentinel | None = None
        self.client = self._client()
        self._away_from_s: float | None = None
        self._steady_from_s = clock()
        self._settled_at_s = 0.0

    # --- is it there? ---

    @property
    def steady_s(self) -> float:
        """For how many seconds Redis has answered without interruption; 0: it does not."""
        return self._clock() - self._steady_from_s if self.available else 0.0

    @property
    def settled(self) -> bool:
        """Whether owners had the time to register anew since Redis was away."""
        return self.available and self._clock() >= self._settled_at_s

    async def check(self) -> None:
        """Ask Redis for the first time. If it is away, it may come later.

        Raises:
            ConfigError: Redis refuses the credentials, the database number or what the service
                does, or TLS fails.
        """
        try:
            async with asyncio.timeout(FIRST_S):
                await run_pipeline(self.client, _use_everything)
        except _AWAY as error:
            said = str(error).rstrip(".")
            if isinstance(error, NoPermissionError):
                fix = f"allow its user at least {_ACL}"
                raise ConfigError(f"REDIS_URL: Redis refuses to work: {said}; {fix}") from None
            if isinstance(error, _REFUSALS) or said.startswith(_REFUSAL_TEXTS):
                fix = "correct the user, the password or the number of the database"
                raise ConfigError(f"REDIS_URL: Redis refuses to work: {said}; {fix}") from None
            if isinstance(error.__cause__ or error.__context__, ssl.SSLError):
                fix = "use redis:// without TLS, or name its certificate with ?ssl_ca_certs=file"
                raise ConfigError(f"REDIS_URL: TLS fails: {said}; {fix}") from None

    # --- requests ---

    async def request(self, send: Callable[[Any], Awaitable[T]]) -> T:
        """The answer to a request.

        Raises:
            BusUnavailable: Redis is away, or has not answered within `DEADLINE_S`. The request may
                have taken effect if `available` was true before.
        """
        if not self.available:
            raise BusUnavailable("Redis is away; try again later")
        return await self._request(send)

    async def probe(self, send: Callable[[Any], Awaitable[T]]) -> T:
        """The same, also while Redis is away: an answer ends that.

        Raises:
            BusUnavailable: it is away.
        """
        answer = await self._request(send)
        if not self.available:
            self._back()
        return answer

    async def _request(self, send: Callable[[Any], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await send(self.client)
        except _AWAY as error:
            if isinstance(error, ReadOnlyError):  # a former primary: look its address up again
                await self._drop_connections()
            reason = str(error) or f"no answer within {DEADLINE_S:g} s"
            self._away(reason)
            raise BusUnavailable(f"Redis is away: {reason}; try again later") from error

    def _away(self, reason: str) -> None:
        if self._away_from_s is None:
            self._away_from_s = self._clock()
            self.available = False
            fix = f"see that Redis runs and can be reached at {self._address.shown} (REDIS_URL)"
            logger.warning("Redis is away", extra={"reason": reason, "fix": fix})
            self.on_away()

    def _back(self) -> None:
        now_s = self._clock()
        self.available, self._steady_from_s = True, now_s
        if self._away_from_s is not None:
            self._settled_at_s = now_s + SETTLE_S
            seconds = round(now_s - self._away_from_s, 1)
            self._away_from_s = None
            logger.warning("Redis is back", extra={"seconds": seconds})
            self.on_back()

    def has_lost_data(self) -> None:
        """Redis answers, and was emptied: as if it had been away."""
        self._steady_from_s = self._clock()
        self._settled_at_s = self._steady_from_s + SETTLE_S
        logger.warning("Redis has lost its data")
        self.on_back()

    # --- connections ---

    def _client(self) -> Redis:
        address = self._address
        options: dict[str, Any] = {
            **address.options,
            "decode_responses": True,
            "protocol": 2,
            "socket_timeout": DEADLINE_S,
            "socket_connect_timeout": DEADLINE_S,
            # Once: for a connection that broke while it was idle.
            "retry": Retry(NoBackoff(), 1),
            # Otherwise each connection reads the client's version from the disk.
            "driver_info": None,
        }
        if address.service:
            timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), DEADLINE_S)
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
                address.hosts, sentinel_kwargs={**timeouts, **address.sentinel_options}, **options
            )
            primary: Redis = self._sentinel.master_for(address.service, ssl=address.tls)
            return primary
        if address.path:
            kind: type[AbstractConnection] = UnixConnection
            options["path"] = address.path
        else:
            kind = SSLConnection if address.tls else Connection
            ((options["host"], options["port"]),) = address.hosts
        pool = BlockingConnectionPool(MOST_CONNECTIONS, DEADLINE_S, kind, **options)
        return Redis(connection_pool=pool)

    async def _drop_connections(self) -> None:
        with suppress(*_AWAY):
            async with asyncio.timeout(DEADLINE_S):
                await self.client.connection_pool.disconnect()

    async def close(self) -> None:
        """Close all connections."""
        self.available = False
        await self._drop_connections()
        for each in self._sentinel.sentinels if self._sentinel is not None else ():
            with suppress(*_AWAY):
                await each.aclose()


async def run_pipeline(client: Any, fill: Callable[[Any], None]) -> list[Any]:
    """Send what `fill` puts into a pipeline in one go. Returns the answers, or raises the first
    error among them, without the text of its command."""
    pipeline = client.pipeline(transaction=False)
    fill(pipeline)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    for each in answers:
        if isinstance(each, Exception):
            raise each
    return answers


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task that uses Redis, as often as it takes: redis-py sends with `asyncio.wait_for`,
    which before Python 3.12 loses a cancellation if the connection breaks at the same moment."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


def _use_everything(pipeline: Any) -> None:
    """What a user of Redis has to be allowed."""
    key = f"{PREFIX}check"
    pipeline.set(key, "1", px=1000)
    pipeline.eval("return redis.call('TIME')", 0)
    pipeline.zrange(f"{key}s", 0, -1)
    pipeline.publish(key, "")
    pipeline.delete(key)
