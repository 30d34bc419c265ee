"""External voices through the whole service: what they say is what callers hear, come what may."""

from functools import partial
from typing import Any

import pytest

from app.audio import ulaw_encode
from app.simulator.realtime import Reply, Script, Session
from app.simulator.twilio import Call
from app.simulator.voices.mouth import Mouth, Plan, tones
from tests.service.voices import SECRETS, WAYS, speaking, speaking_with, stand_in
from tests.service.world import World, noise

BRISK: Mouth = partial(tones, ms_per_character=20)
GREETING = "Hello, this is the front desk. How can I help you?"
ANSWER = "We are open until **ten** tonight. Shall I book a table?"
SAID = "We are open until ten tonight. Shall I book a table?"


def sound_of(*texts: str) -> bytes:
    """What the telephone plays when these are said, one after the other, frame by frame."""
    sounds = [ulaw_encode(BRISK(text, 8000).pcm) for text in texts]
    return b"".join(sound + b"\xff" * (-len(sound) % 160) for sound in sounds)


async def ask(session: Session, question: str) -> None:
    session.start_speech()
    session.stop_speech(question)


async def heard_text(w: World, call: Call) -> list[str]:
    """What the record says that the agent said and was heard saying."""
    record = await w.record(call.call_sid)
    return [turn["text"] for turn in record["transcript"] if turn["role"] == "assistant"]


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_model_writes_is_heard_in_the_provider_s_voice(way: str) -> None:
    greeting, answer = "Hello, this is the front desk.", "How can I help you?"
    async with speaking_with(way, Script(GREETING, ANSWER), BRISK) as (w, provider):
        call = await w.connected()
        greeted = sound_of(greeting, answer)
        await call.wait_heard(len(greeted))
        session = w.model.sessions[0]
        await ask(session, "When do you close?")
        said = sound_of("We are open until ten tonight.", "Shall I book a table?")
        await call.wait_heard(len(greeted) + len(said))

        assert call.heard == greeted + said
        update = session.events_of("session.update")[0]["session"]
        assert update["output_modalities"] == ["text"]
        assert [each.text for each in provider.heard.said] == [
            greeting,
            answer,
            "We are open until ten tonight.",
            "Shall I book a table?",
        ]
        call.hang_up()
        await call.wait_ended()
        await w.settled()
        assert await heard_text(w, call) == [GREETING, SAID]


@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_who_hangs_up_leaves_nothing_behind(way: str) -> None:
    """That neither a task nor a socket is left, the stage checks itself."""
    slow = Plan(speed=1.2)
    async with speaking_with(way, Script(GREETING * 9), BRISK, lambda _: slow) as (w, provider):
        call = await w.connected()
        if way != "volcengine query":  # that one has nothing to be heard before all of it is made
            await call.wait_heard(1600)
        call.hang_up()
        await call.wait_ended()
        await w.settled()

        assert len(provider.heard.said) <= 3, "what will not be heard is not synthesized"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["refuse", "error", "drop"])
async def test_where_one_voice_fails_another_says_the_same(way: str, fault: Any) -> None:
    broken = stand_in(way, BRISK, lambda _: Plan(fault=fault))
    other = stand_in("http" if way != "http" else "qwen", BRISK)
    async with broken as first, other as second:
        servers = (way, first), ("http" if way != "http" else "qwen", second)
        async with speaking(Script(GREETING), *servers) as w:
            call = await w.connected()
            await call.wait_heard(
                len(sound_of("Hello, this is the front desk.", "How can I help you?"))
            )

            assert call.heard == sound_of("Hello, this is the front desk.", "How can I help you?")
            assert [each.text for each in second.heard.said][0] == "Hello, this is the front desk."
            failed = w.log.of("voice failed")
            assert failed and all(each["voice"].startswith(way.split()[0]) for each in failed)
            said = [str(record.__dict__) for record in w.log.records]
            assert not any(secret in line for secret in SECRETS.values() for line in said)
            assert not any("front desk" in line for line in said)


async def test_broken_in_mid_sentence_every_word_is_heard_once() -> None:
    greeting = "Hello and welcome, this is the front desk."
    story = "We are open from nine to ten and on Sundays until late."
    cut = len(BRISK("We are open from nine", 8000).pcm)

    def plan(text: str) -> Plan:
        if text != story:
            return Plan()
        return Plan(delay_ms=800, speed=1.1, fault="error", fault_after_bytes=cut)

    async with stand_in("http", BRISK, plan) as first, stand_in("qwen", BRISK) as second:
        script = Script(f"{greeting} {story}")
        async with speaking(script, ("http", first), ("qwen", second)) as w:
            call = await w.connected()
            whole = sound_of(greeting, story)
            await call.wait_heard(len(whole) - 1600)
            await call.wait_quiet(300)

            rest = second.heard.said[0].text
            assert story.endswith(f" {rest}") and len(rest) < len(story)
            assert await heard_text(w, call) == [f"{greeting} {story}"]
            assert abs(len(call.heard) - len(whole)) < 100 * 8, "no word too many, and none missing"


async def test_where_all_voices_fail_the_model_s_own_is_heard() -> None:
    own = noise(1000, "the model's own voice")
    async with stand_in("http", BRISK, lambda _: Plan(fault="refuse")) as server:
        script = Script(GREETING, Reply(GREETING, audio=own))
        async with speaking(script, ("http", server)) as w:
            call = await w.connected()
            await call.wait_heard(len(own))

            session = w.model.sessions[0]
            updates = [each["session"] for each in session.events_of("session.update")]
            assert [each["output_modalities"] for each in updates if "tools" in each] == [
                ["text"],
                ["audio"],
            ]
            assert call.heard == own
            assert script.turns[-1].kind == "direct"
            assert GREETING in script.turns[-1].instructions
            kept = [item.text for item in session.conversation if item.role == "assistant"]
            assert kept == [GREETING], "what no voice said is not in the model's memory twice"


async def test_a_provider_that_is_not_there_costs_the_caller_little() -> None:
    async with stand_in("http", BRISK) as second:
        async with stand_in("qwen", BRISK) as first:
            gone = type("Gone", (), {"url": first.url, "heard": first.heard})()
        async with speaking(Script(GREETING), ("qwen", gone), ("http", second)) as w:
            call = await w.connected()
            await call.wait_heard(160)

            assert second.heard.said
