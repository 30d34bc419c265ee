"""The agent file's [demo]: what the embedded model understands, says and does."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from app.call.words.blank import stripped
from app.wires.form import Form, Text, TextOrNone, fault

_DEMO_VOICE = "en-us+f3"

# A phrase consists of words, {slots} and [optional words].
_WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
_WORDS = rf"{_WORD}(?: +{_WORD})*"
_PHRASE_PART = re.compile(rf"{_WORDS}|\[ *{_WORDS} *\]|\{{([^{{}}]*)\}}")
_CHOICE = re.compile(rf"([a-z_]+): *{_WORDS} *(?:\| *{_WORDS} *)*")
_SLOT_KINDS = ("name", "number", "digits")
_FIELD = re.compile(r"\{([^{}]*)\}")
_RESULT = re.compile(r"result(?:\.\w+)*")
_FORMATS = ("price", "digits")


@dataclass(frozen=True, slots=True)
class DemoLine:
    """What a caller may say to the embedded model, and its answer."""

    #: Phrases that the line answers, with slots such as `{name}`.
    hears: tuple[str, ...] = ()
    #: Words that select the line in any other sentence.
    keywords: tuple[str, ...] = ()
    #: The answer, or what is said before the tool runs.
    says: str = ""
    #: The tool to call; empty for none.
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: What is said after the tool has run, with fields of its result.
    then: str = ""
    #: Said if the result does not have the fields of `then`.
    otherwise: str = ""
    ends_call: bool = False


@dataclass(frozen=True, slots=True)
class Demo:
    """The embedded model's configuration. It answers calls if OPENAI_API_KEY is not set."""

    #: An espeak-ng voice.
    voice: str = _DEMO_VOICE
    #: First names that it recognizes, besides the common ones.
    names: tuple[str, ...] = ()
    lines: tuple[DemoLine, ...] = ()


def _phrase(value: str) -> str:
    """The phrase with single spaces. Raises a `fault` if it is malformed."""
    value = " ".join(value.split())
    rest = _PHRASE_PART.sub("", value).strip()
    if rest or not value:
        raise fault(
            "expected words, {{slots}} and [optional words], got {found!r}; write numbers as words "
            "and leave out punctuation", found=rest or value,
        )  # fmt: skip
    slots = [part[1] for part in _PHRASE_PART.finditer(value) if part[1] is not None]
    names = []
    for slot in slots:
        choice = _CHOICE.fullmatch(slot)
        if choice is None and slot not in _SLOT_KINDS:
            raise fault(
                "unknown slot {{{slot}}}; known: {{name}}, {{number}}, {{digits}} and choices such "
                "as {{size:small|large}}", slot=slot,
            )  # fmt: skip
        names.append(choice[1] if choice else slot)
        if choice and choice[1] in (*_SLOT_KINDS, "result"):
            raise fault("a choice cannot be named {name}; choose another name", name=choice[1])
        if len(names) > len(set(names)):
            raise fault("the slot {{{name}}} is used twice", name=names[-1])
    return value


def _slots(phrases: Iterable[str]) -> set[str]:
    return {
        part[1].partition(":")[0]
        for phrase in phrases
        for part in _PHRASE_PART.finditer(phrase)
        if part[1] is not None
    }


def _keyword(value: str) -> str:
    value = " ".join(value.split())
    if not re.fullmatch(_WORDS, value):
        raise ValueError
    return value


def _first_name(value: str) -> str:
    if not re.fullmatch(_WORD, stripped(value)):
        raise ValueError
    return stripped(value)


