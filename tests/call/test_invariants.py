"""The invariants of a call hold for any events in any order.

Hypothesis generates calls, absurd ones too: events twice, with unknown ids, unknown marks, after
the end, with no time or hours between them. `Story` checks every invariant at every step.
"""

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.call import commands as do
from app.call.timeline import ordered, replay
from tests.call.story import (
    AGENTS,
    BACK,
    FIRST,
    GAPS_MS,
    LONGEST_CALL_MS,
    SETTLES_MS,
    SIZES,
    WHATS,
    Step,
    Story,
)

steps = st.tuples(
    st.sampled_from(GAPS_MS), st.sampled_from(WHATS), st.integers(0, 3), st.sampled_from(SIZES)
)

OPENING: list[Step] = [(300, "session comes", 0, 0), (50, "stream started again", 0, 0)]


def tell(kind: str, story: list[Step], *, connected: bool = True) -> Story:
    """A whole leg. After the story neither the caller nor the model says anything: every tool is
    answered, and the leg ends within the longest call."""
    scene = Story(kind)
    scene.feed(BACK if kind == "is back" else FIRST)
    for step in OPENING[: 2 if connected else 1] + story:
        scene.tell(step)
        scene.check_tools()
    scene.run(SETTLES_MS)
    scene.check_tools()
    if not scene.machine.over:
        run = {command.call_id for command in scene.all(do.RunTool)}
        assert run <= {turn.item_id for turn in scene.machine.conversation}, (
            "a tool is not answered"
        )
    scene.run(LONGEST_CALL_MS + 120_000)
    assert scene.machine.over and scene.ends == 1
    entries = scene.timeline.take()
    assert replay(lambda _: scene.agent, entries) == ordered(entries)
    return scene


@settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    kind=st.sampled_from(sorted(AGENTS)),
    connected=st.booleans(),
    story=st.lists(steps, min_size=5, max_size=70),
)
def test_the_invariants_hold_for_any_events(kind: str, connected: bool, story: list[Step]) -> None:
    tell(kind, story, connected=connected)


@pytest.mark.parametrize("kind", sorted(AGENTS))
def test_the_invariants_hold_in_long_calls(kind: str) -> None:
    """Hypothesis varies a few calls; these have nothing in common, and reach rare states."""
    random, reached, heard = Random(kind), Counter[type[do.Command]](), 0
    pick = random.choice
    for _ in range(120):
        story = [(pick(GAPS_MS), pick(WHATS), random.randrange(4), pick(SIZES)) for _ in range(60)]
        scene = tell(kind, story)
        heard += scene.checked
        reached.update({type(command) for _, command in scene.commands})
    rare = [do.AddToolOutput, do.AddMessage, do.HangUp, do.CloseStream, do.CancelTool]
    rare += [do.GiveDigits, do.MuteCaller, do.PlayDigits]
    if AGENTS[kind].destinations:
        rare += [do.TransferCall]
        assert heard > 10
    if AGENTS[kind].turns.interruptible:
        rare += [do.ClearAudio, do.TruncateItem, do.DeleteItem, do.CancelResponse]
    if AGENTS[kind].voices:
        rare += [do.Synthesize, do.DropSynthesis]
    assert not {each.__name__: reached[each] for each in rare if reached[each] < 3}
    assert reached[do.UnmuteCaller]
