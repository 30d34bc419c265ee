"""Twilio's REST API fails during a transfer, and the caller is not lost."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from app.simulator.twilio import Callee, Fault
from tests.service.transfer_world import (
    ANNOUNCEMENT,
    ANSWER,
    BACK_WITHIN_MS,
    DESK,
    HELLO,
    Agent,
    Caller,
    all_hang_up,
    callers,
    desk,
    outcomes,
    outputs,
    request_of,
    size,
    told,
    transfer_reply,
    transfer_world,
)
from tests.service.world import decisions

ONE = desk(name="desk", number=DESK)
ALL_HEARD = (HELLO.audio or b"") + (ANNOUNCEMENT.audio or b"")
BUSY = Callee(goes="busy", answers_after_ms=20)
TAKES = Callee(answers_after_ms=20, presses="1", talks_ms=20)


async def say_and_hear(caller: Caller) -> None:
    """The agent still listens and answers."""
    heard = len(caller.call.heard)
    caller.says("Then tell me something else.")
    await caller.call.wait_heard(heard + size(ANSWER))


DOWN = [
    [Fault(503, times=3)],
    [Fault(500, times=3)],
    [Fault(429, retry_after=0, times=3)],
    [Fault(404)],
    [Fault(401)],
    [Fault(429, retry_after=1), Fault(503, times=2)],
]


async def test_a_caller_who_cannot_be_put_through_stays_with_the_agent() -> None:
    """Two callers for each way that Twilio refuses."""
    agent = Agent()
    ways = DOWN * 2
    async with transfer_world(agent, ONE) as w:
        everybody = await callers(w, agent, len(ways))
        for caller, faults in zip(everybody, ways, strict=True):
            path = caller.call.call_sid
            w.line.rest_faults.extend(replace(each, path=path) for each in faults)

        async def hear_of_it(caller: Caller) -> None:
            await caller.greeted()
            caller.says(caller.request)
            await caller.call.wait_for(lambda: caller.call.heard.endswith(ANSWER.audio or b"?"))
            assert caller.call.heard == ALL_HEARD + (ANSWER.audio or b"")
            await say_and_hear(caller)

        await asyncio.gather(*map(hear_of_it, everybody))
        for caller, faults in zip(everybody, ways, strict=True):
            (output,) = outputs(caller.session)
            assert output.startswith("Not transferred: the call could not be put through to desk")
            assert f"status {faults[-1].status}" in output
            assert len(caller.call.streams) == 1 and not caller.call.dialed
            assert len(caller.orders) == sum(each.times for each in faults)
        assert len(w.model.sessions) == len(ways)  # each in the same session all the time
        for record in await all_hang_up(everybody):
            assert outcomes(record) == ["failed"]
            assert (record["status"], record["ended_by"]) == ("completed", "caller")
            ((made, reason),) = decisions(record)
            assert made == "call not redirected" and "Twilio refused to redirect" in reason
        assert len(w.log.of("call decision")) == len(ways)


PASSING = [
    [Fault(503, times=2)],
    [Fault(429, retry_after=1)],
    [Fault(None, delay_s=0.6)],
]


async def test_trouble_that_passes_does_not_keep_a_caller_from_the_human() -> None:
    agent = Agent()
    async with transfer_world(agent, ONE) as w:
        w.line.callee = TAKES
        everybody = await callers(w, agent, len(PASSING))
        for caller, faults in zip(everybody, PASSING, strict=True):
            path = caller.call.call_sid
            w.line.rest_faults.extend(replace(each, path=path) for each in faults)
        await asyncio.gather(*(caller.transferred() for caller in everybody))
        for caller in everybody:
            await caller.call.wait_ended()
        for caller in everybody:
            assert outcomes(await caller.ended()) == ["completed"]
            assert len(caller.call.dialed) == 1


@dataclass(frozen=True)
class Lost:
    """How often the answer to the order is lost, and what becomes of the human's call."""

    times: int
    callee: Callee


LOST = [
    Lost(1, Callee(answers_after_ms=600, presses="1", talks_ms=20)),
    Lost(1, TAKES),
    Lost(3, Callee(answers_after_ms=1500, presses="1", talks_ms=20)),
    Lost(1, Callee(goes="busy", answers_after_ms=600)),
    Lost(1, BUSY),
    Lost(1, Callee(presses="2")),
    Lost(3, Callee(goes="busy", answers_after_ms=1500)),
    Lost(3, BUSY),
]


@pytest.mark.parametrize("replaced", [False, True], ids=["", "asks when replaced"])
async def test_a_redirect_whose_response_is_lost_loses_no_caller(replaced: bool) -> None:
    """Twilio took the order, and takes it again when it is repeated; one caller for each way."""
    numbers = [f"+141555503{n:02}" for n in range(len(LOST))]
    file = desk(*(f'name = "d{n}"\nnumber = "{each}"' for n, each in enumerate(numbers)))
    agent = Agent({request_of(n): transfer_reply(destination=f"d{n}") for n in range(len(LOST))})
    line = {"asks_when_replaced": replaced, "ring_scale": 0.1}
    async with transfer_world(agent, file, line=line) as w:
        w.line.callees = {n: each.callee for n, each in zip(numbers, LOST, strict=True)}
        everybody = await callers(w, agent, len(LOST))
        for caller, each in zip(everybody, LOST, strict=True):
            w.line.rest_faults.append(Fault(lost=True, times=each.times, path=caller.call.call_sid))

        async def there_and_back(caller: Caller, each: Lost) -> None:
            await caller.transferred()
            if each.callee.presses == "1":
                await caller.call.wait_ended()
                return
            await caller.resumed()
            assert caller.resume_ms() <= BACK_WITHIN_MS
            await caller.call.wait_quiet(500)  # an order repeated now would take them away again
            await say_and_hear(caller)
            assert len(caller.call.streams) == 2

        await asyncio.gather(*map(there_and_back, everybody, LOST))
        records = await all_hang_up(everybody)
        for caller, record, each in zip(everybody, records, LOST, strict=True):
            if each.callee.presses == "1":
                assert outcomes(record) == ["completed"]
                continue
            outcome = "not-accepted" if each.callee.presses else "busy"
            assert outcomes(record) == [outcome]
            assert f": {outcome} (" in str(told(caller.present_session))
