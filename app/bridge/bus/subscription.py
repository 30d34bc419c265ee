"""Messages to this replica: a subscription that is made again whenever it is lost."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from app.bridge.bus.link import DEADLINE_S, Link, end

logger = logging.getLogger(__name__)

#: A connection on which nothing comes for this long is asked for a sign of life.
QUIET_S = 2.0
#: From one attempt to subscribe to the next.
AGAIN_S = 0.25


class Subscription:
    """Channels of Redis. `start` and `close` it. Messages that come while it is lost are lost.

    Args:
        on_message: called with each message, a JSON object.
    """

    def __init__(
        self, link: Link, channels: Sequence[str], on_message: Callable[[dict[str, Any]], None]
    ) -> None:
        self._link = link
        self._channels = channels
        self._on_message = on_message
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Subscribe, and go on until `close`."""
        self._task = asyncio.create_task(self._run(), name="subscription")

    async def close(self) -> None:
        """End the subscription."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            began_s = monotonic()
            pubsub: Any = self._link.client.pubsub()
            try:
                await self._listen(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                if self._link.available:
                    reason = str(error) or "no answer"
                    logger.info("subscription lost", extra={"reason": reason})
            except Exception as error:
                logger.error("subscription failed", exc_info=error)
            finally:
                with suppress(RedisError, OSError):
                    await pubsub.aclose()
            await asyncio.sleep(max(0.0, began_s + AGAIN_S - monotonic()))

    async def _listen(self, pubsub: Any) -> None:
        """Returns when the connection gives no sign of life."""
        async with asyncio.timeout(DEADLINE_S):
            await pubsub.subscribe(*self._channels)
        asked = False
        while True:
            found = await pubsub.get_message(timeout=DEADLINE_S if asked else QUIET_S)
            if found is not None:
                asked = False
                if found["type"] == "message":
                    self._take(found["data"])
            elif asked:
                return
            else:
                asked = True
                async with asyncio.timeout(DEADLINE_S):
                    await pubsub.ping()

    def _take(self, data: str) -> None:
        try:
            message = json.loads(data)
        except ValueError:
            logger.warning("message of Redis ignored", extra={"reason": "no JSON"})
            return
        try:
            self._on_message(message)
        except Exception as error:
            logger.error("message of Redis failed", exc_info=error)
