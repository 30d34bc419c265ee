"""The lines of the embedded model: what it understands, and what it then says and does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.simulator.receptionist.reading import as_digits

_SLOT = re.compile(r"\{([a-z_]+)(?::([^{}|]*)[^{}]*)?\}")
_OPTIONAL = re.compile(r"\s*\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a caller may say, and the answer.

    Texts and arguments may have fields: see `reading.filled` and `reading.arguments_from`.
    """

    #: Phrases, with slots such as `{name}` and `[optional]` words.
    hears: Sequence[str] = ()
    #: Words that select this line in any sentence.
    keywords: Sequence[str] = ()
    #: The answer, or what to say before the tool is called.
    says: str = ""
    #: The tool to call; empty: none.
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: What to say when the tool has answered.
    then: str = ""
    #: What to say when the tool failed, or `then` needs a value that its answer does not have.
    otherwise: str = ""
    #: End the call after the answer.
    ends_call: bool = False


HONEST = Line(
    hears=(
        "are you a [real] person",
        "are you [a] human",
        "are you a robot",
        "are you a machine",
        "am i talking to a [real] person",
    ),
    says=(
        "No, I am not a person. I am the small model that comes with this bridge, and I answer "
        "when it has no OpenAI key."
    ),
)
"""The line of every embedded model: it says that it is not a person."""

GENERIC_LINES = (
    Line(
        hears=("what time is it", "what is the time", "what day is it [today]"),
        keywords=("what time", "the time"),
        tool="current_time",
        then="It is {result}.",
        otherwise="I am sorry, I cannot tell the time just now.",
    ),
    Line(hears=("my name is {name}", "this is {name}"), says="Nice to meet you, {name}."),
    Line(
        hears=("my number is {digits}", "my telephone number is {digits}"),
        says="I heard {digits}.",
    ),
    Line(
        hears=("hello", "good morning", "good afternoon", "good evening"),
        says="Hello! What can I do for you?",
    ),
    Line(hears=("thank you", "thanks [a lot]", "thank you very much"), says="You are welcome."),
    Line(
        hears=("goodbye", "bye", "[thank you] that is all", "thank you [that is all] goodbye"),
        keywords=("goodbye",),
        says="Goodbye!",
        ends_call=True,
    ),
)
"""The lines of an agent file without `[[demo.lines]]`."""


def example_of(phrase: str, names: Sequence[str] = ()) -> str:
    """A phrase with its slots filled: "one large margherita for Grace"."""
    samples = {
        "name": names[0] if names else "Grace",
        "number": "two",
        "digits": as_digits("5551234"),
    }
    plain = _OPTIONAL.sub("", phrase)
    filled = _SLOT.sub(lambda slot: slot[2].strip() if slot[2] else samples[slot[1]], plain)
    return re.sub(r"\bi\b", "I", " ".join(filled.split()))
