"""What is due at one moment is done by one `TimerFired`, and no deadline is lost."""

from random import Random

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Limits
from app.call.exits.transitions import ORDER_MS, UNANSWERED
from app.call.heard.agent_audio import MARK_GRACE_MS
from app.call.model.connection import CONFIGURE_MS
from app.call.response_deadlines import STALLED_MS
from app.call.speech.synthesis import MUTE_MS
from tests.call.exits.exit_states import VOICED, keys_wait
from tests.call.scene import Scene, agent
from tests.call.story import AGENTS, BACK, FIRST, GAPS_MS, SIZES, WHATS, Story
from tests.call.test_invariants import OPENING
from tests.call.transfer_scene import call_transfer, transfer_scene

POLLS_MS = (3, 17, 90, 400, 1500)
#: How far an external voice is ahead is looked at as often as wanted.
PACED = (do.PlayAudio, do.SendMark, do.Synthesize)


class PolledStory(Story):
    """A story whose timer also fires right after every event, and when nothing is due."""

    def __init__(self, kind: str, random: Random) -> None:
        super().__init__(kind)
        self._random = random
        self._polling = False
        self.polls = 0

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands = []
        for event in events:
            commands += super().feed(event)
            self._poll(event)
        return commands

    def run_until(self, at_ms: float) -> None:
        while not self.machine.over and self.now_ms < at_ms:
            super().run_until(min(at_ms, self.now_ms + self._random.choice(POLLS_MS)))
            self._poll(ev.TimerFired())
        super().run_until(at_ms)

    def _poll(self, after: ev.Event) -> None:
        if self._polling or self.machine.over:
            return
        self._polling = True
        due_ms, decided = self.machine.next_deadline_ms, len(self.decisions)
        late = [each for each in super().feed(ev.TimerFired()) if not isinstance(each, PACED)]
        assert not late, f"due before, after {after}"
        assert len(self.decisions) == decided, f"decided too late, after {after}"
        assert self.machine.next_deadline_ms >= due_ms - 1e-6, f"no timer was set, after {after}"
        self._polling = False
        self.polls += 1


@pytest.mark.parametrize("kind", sorted(AGENTS))
def test_a_timer_that_fires_when_nothing_is_due_changes_nothing(kind: str) -> None:
    random = Random(f"{kind} polled")
    pick, polls = random.choice, 0
    for _ in range(4):
        scene = PolledStory(kind, random)
        scene.feed(BACK if kind == "is back" else FIRST)
        for step in OPENING:
            scene.tell(step)
        for _ in range(60):
            gap_ms = min(pick(GAPS_MS), ORDER_MS)
            scene.tell((gap_ms, pick(WHATS), random.randrange(4), pick(SIZES)))
        polls += scene.polls
    assert polls > 500


# --- several things are due at one time ---------------------------------------------------------


def test_a_response_that_stalled_during_a_redirect_is_retried_when_the_redirect_expires() -> None:
    scene = transfer_scene()
    call_transfer(scene)
    while not scene.all(do.TransferCall):
        scene.run(50)
    ordered_ms = scene.now_ms
    while prompts.HOLD not in scene.asked():
        scene.run(100)
    scene.begin("item_2", "resp_2")
    scene.audio(500, "item_2", "resp_2")  # and nothing more of it
    scene.run_until(ordered_ms + ORDER_MS)
    assert scene.outputs() == [prompts.transfer_failed("Sales", UNANSWERED)]
    assert [each.decision for each in scene.decisions] == ["replace the session"]
    assert scene.when(do.OpenModel)[-1] == ordered_ms + ORDER_MS


def test_keys_behind_a_voice_are_pressed_at_the_moment_at_which_the_voice_fails() -> None:
    scene = transfer_scene(VOICED)
    keys_wait(scene)
    begun_ms = scene.now_ms
    scene.feed(
        ev.OutputItemDone("resp_v", "item_v", "message", "completed"),
        ev.ResponseDone("resp_v", "completed"),
    )
    scene.run(2 * MUTE_MS)
    (failed_ms,) = [at_ms for at_ms in scene.when(do.ConfigureSession) if at_ms > begun_ms]
    tones_ms = [
        at_ms
        for at_ms, each in scene.commands
        if isinstance(each, do.PlayAudio) and not each.item_id and at_ms >= failed_ms
    ]
    assert tones_ms[:1] == [failed_ms]


# --- deadlines that an event brings forward -----------------------------------------------------


def test_a_response_that_stalls_early_is_replaced_though_its_first_sound_had_longer() -> None:
    patient = Limits(idle_ms=0, longest_call_ms=0, first_sound_ms=30_000)
    scene = Scene(agent(limits=patient)).connect()
    scene.speak()
    scene.fall_silent()
    scene.begin()
    scene.audio(500)
    ends_ms = scene.machine._audio.ledger.ends_ms
    scene.line.echoes = False
    scene.run(10_000)
    assert scene.when(do.OpenModel)[-1] == ends_ms + STALLED_MS


@pytest.mark.parametrize("late", [(), (ev.VoiceReceived("utterance_old", "", 8000),)])
def test_a_late_sound_of_a_dropped_utterance_does_not_count_as_an_answer(
    late: tuple[ev.Event, ...],
) -> None:
    scene = transfer_scene(VOICED)
    scene.speak()
    scene.fall_silent()
    begun_ms = scene.now_ms
    scene.run(100)
    scene.feed(*late)
    scene.run(VOICED.limits.first_sound_ms - 100)
    assert [each.decision for each in scene.decisions] == ["ask again"]
    assert scene.when(do.CreateResponse) == [begun_ms + VOICED.limits.first_sound_ms]


def test_the_time_to_type_begins_though_the_last_mark_of_the_prompt_is_lost() -> None:
    scene = Scene(up_ms=0, down_ms=0).connect()
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", 4, False, "Your PIN.", 20_000.0))
    scene.line.echoes = False
    begun_ms = scene.now_ms
    scene.respond(3000)
    scene.run(40_000)
    assert scene.when(do.GiveDigits) == [begun_ms + 3000 + MARK_GRACE_MS + 20_000]


def test_a_session_that_opens_after_the_model_was_lost_for_good_is_not_replaced() -> None:
    scene = Scene()
    scene.feed(ev.LegOpened(), ev.ModelLost("no such model", fatal=True), ev.ModelOpened())
    scene.run(CONFIGURE_MS + 1)
    scene.feed(ev.TimerFired())
    assert scene.decisions == []


def test_a_wait_for_a_voice_begins_with_the_text_that_it_says() -> None:
    scene = transfer_scene(VOICED)
    scene.run(200)
    scene.feed(ev.TextReceived("item_v", "Just a moment, please. "))
    due_ms = scene.machine.next_deadline_ms
    scene.feed(ev.TimerFired())
    assert scene.machine.next_deadline_ms == due_ms
