"""The rows of the redirect's table: Twilio accepts it, refuses it, or does not answer."""

import pytest

from app.call import events as ev
from app.call import prompts
from app.call.exits.transitions import (
    CLOSE_MS,
    ORDER_MS,
    STOP_MS,
    UNANSWERED,
    ExitState,
    RedirectState,
)
from tests.call.exits.exit_states import (
    ACCEPTED,
    FAILED,
    HEARD_MS,
    OPERATOR,
    REACHED,
    Moment,
    answer_to,
    assert_state,
    closing,
    feeds,
    hanging_up,
    interrupted_call,
    passes,
    transferring,
    with_agent,
)
from tests.call.scene import Scene
from tests.call.transfer_scene import HUMANS


def test_a_stream_that_is_not_closed_ends_the_leg() -> None:
    scene = interrupted_call()
    closing(scene)
    scene.run(CLOSE_MS - 1)
    assert not scene.machine.over
    scene.run(1)
    assert scene.machine.ended_by == "operator"
    assert_state(scene, ExitState.CLOSING)


def expired(scene: Scene) -> None:
    """Twilio does not answer the redirect of a transfer."""
    transferring(scene)
    scene.answers_ms = 500  # the hold messages
    scene.run(ORDER_MS)
    scene.answers_ms = None
    scene.run(1000)


def ordered_again(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"), OPERATOR)
    scene.run(HEARD_MS)


REDIRECTS = [
    (with_agent, transferring, RedirectState.ORDERED),
    (transferring, feeds(ACCEPTED), RedirectState.ACCEPTED),
    (transferring, feeds(FAILED), RedirectState.NONE),
    (transferring, passes(ORDER_MS), RedirectState.EXPIRED),
    (transferring, feeds(ACCEPTED, ACCEPTED), RedirectState.ACCEPTED),
    (transferring, feeds(ACCEPTED, FAILED), RedirectState.ACCEPTED),
    (expired, feeds(ACCEPTED), RedirectState.ACCEPTED),
    (expired, feeds(FAILED), RedirectState.NONE),
    (expired, ordered_again, RedirectState.ORDERED),
]


@pytest.mark.parametrize(("moment", "happens", "state"), REDIRECTS)
def test_what_twilio_answers_moves_the_redirect(
    moment: Moment, happens: Moment, state: RedirectState
) -> None:
    scene = interrupted_call(HUMANS)
    moment(scene)
    happens(scene)
    assert_state(scene, state)


def test_a_stream_that_a_redirect_does_not_stop_ends_the_leg() -> None:
    scene = interrupted_call(HUMANS)
    transferring(scene)
    scene.feed(ACCEPTED)
    scene.run(STOP_MS)
    assert scene.machine.over and scene.machine.ended_by == "transfer"
    assert_state(scene, RedirectState.ACCEPTED)


@pytest.mark.parametrize(
    ("then", "state"),
    [
        (feeds(REACHED), ExitState.FINAL_GOODBYE),
        (hanging_up, ExitState.HANGING_UP),
        (closing, ExitState.CLOSING),
    ],
)
def test_a_redirect_that_fails_after_the_call_was_ended_is_still_the_tools_answer(
    then: Moment, state: ExitState
) -> None:
    scene = interrupted_call(HUMANS)
    transferring(scene)
    then(scene)
    scene.feed(FAILED)
    assert answer_to(scene, "call_1") == [prompts.transfer_failed("Sales", "status 503")]
    assert_state(scene, state)


def test_a_redirect_that_expires_is_the_tools_answer() -> None:
    scene = interrupted_call(HUMANS)
    expired(scene)
    assert answer_to(scene, "call_1") == [prompts.transfer_failed("Sales", UNANSWERED)]
    assert_state(scene, ExitState.WITH_AGENT)
