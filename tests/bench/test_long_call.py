"""The scripted call behind the cost of a delta is like a real one, and its growth is judged."""

import pytest

from bench import long_call
from bench.long_call import QUESTIONS_MS, VOICE, LongCall, Minute, delta_ns


@pytest.mark.parametrize("voices", [(), (VOICE,)])
def test_the_scripted_call_has_turns_tools_and_interruptions(voices: tuple[str, ...]) -> None:
    call = LongCall(2, voices)
    first, last = call.run()

    turns = call.machine.transcript(3 * long_call.MINUTE_MS)
    roles = [turn.role for turn in turns]
    asked = 2 * len(QUESTIONS_MS)
    assert (roles.count("user"), roles.count("tool")) == (asked, 2)
    assert all(turn.text for turn in turns)
    answers = [turn for turn in turns if turn.role == "assistant"]
    assert len(answers) == asked
    assert 4 <= sum(turn.cut for turn in answers) < asked / 2 + 1
    assert first.deltas == last.deltas > 200
    assert len(first.spent_ns) == len(last.spent_ns)


def test_the_cost_of_a_delta_is_the_best_of_the_loops() -> None:
    loops = [Minute([10, 50], 2), Minute([30, 20], 2)]

    assert delta_ns(loops) == 15


def test_a_cost_that_grows_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        long_call, "growth", lambda voices=(): [1.0, 1.21] if voices else [1.0, 1.19]
    )

    rows = long_call.rows()

    assert [row.kept for row in rows] == [True, True, True, False]
    assert rows[1].name == "cost of a delta at minute 60 over minute 1"
