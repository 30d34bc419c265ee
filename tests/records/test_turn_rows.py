"""The rows of a conversation follow it change by change, and match the whole of it."""

from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.call import commands as do
from app.call import events as ev
from app.call.heard.conversation import Turn
from app.call.machine import CallMachine
from app.records.record import TurnRow
from app.records.turn_rows import TurnRows
from tests.call.scene import Scene
from tests.call.story import AGENTS, GAPS_MS, SIZES, WHATS, Step, Story

FIRST = 7  # position of the leg's first turn


class Stored:
    """The rows of a scene's turns as a database has them: by position."""

    def __init__(self, scene: Scene) -> None:
        self.rows = TurnRows(FIRST)
        self.by_position: dict[int, TurnRow] = {}
        self._scene = scene

    def save(self) -> list[TurnRow]:
        """Store what changed, and delete what was removed. Returns the rows that changed."""
        changed = self.rows.take_changed(self._scene.machine, self._scene.now_ms)
        self.by_position.update({row.position: row for row in changed.rows})
        for position in changed.removed:
            del self.by_position[position]
        return changed.rows

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [(row.role, row.text) for _, row in sorted(self.by_position.items())]


class StoredStory(Story):
    """A random call whose turns are stored whenever its conversation changed, as in a call."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.stored = Stored(self)
        self._revision = 0

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands = super().feed(*events)
        if self.machine.conversation.revision != self._revision:
            self._revision = self.machine.conversation.revision
            self.stored.save()
            self.check()
        return commands

    def check(self) -> None:
        """What is stored is the transcript of the whole leg."""
        turns = self.machine.transcript(self.now_ms)
        assert sorted(self.stored.by_position) == [*range(FIRST, FIRST + len(turns))]
        for position, turn in enumerate(turns, FIRST):
            check_row(self.stored.by_position[position], turn)
        assert self.stored.rows.next_position == FIRST + len(turns)


def check_row(row: TurnRow, turn: Turn) -> None:
    assert (row.item_id, row.role, row.at_ms) == (turn.item_id, turn.role, turn.at_ms)
    assert (row.text, row.cut, row.complete) == (turn.heard_text, turn.cut, turn.finished)
    assert row.heard_ms == (turn.heard_ms if turn.role == "assistant" else None)
    assert row.extra == turn.detail


steps = st.tuples(
    st.sampled_from(GAPS_MS), st.sampled_from(WHATS), st.integers(0, 3), st.sampled_from(SIZES)
)


@settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(kind=st.sampled_from([*AGENTS]), story=st.lists(steps, max_size=60))
def test_what_is_stored_is_the_whole_transcript(kind: str, story: list[Step]) -> None:
    scene = StoredStory(kind)
    scene.feed(ev.LegOpened())
    for step in [(300, "session comes", 0, 0), (50, "stream started again", 0, 0), *story]:
        scene.tell(step)
    scene.run(1000)
    scene.stored.save()
    scene.check()


@pytest.fixture
def scene() -> Scene:
    return Scene().connect()


def exchange(scene: Scene, number: int) -> None:
    """The caller asks, the agent answers, and the answer is heard to its end."""
    scene.speak(f"user_{number}")
    scene.run(500)
    scene.fall_silent(f"user_{number}", "And then?")
    scene.answer(1000, f"item_{number}", f"resp_{number}", "one two three")
    scene.run(3000)


def test_only_the_turns_that_changed_are_stored_however_long_the_call(scene: Scene) -> None:
    stored = Stored(scene)
    sizes = []
    for number in range(100):
        exchange(scene, number)
        sizes.append(len(stored.save()))

    assert set(sizes) == {2}
    assert len(stored.by_position) == 200
    assert stored.save() == []


def test_the_turns_that_are_looked_at_do_not_grow_with_the_call(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, looked_at = Stored(scene), []
    take = CallMachine.take_changes

    def counted(machine: CallMachine, now_ms: float) -> object:
        changes = take(machine, now_ms)
        looked_at.append(len(changes))
        return changes

    monkeypatch.setattr(CallMachine, "take_changes", counted)
    for number in range(100):
        exchange(scene, number)
        stored.save()

    assert max(islice(looked_at, 50, None)) <= max(islice(looked_at, 50)) <= 4


def test_a_late_transcript_changes_its_own_turn_alone(scene: Scene) -> None:
    stored = Stored(scene)
    scene.speak("user_1")
    scene.fall_silent("user_1")
    scene.answer(1000, "item_1", "resp_1", "one two three")
    scene.run(3000)
    stored.save()

    scene.feed(ev.CallerTranscribed("user_1", "What comes next?"))

    assert [row.position for row in stored.save()] == [FIRST]
    assert stored.texts == [("user", "What comes next?"), ("assistant", "one two three")]


def test_a_turn_that_is_committed_before_others_moves_them(scene: Scene) -> None:
    stored = Stored(scene)
    scene.answer(1000, "item_1", "resp_1", "one")
    scene.run(2000)
    scene.answer(1000, "item_2", "resp_2", "two")
    scene.run(2000)
    scene.speak("user_1")
    stored.save()

    scene.feed(ev.CallerTurnCommitted("user_1", "item_1"))
    scene.feed(ev.CallerTranscribed("user_1", "Hello?"))

    assert [row.position for row in stored.save()] == [FIRST + 1, FIRST + 2]
    assert stored.texts == [("assistant", "one"), ("user", "Hello?"), ("assistant", "two")]


def test_an_answer_of_which_nothing_was_heard_has_no_row(scene: Scene) -> None:
    stored = Stored(scene)
    scene.answer(1000, "item_1", "resp_1", "one two three")
    scene.speak("user_1")
    stored.save()

    assert stored.texts == [("user", "")]


def test_of_an_answer_that_plays_the_row_grows_until_it_was_heard(scene: Scene) -> None:
    stored = Stored(scene)
    scene.answer(3000, "item_1", "resp_1", "one two three")
    scene.run(1600)
    (half,) = stored.save()
    scene.run(3000)
    (whole,) = stored.save()

    assert (half.text, half.cut, whole.text, whole.cut) == ("one", True, "one two three", False)
    assert stored.save() == []


def test_a_turn_that_is_removed_leaves_the_turns_behind_it_once(scene: Scene) -> None:
    stored = Stored(scene)
    scene.answer(1000, "item_1", "resp_1", "one two three")
    scene.run(3000)
    exchange(scene, 2)
    stored.save()
    assert len(stored.by_position) == 3

    # The server sends more of an item that was done, and a barge-in cuts it before it is heard.
    scene.audio(1000, "item_1", "resp_1")
    scene.speak("user_3")
    changed = stored.save()

    assert stored.texts == [("user", "And then?"), ("assistant", "one two three"), ("user", "")]
    assert [row.position for row in changed] == [FIRST, FIRST + 1, FIRST + 2]
    assert stored.rows.next_position == FIRST + 3
