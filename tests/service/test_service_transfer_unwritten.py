"""A transfer waits for the database in one replica, and Twilio asks another one about it."""

import pytest

from app.simulator.realtime import RealtimeServer, Reply
from tests.redis_server import shared_redis
from tests.service.raw_twilio import CALL_SID, raw_stream, request
from tests.service.routed_replicas import Replicas, replicas
from tests.service.world import noise

HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=float("inf"))
HUMAN = {"CallSid": "CA" + "9" * 32, "ParentCallSid": CALL_SID}
WARM = {"CallSid": "CA" + "9" * 32, "Direction": "outbound-api", "Digits": "1"}
OVER = {"CallSid": CALL_SID, "CallStatus": "completed"}


@pytest.mark.parametrize("over", [False, True], ids=["call goes on", "call is over"])
async def test_a_human_can_accept_a_transfer_that_is_not_in_the_record_yet(
    postgres_url: str, over: bool
) -> None:
    async with replicas(RealtimeServer(lambda _: HELLO), postgres_url, shared_redis().url) as r:
        first = (await request(r[0])).stream_url
        async with raw_stream(r[0], first) as stream:
            await stream.start()
            await r.model.session()
            if not over:
                assert await accepted(r)
            await request(r[0], "/call-status", OVER)
        await r.settled()
        if over:
            await r[0].store.flush()
            assert not await accepted(r)


async def accepted(r: Replicas) -> bool:
    """Whether another replica asks the human that was rung, and lets them join the caller."""
    path = f"/transfers/{CALL_SID}/0"
    whispered = await request(r[1], f"{path}/whisper", HUMAN)
    pressed = await request(r[1], f"{path}/pressed", WARM)
    asked, joins = "<Gather" in whispered.body, "<Conference" in pressed.body
    assert asked == joins
    return joins