def _texts_in(value: Any) -> Iterable[str]:
    """Every string in a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(each)


class DemoLineForm(Form):
    #: Phrases that this line answers. `{name}`, `{number}`, `{digits}` and choices such as
    #: `{size:small|large}` are slots; words in `[brackets]` are optional.
    hears: list[Annotated[str, AfterValidator(_phrase)]] = Field(
        default=[], description="an array of phrases, such as ['what is on the menu']"
    )
    #: Words that select this line in any other sentence.
    keywords: list[Annotated[str, AfterValidator(_keyword)]] = Field(
        default=[], description="an array of words, such as ['menu']"
    )
    #: The answer, or what is said before the tool runs. Slots are filled in.
    says: TextOrNone = Field(default="", description="text")
    #: The tool that this line calls.
    tool: TextOrNone = Field(default="", description="the name of a tool")
    #: The tool's arguments. Slots are filled in.
    arguments: dict[str, Any] = Field(default={}, description="a table: { name = '{name}' }")
    #: What is said about the tool's result, such as `{result.price:price}`.
    then: TextOrNone = Field(default="", description="text")
    #: What is said when the result does not fit `then`.
    otherwise: TextOrNone = Field(default="", description="text")
    #: Whether the call ends after `says`.
    ends_call: bool = Field(default=False, description="true or false")

    @field_validator("arguments", "then", "otherwise")
    @classmethod
    def _belongs_to_a_tool(cls, value: Any, info: ValidationInfo) -> Any:
        if value and not info.data.get("tool", True):
            raise fault("belongs to a tool; name it with tool = '…'")
        return value

    @field_validator("says", "arguments", "then", "otherwise")
    @classmethod
    def _has_known_fields(cls, value: Any, info: ValidationInfo) -> Any:
        if "hears" not in info.data:
            return value
        heard = _slots(info.data["hears"])
        for text in _texts_in(value):
            if set(_FIELD.sub("", text)) & set("{}") and info.field_name != "arguments":
                raise fault("unmatched brace in {text!r}", text=text)
            for found in _FIELD.findall(text):
                _check_field(found, heard, str(info.field_name))
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> "DemoLineForm":
        if not self.hears and not self.keywords:
            raise fault("needs hears = ['…'] or keywords = ['…']; add one of them")
        if not self.says and not self.tool and not self.ends_call:
            raise fault("needs says = '…' or tool = '…'; add one of them")
        if self.tool and not self.then:
            raise fault("calls {tool} and does not say its result; add then = '…'", tool=self.tool)
        return self

    def line(self) -> DemoLine:
        return DemoLine(
            hears=tuple(self.hears),
            keywords=tuple(self.keywords),
            says=self.says,
            tool=self.tool,
            arguments=self.arguments,
            then=self.then,
            otherwise=self.otherwise,
            ends_call=self.ends_call,
        )


def _check_field(found: str, heard: set[str], key: str) -> None:
    """Raises a `fault` if a text's {field} is no slot of the line and no result, or has an unknown
    format. `key`: the text's key."""
    path, colon, format_ = found.partition(":")
    if key == "then" and _RESULT.fullmatch(path):
        pass
    elif path not in heard:
        known = [f"{{{slot}}}" for slot in sorted(heard)] + ["{result}"] * (key == "then")
        raise fault(
            "no phrase of this line has the slot {{{found}}}; {known}",
            found=path,
            known=f"known here: {', '.join(known)}" if known else "they have no slots",
        )
    if colon and key == "arguments":
        raise fault(
            "{{{found}}}: arguments have no format; write {{{path}}}", found=found, path=path
        )
    if colon and format_ not in _FORMATS:
        raise fault(
            "{{{found}}} has an unknown format; known: {known}",
            found=found,
            known=", ".join(_FORMATS),
        )


class DemoForm(Form):
    #: The voice of the embedded model.
    voice: Text = Field(default=_DEMO_VOICE, description="an espeak-ng voice, such as 'en-us+f3'")
    #: First names that `{name}` recognises, in addition to the common ones.
    names: list[Annotated[str, AfterValidator(_first_name)]] = Field(
        default=[], description="an array of first names, such as ['Ada']"
    )
    #: What callers may say, and what the embedded model answers.
    lines: list[DemoLineForm] = Field(default=[], description="tables: [[demo.lines]]")

    def demo(self) -> Demo:
        return Demo(self.voice, tuple(self.names), tuple(line.line() for line in self.lines))
