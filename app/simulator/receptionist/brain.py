"""The embedded model: it matches a caller's words with its lines and answers as they say.

It is not a language model. It calls the tools that its lines name, and when it does not understand
a caller it says an example of what it understands.
"""

import asyncio
import json
import re
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from app.simulator.realtime.items import Item
from app.simulator.realtime.script import Reply, ToolOutput, Turn
from app.simulator.receptionist.grammar import Grammar, spoken_form
from app.simulator.receptionist.lines import GENERIC_LINES, HONEST, Line, example_of
from app.simulator.receptionist.reading import Unfilled, arguments_from, filled, in_words
from app.simulator.receptionist.recognizer import Recognizer
from app.simulator.speech import utter

END_CALL = "end_call"
_MOST_TEXTS = 1000  # a transcript's turn follows within a moment
_MOST_SESSIONS = 1000
_MOST_CALLS = 8  # pending tool calls of one session

_CANNOT = "I am sorry, I cannot do that here."
_FAILED = "I am sorry, that did not work. Is there anything else that I can do for you?"
_GREETING = "Hello! How can I help you?"
_HERE = "I am still here. What else can I do for you?"
_NOT_REACHED = "I am sorry, no one could take your call just now. What else can I do for you?"
_GOODBYE = "Goodbye!"
_BUSY = "I am still on it. One moment, please."
_APART = "I am the small model that comes with this bridge. I only talk with callers."
_EXACTLY = "Say exactly this, and nothing else:"
_NOT_CAUGHT = (
    "Sorry, I did not catch that. You can say, for example: {example}.",
    "I am afraid I did not understand. Try this: {example}.",
    "Sorry, once more please. You could say: {example}.",
)

# What to say for a direction that matches the pattern; the first match counts.
_DIRECTED: tuple[tuple[str, str], ...] = (
    (r"hand the caller to", "I am connecting you."),
    (r"handed to a human", _NOT_REACHED),
    (r"longest time|time is (up|over)", "I am sorry, our time is up. Thank you, and goodbye!"),
    (r"no longer answer", "I cannot hear you any more, so I will hang up. Goodbye!"),
    (r"(?:about|in) (\d+) seconds", "We have about {0} seconds left. What else can I do for you?"),
    (r"connection was (lost|interrupted)", "Sorry, the line was gone for a moment. Go on, please."),
    (r"still there|said nothing", "Are you still there?"),
    (r"still on it|still waiting|still work", _BUSY),
    (r"did not work|failed", _FAILED),
    (r"say goodbye|hang up", "Thank you for calling. Goodbye!"),
    (r"greet", _GREETING),
)

# How the bridge reports, in a new session, the results of tools that a lost session had called.
_TOLD = re.compile(r"Result of ([\w-]+): (.*)", re.DOTALL)
_RUNNING = re.compile(r"^[\w-]+ was called and still runs")
# How the bridge reports that a tool failed, after the tool's name or without it.
_TOOL_FAILED = re.compile(
    r" failed: | gave no answer | was not run: |: wrong arguments|There is no tool named "
)
_SAY_IT_NOW = re.compile("say it now|goodbye now", re.IGNORECASE)


class Heard(Protocol):
    """A recognized turn of a caller: `phrase` is the phrase or keyword of a line."""

    @property
    def text(self) -> str: ...
    @property
    def phrase(self) -> str: ...
    @property
    def slots(self) -> Mapping[str, str]: ...


class Hearing(Protocol):
    """Recognizes µ-law, 8000 Hz, of one turn of a caller; called from any thread."""

    def recognize(self, ulaw: bytes) -> Heard | None: ...


@dataclass(frozen=True, slots=True)
class _Understood:
    line: Line
    slots: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Called:
    """A pending tool call."""

    name: str
    arguments: Any
    understood: _Understood


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str = ""
    tool_calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    def and_then(self, other: "_Answer") -> "_Answer":
        text = " ".join(part for part in (self.text, other.text) if part)
        return _Answer(text, self.tool_calls + other.tool_calls)


