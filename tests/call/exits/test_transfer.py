"""A transfer: the announcement is heard to its last mark, then the call is redirected."""

from collections import Counter
from random import Random

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits.last_words import GUARD_MS, LONGEST_MS, UNSAID_MS
from app.call.exits.transfer import TRANSFER
from app.call.heard.agent_audio import MARK_GRACE_MS
from app.call.prompts import TakenBack
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, MONDAY_NOON_S, NIGHT, call_transfer, transfer_scene

TO_SALES = do.TransferCall("call_1", ("Sales", "Support"), "a price", "Wants 40 chairs.", True)
ANNOUNCEMENT = prompts.announcement("Sales")


@pytest.fixture
def scene() -> Scene:
    return transfer_scene()


# --- the announcement ---------------------------------------------------------------------------


def test_an_announcement_is_heard_to_its_last_mark_before_the_transfer(scene: Scene) -> None:
    begun_ms = scene.now_ms
    call_transfer(scene)
    assert scene.all(do.RunTool) == [] and scene.asked() == []
    scene.run(2100 + GUARD_MS - 1)
    assert scene.all(do.TransferCall) == []
    scene.run(1)
    assert scene.all(do.TransferCall) == [TO_SALES]
    assert scene.when(do.TransferCall) == [begun_ms + 2100 + GUARD_MS]
    assert scene.outputs() == []  # nothing is known yet


def test_every_byte_of_a_hundred_announcements_is_heard_before_the_transfer() -> None:
    random = Random(20_26)
    for number in range(100):
        up_ms, down_ms = random.uniform(0, 400), random.uniform(0, 400)
        jitter_ms = random.uniform(0, min(up_ms, down_ms))
        scene = Scene(HUMANS, up_ms=up_ms, down_ms=down_ms, jitter_ms=jitter_ms, random=random)
        scene.feed(ev.LegOpened(at_s=MONDAY_NOON_S))
        scene.connect()
        said_before_ms, announcement_ms = random.randrange(3000), random.randrange(20, 6000)
        scene.answer(said_before_ms, "item_0", "resp_0")
        scene.run(random.uniform(0, 4000))
        scene.feed(ev.ResponseCreated("resp_1"))
        call_first = random.random() < 0.3
        if call_first:
            scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
        while announcement_ms > 0:  # the model is faster than speech, or now and then slower
            piece_ms = min(announcement_ms, random.randrange(20, 400))
            scene.audio(piece_ms)
            announcement_ms -= piece_ms
            scene.run(random.uniform(0, 1.5 * piece_ms))
        if not call_first:
            scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
        scene.run(random.uniform(0, 300))
        scene.finish()
        scene.run(12_000)
        (at_ms,) = scene.when(do.TransferCall)
        played = Counter[str]()
        for sent_ms, command in scene.commands:
            if isinstance(command, do.PlayAudio) and sent_ms <= at_ms:
                played[command.item_id] += command.size_bytes
        heard = {item_id: scene.line.heard_bytes(item_id, at_ms) for item_id in played}
        assert heard == played and "item_1" in heard, f"line {number}"


def test_a_last_mark_that_never_comes_is_waited_for_two_seconds_longer(scene: Scene) -> None:
    scene.line.echoes = False
    begun_ms = scene.now_ms
    call_transfer(scene)
    scene.run(10_000)
    assert scene.when(do.TransferCall) == [begun_ms + 2000 + 100 + MARK_GRACE_MS + GUARD_MS]


def test_an_announcement_held_back_by_a_blocked_stream_is_not_cut(scene: Scene) -> None:
    scene.feed(ev.StreamBlocked())
    call_transfer(scene)
    scene.run(8000)
    assert not scene.all(do.TransferCall)
    scene.feed(ev.StreamUnblocked())
    scene.run(2100 + GUARD_MS)
    (at_ms,) = scene.when(do.TransferCall)
    assert scene.line.heard_bytes("item_1", at_ms) == 16_000


def test_an_agent_that_says_nothing_is_asked_for_an_announcement(scene: Scene) -> None:
    call_transfer(scene, announcement_ms=0)
    assert scene.asked() == [ANNOUNCEMENT] and scene.outputs() == []
    scene.respond(1000)
    scene.run(1100 + GUARD_MS - 1)
    assert not scene.all(do.TransferCall)
    scene.run(1)
    assert scene.all(do.TransferCall) == [TO_SALES]


def test_an_announcement_that_fails_is_asked_for_again(scene: Scene) -> None:
    call_transfer(scene, announcement_ms=0)
    scene.feed(ev.ResponseCreated("resp_2"), ev.ResponseDone("resp_2", "failed"))
    scene.run(400)
    assert scene.asked() == [ANNOUNCEMENT] * 2 and not scene.all(do.TransferCall)
    scene.respond(500)
    scene.run(2000)
    assert scene.all(do.TransferCall) == [TO_SALES]


