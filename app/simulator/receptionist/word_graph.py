"""Expressions over words: converted to a graph for a recognizer, and to a pattern that takes the
recognized words apart again."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


@dataclass(frozen=True, slots=True)
class Word:
    """One word."""

    text: str
    #: How likely it is beside the alternatives in its place, 0 to 1.
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Chain:
    parts: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Either:
    options: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Repeated:
    """One time or more."""

    part: "Expression"


@dataclass(frozen=True, slots=True)
class Named:
    """A part that is a named group of the pattern."""

    name: str
    part: "Expression"


Expression: TypeAlias = Word | Chain | Either | Repeated | Named

NOTHING = Chain(())


def words(text: str, weight: float = 1.0) -> Chain:
    """The words of a text, one after the other; the first one has the weight."""
    return Chain(tuple(Word(each, 1.0 if n else weight) for n, each in enumerate(text.split())))


def either(options: Iterable[Expression]) -> Either:
    return Either(tuple(options))


def maybe(part: Expression) -> Either:
    return Either((part, NOTHING))


class Arc(NamedTuple):
    """A transition of the graph. `word` None: it needs no word."""

    source: int
    target: int
    weight: float
    word: str | None


def pattern(expression: Expression) -> str:
    """A regular expression over words, each followed by a space."""
    match expression:
        case Word(text):
            return re.escape(text) + " "
        case Chain(parts):
            return "".join(map(pattern, parts))
        case Either(options):
            return f"(?:{'|'.join(map(pattern, options))})"
        case Repeated(part):
            return f"(?:{pattern(part)})+"
        case Named(name, part):
            return f"(?P<{name}>{pattern(part)})"


def graph(expression: Expression) -> tuple[list[Arc], int]:
    """The arcs from state 0 to the last state, and the number of that state.

    Common beginnings and ends share their states, so that a recognizer walks them once.
    """
    raw = _Raw()
    start = raw.state()
    end = raw.add(expression, start)
    backwards = _merged({end}, {start}, [(t, s, label) for s, t, label in raw.arcs])
    forwards = _merged(
        backwards.ends, backwards.starts, [(t, s, label) for s, t, label in backwards.arcs]
    )
    (begin,) = forwards.starts
    last = 1 + max(max(s, t) for s, t, _ in forwards.arcs) if forwards.arcs else 1
    # The start gets the number 0.
    renumbered = {begin: 0, 0: begin}
    arcs = [
        Arc(renumbered.get(s, s), renumbered.get(t, t), label[1], label[0])
        for s, t, label in forwards.arcs
        if label is not None
    ]
    arcs += [Arc(renumbered.get(state, state), last, 1.0, None) for state in sorted(forwards.ends)]
    return arcs, last


_Label: TypeAlias = tuple[str, float] | None


@dataclass(frozen=True, slots=True)
class _Automaton:
    starts: set[int]
    ends: set[int]
    arcs: list[tuple[int, int, _Label]]


class _Raw:
    """The states and arcs of an expression before merging; some arcs need no word."""

    def __init__(self) -> None:
        self.arcs: list[tuple[int, int, _Label]] = []
        self._states = 0

    def state(self) -> int:
        self._states += 1
        return self._states - 1

    def add(self, expression: Expression, start: int) -> int:
        """Add an expression. Returns the state after it."""
        match expression:
            case Word(text, weight):
                end = self.state()
                self.arcs.append((start, end, (text, weight)))
                return end
            case Chain(parts):
                for part in parts:
                    start = self.add(part, start)
                return start
            case Either(options):
                end = self.state()
                for option in options:
                    self.arcs.append((self.add(option, start), end, None))
                return end
            case Repeated(part):
                begin = self.state()
                self.arcs.append((start, begin, None))
                end = self.add(part, begin)
                self.arcs.append((end, begin, None))
                return end
            case Named(_, part):
                return self.add(part, start)


def _merged(
    starts: set[int], ends: set[int], arcs: Iterable[tuple[int, int, _Label]]
) -> _Automaton:
    """The same sequences, deterministic: one start, and every arc needs a word.

    Applied backwards and then forwards, it gives the fewest states (Brzozowski).
    """
    leaving: dict[int, list[tuple[_Label, int]]] = defaultdict(list)
    for source, target, label in arcs:
        leaving[source].append((label, target))

    def reach(states: Iterable[int]) -> frozenset[int]:
        reached, waiting = set(states), list(states)
        while waiting:
            for label, target in leaving[waiting.pop()]:
                if label is None and target not in reached:
                    reached.add(target)
                    waiting.append(target)
        return frozenset(reached)

    first = reach(sorted(starts))
    numbers, todo = {first: 0}, [first]
    merged: list[tuple[int, int, _Label]] = []
    while todo:
        group = todo.pop()
        targets: dict[tuple[str, float], set[int]] = defaultdict(set)
        for state in sorted(group):
            for label, target in leaving[state]:
                if label is not None:
                    targets[label].add(target)
        for label, found in targets.items():
            target_group = reach(sorted(found))
            if target_group not in numbers:
                numbers[target_group] = len(numbers)
                todo.append(target_group)
            merged.append((numbers[group], numbers[target_group], label))
    return _Automaton({0}, {number for group, number in numbers.items() if group & ends}, merged)
