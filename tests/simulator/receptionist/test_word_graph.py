"""Words that belong together, as a graph to walk and as a pattern to take apart."""

import re
from collections import defaultdict
from itertools import product

import pytest

from app.simulator.receptionist.word_graph import (
    NOTHING,
    Arc,
    Chain,
    Expression,
    Named,
    Repeated,
    Word,
    either,
    graph,
    maybe,
    pattern,
    words,
)


def walks(expression: Expression, said: str) -> bool:
    """Whether the graph leads from its start to its end along these words."""
    arcs, last = graph(expression)
    leaving: dict[int, list[Arc]] = defaultdict(list)
    for arc in arcs:
        leaving[arc.source].append(arc)

    def for_nothing(states: set[int]) -> set[int]:
        more = {arc.target for state in states for arc in leaving[state] if arc.word is None}
        return states if more <= states else for_nothing(states | more)

    states = for_nothing({0})
    for word in said.split():
        states = for_nothing(
            {arc.target for state in states for arc in leaving[state] if arc.word == word}
        )
    return last in states


ORDER = Chain(
    (
        maybe(words("i want")),
        either((words("one pizza"), words("two pizzas"))),
        maybe(Chain((words("for"), either((Word("ada"), words("anne marie")))))),
    )
)
DIGITS = Repeated(either((Word("one"), Chain((Word("double"), Word("two"))))))


@pytest.mark.parametrize(
    ("expression", "vocabulary", "longest"),
    [
        pytest.param(ORDER, "i want one pizza two pizzas for ada anne marie", 4, id="order"),
        pytest.param(DIGITS, "one double two", 6, id="digits"),
        pytest.param(either((Word("a"), NOTHING, words("a b"))), "a b", 4, id="nested"),
    ],
)
def test_graph_and_pattern_allow_the_same_words(
    expression: Expression, vocabulary: str, longest: int
) -> None:
    compiled = re.compile(pattern(expression))
    allowed = 0
    for length in range(longest + 1):
        for each in product(vocabulary.split(), repeat=length):
            matches = compiled.fullmatch("".join(f"{word} " for word in each)) is not None
            assert walks(expression, " ".join(each)) == matches, each
            allowed += matches
    assert allowed >= 3
    assert walks(ORDER, "i want two pizzas for anne marie")
    assert not walks(ORDER, "i want two pizzas for")


def test_what_begins_or_ends_alike_is_walked_once() -> None:
    phrases = either(
        words(f"{start} large pizza for {name}")
        for start in ("one", "two")
        for name in ("al", "bo")
    )
    arcs, _ = graph(phrases)
    assert sorted(arc.word for arc in arcs if arc.word) == sorted(
        "one two large pizza for al bo".split()
    )


def test_weights_stay_with_their_words() -> None:
    arcs, _ = graph(either((words("ada says hi"), words("eve says hi", 0.25))))
    weights = {arc.word: arc.weight for arc in arcs if arc.word}
    assert weights == {"ada": 1.0, "eve": 0.25, "says": 1.0, "hi": 1.0}


def test_a_named_part_can_be_asked_for() -> None:
    said = Chain((words("for"), Named("who", either((Word("ada"), words("anne marie"))))))
    found = re.fullmatch(pattern(said), "for anne marie ")
    assert found is not None
    assert found["who"] == "anne marie "