def test_an_announcement_in_a_response_that_failed_was_still_an_announcement(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
    scene.finish(status="failed")
    scene.run(1100 + GUARD_MS)
    assert [order.announced for order in scene.all(do.TransferCall)] == [True]
    assert scene.asked() == []


def test_an_announcement_that_never_comes_does_not_keep_the_caller_from_a_human(
    scene: Scene,
) -> None:
    begun_ms = scene.now_ms
    call_transfer(scene, announcement_ms=0)
    scene.run(20_000)
    (at_ms,) = scene.when(do.TransferCall)
    assert at_ms - begun_ms < UNSAID_MS
    assert not scene.all(do.TransferCall)[0].announced
    assert max(scene.line.silences_ms(begun_ms, at_ms)) <= 8000


def test_an_announcement_that_never_ends_is_cut_off_after_a_minute(scene: Scene) -> None:
    begun_ms = scene.now_ms
    call_transfer(scene, announcement_ms=0)
    scene.begin("item_2", "resp_2")
    for _ in range(70):
        scene.audio(1500, "item_2", "resp_2")
        scene.run(1000)
    assert scene.when(do.TransferCall) == [begun_ms + LONGEST_MS]


def test_a_response_that_turn_detection_began_meanwhile_is_heard_to_its_end_too(
    scene: Scene,
) -> None:
    """The caller may ask something while an agent that is not interruptible announces."""
    scene = transfer_scene(agent(interruptible=False, destinations=HUMANS.destinations))
    call_transfer(scene)
    scene.run(500)
    scene.speak()
    scene.fall_silent()
    scene.answer(3000, "item_2", "resp_2")
    scene.run(10_000)
    (at_ms,) = scene.when(do.TransferCall)
    assert scene.line.heard_bytes("item_2", at_ms) == 24_000


def test_an_agent_that_is_not_interruptible_transfers_while_the_caller_speaks() -> None:
    scene = transfer_scene(agent(interruptible=False, destinations=HUMANS.destinations))
    call_transfer(scene)
    scene.run(700)
    scene.speak()
    scene.run(1400 + GUARD_MS)
    assert scene.all(do.TransferCall) == [TO_SALES] and scene.outputs() == []


def test_keys_do_not_interrupt_the_announcement(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(500)
    scene.press("0#1")
    scene.run(1600 + GUARD_MS)
    assert scene.all(do.TransferCall) == [TO_SALES]
    assert not scene.all(do.ClearAudio) and scene.messages() == []


def test_a_goodbye_tone_of_other_keys_does_not_lose_the_announcement(scene: Scene) -> None:
    """While the agent's own tones sound, no barge-in suspends the transfer. Turn detection may
    still cancel its announcement, which is then requested again."""
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", "send_digits", arguments='{"digits": "123456789"}')
    scene.call_tool("call_2", TRANSFER, arguments='{"destination": "Sales"}')
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    assert scene.asked() == [ANNOUNCEMENT]
    scene.begin("item_2", "resp_2")
    scene.speak()
    scene.feed(ev.ResponseDone("resp_2", "cancelled", "turn_detected"))
    scene.fall_silent()
    scene.answer(300, "item_3", "resp_3")
    assert scene.asked() == [ANNOUNCEMENT] * 2
    scene.respond(700)
    scene.run(5000)
    assert [order.announced for order in scene.all(do.TransferCall)] == [True]


# --- other exits --------------------------------------------------------------------------------


def test_two_transfers_at_once_are_one(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
    scene.call_tool("call_2", TRANSFER, arguments='{"destination": "Support"}')
    scene.finish()
    assert scene.outputs() == [prompts.TRANSFER_ALREADY]
    scene.run(2000)
    assert [order.route[0] for order in scene.all(do.TransferCall)] == ["Sales"]
    scene.run(20_000)
    assert len(scene.all(do.TransferCall)) == 1


def test_a_goodbye_during_a_transfer_waits_for_it(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
    scene.call_tool("call_2", "end_call")
    scene.finish()
    assert scene.outputs() == [prompts.TRANSFER_ALREADY]
    scene.run(2000)
    assert len(scene.all(do.TransferCall)) == 1 and not scene.all(do.HangUp)


def test_a_transfer_during_a_goodbye_is_none(scene: Scene) -> None:
    scene.begin()
    scene.audio(1000)
    scene.call_tool("call_1", "end_call")
    scene.call_tool("call_2", TRANSFER, arguments='{"destination": "Sales"}')
    scene.finish()
    scene.run(2000)
    assert scene.outputs() == [prompts.END_ALREADY, prompts.END_DONE]
    assert len(scene.all(do.HangUp)) == 1 and not scene.all(do.TransferCall)


def test_an_operator_who_hangs_up_during_the_announcement_is_faster(scene: Scene) -> None:
    call_transfer(scene)
    scene.run(500)
    ordered = scene.feed(ev.HangUpRequested("operator"))
    assert [type(command) for command in ordered] == [do.AddToolOutput, do.HangUp]
    assert scene.outputs() == [prompts.END_ALREADY]
    scene.run(5000)
    assert not scene.all(do.TransferCall) and scene.asked() == []
    scene.feed(ev.StreamEnded("stop"))
    assert scene.machine.ended_by == "operator"


def test_the_answer_of_another_tool_gets_no_response_during_the_announcement(scene: Scene) -> None:
    scene.tool_response("call_0", response_id="resp_0")
    call_transfer(scene)
    scene.feed(ev.ToolReturned("call_0", "42"))
    scene.run(2100 + GUARD_MS)
    assert scene.outputs() == ["42"] and scene.asked() == []
    assert scene.all(do.TransferCall) == [TO_SALES]


# --- an operator's transfer ---------------------------------------------------------------------


def test_an_operators_transfer_is_announced_by_the_agent(scene: Scene) -> None:
    scene.feed(ev.TransferRequested("Support"))
    assert scene.asked() == [prompts.announcement("Support")]
    scene.respond(1000)
    scene.run(1100 + GUARD_MS)
    (order,) = scene.all(do.TransferCall)
    assert (order.route, order.announced) == (("Support",), True)
    assert order.call_id.startswith("bridge_transfer_")


def test_an_operators_transfer_waits_for_the_answer_under_way(scene: Scene) -> None:
    scene.answer(3000)
    scene.run(500)
    scene.feed(ev.TransferRequested("Support"))
    scene.respond(1000)
    scene.run(10_000)
    (at_ms,) = scene.when(do.TransferCall)
    assert scene.line.heard_bytes("item_1", at_ms) == 24_000


def test_an_operators_transfer_without_a_model_is_not_announced(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"))
    scene.feed(ev.TransferRequested("Support"))
    scene.run(GUARD_MS)
    (order,) = scene.all(do.TransferCall)
    assert not order.announced and scene.asked() == []


def test_an_operator_may_transfer_to_a_closed_destination() -> None:
    scene = transfer_scene(agent(destinations=(NIGHT,)))
    scene.feed(ev.TransferRequested("Night watch"))
    scene.respond(500)
    scene.run(1000)
    assert [order.route for order in scene.all(do.TransferCall)] == [("Night watch",)]


@pytest.mark.parametrize("name", ["Unknown", "", "+493090182002"])
def test_an_operators_transfer_to_an_unknown_destination_is_ignored(
    scene: Scene, name: str
) -> None:
    assert scene.feed(ev.TransferRequested(name)) == []
    scene.run(30_000)
    assert not scene.all(do.TransferCall) and scene.asked() == []


def test_an_operators_second_transfer_changes_nothing(scene: Scene) -> None:
    scene.feed(ev.TransferRequested("Support"), ev.TransferRequested("Sales"))
    scene.respond(500)
    scene.run(1000)
    assert [order.route for order in scene.all(do.TransferCall)] == [("Support",)]


def test_an_operators_transfer_comes_before_the_agents_goodbye(scene: Scene) -> None:
    scene.begin()
    scene.audio(2000)
    scene.call_tool("call_1", "end_call")
    scene.finish()
    scene.run(500)
    scene.feed(ev.TransferRequested("Support"))
    assert scene.outputs() == [prompts.end_taken_back(TakenBack.OPERATOR)]
    assert scene.asked() == [prompts.announcement("Support")]
    scene.respond(500)
    scene.run(5000)
    assert len(scene.all(do.TransferCall)) == 1 and not scene.all(do.HangUp)


def test_an_operator_cannot_transfer_a_call_that_is_hung_up(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("operator"))
    assert scene.feed(ev.TransferRequested("Support")) == []
    scene.run(10_000)
    assert not scene.all(do.TransferCall)


def test_a_caller_who_speaks_over_an_operators_announcement_is_answered(scene: Scene) -> None:
    scene.feed(ev.TransferRequested("Support"))
    scene.begin()
    scene.audio(1500)
    scene.run(400)
    scene.speak()
    told = prompts.tool_result(TRANSFER, prompts.transfer_suspended(by_operator=True))
    assert scene.messages() == [("system", told)]
    scene.finish(status="cancelled")
    scene.fall_silent()
    scene.answer(500, "item_2", "resp_2")
    scene.run(60_000)
    assert not scene.all(do.TransferCall)
    assert len(scene.asked()) == 1  # the announcement; turn detection requested the answer