class Receptionist:
    """`brain` and `transcribe` of a RealtimeServer, for any number of sessions at once.

    Args:
        lines: what it understands; empty: `GENERIC_LINES`.
        recognizer: recognizes speech; None: one for the phrases of the lines.
        voice: an espeak-ng voice.
        names: first names for `{name}`, beside the common ones.
        thinking_ms: a delay before each answer, beside the time that recognition and synthesis
            take.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        *,
        recognizer: Hearing | None = None,
        voice: str = "en-us+f3",
        names: Sequence[str] = (),
        thinking_ms: int = 0,
    ) -> None:
        lines = (*(lines or GENERIC_LINES), HONEST)
        self._by_phrase: dict[str, Line] = {}
        for line in lines:
            for phrase in (*line.hears, *line.keywords):
                self._by_phrase.setdefault(phrase, line)
        self._examples = [
            example_of(line.hears[0], names)
            for line in lines[:-1]
            if line.hears and not line.ends_call
        ]
        phrases = tuple(dict.fromkeys(phrase for line in lines for phrase in line.hears))
        keywords = tuple(dict.fromkeys(keyword for line in lines for keyword in line.keywords))
        self._grammar = Grammar(phrases, keywords=keywords, names=names)
        self._recognizer = recognizer or Recognizer(self._grammar)
        self._names = names
        self._voice = voice
        self._thinking_ms = thinking_ms
        self._texts: OrderedDict[str, _Understood] = OrderedDict()
        self._called: OrderedDict[str, deque[_Called]] = OrderedDict()

    async def transcribe(self, ulaw: bytes) -> str:
        """What the caller said; empty when it matches no line."""
        heard = await asyncio.to_thread(self._recognizer.recognize, ulaw)
        if heard is None:
            return ""
        # `brain` looks the meaning up by the text: the same words have the same meaning.
        self._texts[heard.text] = _Understood(self._by_phrase[heard.phrase], heard.slots)
        self._texts.move_to_end(heard.text)
        if len(self._texts) > _MOST_TEXTS:
            self._texts.popitem(last=False)
        return heard.text

    async def brain(self, turn: Turn) -> Reply:
        """Answer a turn, with audio and the places of its words."""
        answer = self._answer(turn)
        if not answer.text:
            return Reply(tool_calls=answer.tool_calls, delay_ms=self._thinking_ms)
        said = await asyncio.to_thread(utter, answer.text, voice=self._voice)
        return Reply(
            answer.text,
            audio=said.ulaw,
            words=[(word.offset_bytes, word.text) for word in said.words],
            tool_calls=answer.tool_calls,
            delay_ms=self._thinking_ms,
        )

    def _answer(self, turn: Turn) -> _Answer:
        if turn.kind == "direct":
            return _Answer(directed(turn.instructions))
        if not turn.in_conversation:
            return _Answer(_APART)
        news = turn.items[_last_user(turn) + 1 :]
        outputs = [*turn.tool_outputs, *_told_outputs(news)]
        answer = _Answer()
        for output in outputs:
            answer = answer.and_then(self._after_tool(turn, output))
        if _is_answered(news) or _told_outputs(news):
            return answer if outputs else _Answer(_HERE)
        if any(_RUNNING.search(item.text or "") for item in news):
            return _Answer(_BUSY)
        return answer.and_then(self._to_caller(turn))

    # --- the caller -----------------------------------------------------------------------------

    def _to_caller(self, turn: Turn) -> _Answer:
        turns = sum(item.role == "user" for item in turn.items)
        if not turns:
            return _Answer(_GREETING)
        understood = self._understand(turn.transcript)
        if understood is None:
            return self._not_caught(turns)
        line, slots = understood.line, understood.slots
        try:
            says = filled(line.says, slots) if line.says else ""
            arguments = arguments_from(line.arguments, slots)
        except Unfilled:
            # A keyword has no slots: ask for the whole phrase.
            return self._not_caught_like(line)
        if not line.tool:
            return _Answer(says, _end_call(turn) if line.ends_call else ())
        if line.tool not in _offered(turn):
            return _Answer(_CANNOT)
        self._remember(turn.session_id, _Called(line.tool, arguments, understood))
        return _Answer(says, ((line.tool, arguments),))

    def _understand(self, transcript: str) -> _Understood | None:
        """The meaning of a transcript, also one typed or taken over from a lost session."""
        if transcript in self._texts:
            return self._texts[transcript]
        heard = self._grammar.understand(_spoken_words(transcript))
        return _Understood(self._by_phrase[heard.phrase], heard.slots) if heard else None

    def _not_caught(self, turns: int) -> _Answer:
        if not self._examples:
            return _Answer("Sorry, I did not catch that. Could you say it again?")
        example = self._examples[turns % len(self._examples)]
        return _Answer(_NOT_CAUGHT[turns % len(_NOT_CAUGHT)].format(example=example))

    def _not_caught_like(self, line: Line) -> _Answer:
        phrase = next((each for each in line.hears if "{" in each), "")
        return _Answer(_NOT_CAUGHT[0].format(example=example_of(phrase, self._names)))

    # --- tools ----------------------------------------------------------------------------------

    def _remember(self, session_id: str, called: _Called) -> None:
        """Record a pending call, and drop those of the oldest sessions, which may be closed."""
        calls = self._called.setdefault(session_id, deque(maxlen=_MOST_CALLS))
        calls.append(called)
        self._called.move_to_end(session_id)
        if len(self._called) > _MOST_SESSIONS:
            self._called.popitem(last=False)

    def _recall(self, turn: Turn, output: ToolOutput) -> _Called | None:
        """The pending call that this output answers: the latest one with its arguments."""
        calls = self._called.get(turn.session_id, deque())
        item = next((i for i in turn.items if i.call_id == output.call_id and i.arguments), None)
        same = [c for c in calls if c.name == output.name]
        exact = [c for c in same if item is None or _parsed(item.arguments) == c.arguments]
        for called in reversed(exact or same):
            calls.remove(called)
            if not calls:
                del self._called[turn.session_id]
            return called
        return None

    def _after_tool(self, turn: Turn, output: ToolOutput) -> _Answer:
        if output.name == END_CALL:
            # Either the goodbye is still to be said, or the caller interrupted it.
            if not _is_answered(turn.items[_last_user(turn) + 1 :]):
                return _Answer()
            return _Answer(_GOODBYE if _SAY_IT_NOW.search(output.output) else _HERE)
        called = self._recall(turn, output)
        understood = called.understood if called else self._understand(turn.transcript)
        if understood is None or understood.line.tool != output.name:
            return _Answer(_FAILED)
        line, slots = understood.line, understood.slots
        failed = _TOOL_FAILED.match(output.output.removeprefix(output.name))
        with suppress(Unfilled):
            if not failed:
                text = filled(line.then, slots, _parsed(output.output))
                return _Answer(text, _end_call(turn) if line.ends_call else ())
        with suppress(Unfilled):
            return _Answer(filled(line.otherwise, slots) or _FAILED)
        return _Answer(_FAILED)


def directed(instructions: str) -> str:
    """What to say for the instructions of a direct response.

    The direction is the last paragraph: the agent's own instructions may come before it.
    """
    direction = instructions.strip().rpartition("\n\n")[2]
    if _EXACTLY in direction:
        return direction.partition(_EXACTLY)[2].strip()
    for pattern, text in _DIRECTED:
        found = re.search(pattern, direction, re.IGNORECASE)
        if found:
            return text.format(*found.groups())
    if _EXACTLY in instructions:  # a text of several paragraphs
        return instructions.rpartition(_EXACTLY)[2].strip()
    return _HERE


def _offered(turn: Turn) -> set[str]:
    """The names of the tools that may be called now."""
    names = {tool["name"] for tool in turn.tools if "name" in tool}
    if turn.tool_choice == "none":
        return set()
    if isinstance(turn.tool_choice, dict):
        return names & {turn.tool_choice.get("name")}
    return names


def _end_call(turn: Turn) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return ((END_CALL, {"reason": "the caller is done"}),) if END_CALL in _offered(turn) else ()


def _last_user(turn: Turn) -> int:
    """The index of the caller's last item in the conversation; -1: there is none."""
    return max((n for n, item in enumerate(turn.items) if item.role == "user"), default=-1)


def _is_answered(news: Sequence[Item]) -> bool:
    """Whether the model answered or called a tool after the caller's last words."""
    return any(item.role == "assistant" or item.type == "function_call" for item in news)


def _told_outputs(news: Sequence[Item]) -> list[ToolOutput]:
    """Results of tools that arrived as messages: a lost session had called them."""
    told = [_TOLD.fullmatch(item.text or "") for item in news if item.role == "system"]
    return [ToolOutput("", found[1], found[2]) for found in told if found]


def _spoken_words(text: str) -> list[str]:
    """A written text as spoken words: 12 in words, 123 and longer digit by digit."""

    def said(number: re.Match[str]) -> str:
        parts = [number[0]] if len(number[0]) < 3 else number[0]
        return f" {' '.join(in_words(int(part)) for part in parts)} "

    plain = spoken_form(re.sub(r"[0-9]+", said, text))
    return re.sub(r"[^\w' ]", " ", plain).split()


def _parsed(text: str) -> Any:
    """JSON, or the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
