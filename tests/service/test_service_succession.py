"""Sessions that expire are replaced ahead, and neither the caller nor the agent notices."""

import pytest

from app.simulator.realtime import (
    Fault,
    Options,
    RealtimeServer,
    Reply,
    Session,
    Turn,
    refusing,
)
from app.simulator.realtime.wire import Wire
from app.simulator.twilio import Call
from tests.service.world import AGENT, World, names, noise, world

INF = float("inf")
SWAPS = 20
HELLO = noise(100, "hello")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet frames are known sooner: a call of twenty swaps is short."""
    monkeypatch.setattr("app.bridge.leg.caller_audio._QUIET_BYTES", 100 * 8)


def answer(turn: Turn) -> Reply:
    if turn.kind == "direct":
        return Reply("Hello.", audio=HELLO, speed=INF)
    return Reply(f"Answer to {turn.transcript}", audio=noise(100, turn.transcript), speed=INF)


class Callers:
    """Transcribes what the caller says: by number, in order."""

    def __init__(self) -> None:
        self.turns = 0

    def transcribe(self, _ulaw: bytes) -> str:
        self.turns += 1
        return f"question {self.turns}"


def seed_of(session: Session) -> list[tuple[str, str]]:
    """What a session was told about the conversation so far."""
    items = [event["item"] for event in session.events_of("conversation.item.create")]
    return [(item["role"], item["content"][0]["text"]) for item in items]


def holders(w: World, spoken: bytes) -> int:
    """How many sessions got all of this, in one piece."""
    return sum(spoken in session.heard for session in w.model.sessions)


async def swapped(w: World, number: int) -> None:
    """Wait until the session of this number is the call's, and the one before it is closed."""
    await w.model.session(number)
    await w.model.sessions[number - 1].closed.wait()


def expects(call: Call, parts: list[bytes]) -> None:
    assert call.heard == b"".join(parts)
    assert len(call.streams) == 1 and not call.errors


@pytest.mark.parametrize("same_ids", [False, True])
async def test_twenty_sessions_follow_each_other_and_not_a_byte_is_lost(
    monkeypatch: pytest.MonkeyPatch, same_ids: bool
) -> None:
    if same_ids:  # each session numbers its items from 1
        monkeypatch.setattr(Wire, "new_id", lambda wire, kind: f"{kind}_{next(wire._counter)}")
    monkeypatch.setattr("app.call.model.successor.ANY_SHARE", -INF)
    monkeypatch.setattr("app.call.model.successor.SPEAKING_SHARE", -INF)
    server = RealtimeServer(answer, transcribe=Callers().transcribe)
    async with world(server, options=Options(says_life_s=0.2)) as w:
        call = await w.connected()
        await call.wait_heard(len(HELLO))
        said, heard = [], [HELLO]
        for number in range(1, SWAPS + 1):
            said.append(noise(120, f"said {number}"))
            heard.append(noise(100, f"question {number}"))
            call.say(said[-1])
            await call.wait_heard(sum(map(len, heard)))
            await swapped(w, number)
        expects(call, heard)
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        assert [holders(w, each) for each in said] == [1] * SWAPS
        record = await w.record(call.call_sid)
        whole = [(turn["role"], turn["text"]) for turn in record["transcript"]]
        assert len(whole) == 1 + 2 * SWAPS
        for session in w.model.sessions[1:]:
            if seed := seed_of(session):
                assert [role for role, _ in seed[-1:]] == ["system"]
                assert seed[:-1] == whole[: len(seed) - 1]
        assert names(record, "command").count("SwapModel") >= SWAPS
        assert "ModelLost" not in names(record) and record["ended_by"] == "caller"
        assert not any(session.errors_sent for session in w.model.sessions)


async def test_a_caller_who_speaks_when_the_session_ends_is_heard_whole_by_the_next_one() -> None:
    server = RealtimeServer(answer, transcribe=Callers().transcribe)
    async with world(server, options=Options(life_s=60, says_life_s=1.2)) as w:
        server.faults.extend([Fault(), Fault(update_delay_ms=300)])
        call = await w.connected()
        await call.wait_heard(len(HELLO))
        spoken = noise(900, "long")
        await w.model.session(1)
        call.say(spoken)  # it begins before the end of the session, and ends after it
        await swapped(w, 1)
        server.options = Options()
        await call.wait_heard(len(HELLO) + 800)
        expects(call, [HELLO, noise(100, "question 1")])
        assert holders(w, spoken) == 1 and spoken in w.model.sessions[1].heard
        assert seed_of(w.model.sessions[1])[0] == ("assistant", "Hello.")


async def test_what_plays_at_the_end_of_a_session_plays_on_and_can_be_interrupted() -> None:
    def talk(turn: Turn) -> Reply:
        if turn.kind == "direct":
            return Reply("One two three four five six.", audio=noise(1500, "long"), speed=INF)
        return answer(turn)

    server = RealtimeServer(talk, transcribe=Callers().transcribe)
    agent = f"{AGENT}resume_false_interruptions = false\n"
    async with world(server, agent=agent, options=Options(life_s=60, says_life_s=0.6)) as w:
        call = await w.connected()
        await swapped(w, 1)
        server.options = Options()
        second = w.model.sessions[1]
        assert seed_of(second)[0] == ("assistant", "One two three four five six.")
        call.say(noise(200, "wait"))
        await second.received("conversation.item.delete")
        await call.wait_quiet()
        heard = call.heard
        assert 0 < len(heard) < 1500 * 8 and noise(1500, "long").startswith(heard)
        texts = [text for role, text in seed_of(second) if role == "assistant"]
        assert texts[1] and texts[0].startswith(texts[1]) and texts[0] != texts[1]
        await call.wait_heard(len(heard) + 800)
        assert not second.errors_sent


async def test_a_successor_that_cannot_be_opened_is_tried_again() -> None:
    server = RealtimeServer(answer, transcribe=Callers().transcribe)
    async with world(server, options=Options(says_life_s=1.0)) as w:
        server.faults.extend([Fault(), Fault(refuse_status=503), Fault(refuse_status=503)])
        call = await w.connected()
        await call.wait_quiet()
        await swapped(w, 1)
        spoken = noise(120, "spoken")
        call.say(spoken)
        await call.wait_heard(2 * len(HELLO))
        expects(call, [HELLO, noise(100, "question 1")])
        assert holders(w, spoken) == 1
        assert len(w.log.of("no successor of the model session")) == 2
        assert not w.log.of("no model session")


async def test_what_a_successor_refuses_is_not_sent_again_on_this_or_other_calls() -> None:
    server = RealtimeServer(answer, transcribe=Callers().transcribe)
    agent = f"{AGENT}[model]\ntruncation = 0.8\n"
    async with world(server, agent=agent, options=Options(says_life_s=1.0)) as w:
        refuses = Fault(on={"session.update": refusing("truncation")})
        server.faults.extend([Fault(), refuses, refuses])
        call = await w.connected()
        await call.wait_quiet()
        await w.model.session(2)
        server.options = Options()
        await w.model.sessions[0].closed.wait()
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        record = await w.record(call.call_sid)
        again = await w.connected()
        await again.wait_heard(len(HELLO))
        again.hang_up()
        await again.wait_ended()

        decided = [e["data"]["decision"] for e in record["events"] if e["name"] == "ReportDecision"]
        assert decided == ["go on without truncation"]
        sent = [
            "truncation" in session.events_of("session.update")[0]["session"]
            for session in w.model.sessions
        ]
        assert sent == [True, True, False, False]
        assert names(record, "command").count("SwapModel") == 1
        assert "ModelLost" not in names(record)
