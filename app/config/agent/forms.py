"""The agent file's tables as pydantic models: keys, types, ranges, and which keys go together."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app.call.agent import Effort, Limits, ModelOptions, Outbound, Transcription, TurnTaking
from app.call.words.backchannels import normalized
from app.config.agent.backchannels import known_backchannels
from app.wires.form import Form, Text, TextOrNone, fault
from app.wires.realtime.models import takes

_TURNS, _TRANSCRIPTION, _LIMITS = TurnTaking(), Transcription(), Limits()
_OUTBOUND = Outbound()
_DAY_SECONDS = 86_400
_FIRST_SOUND_MS_REASONING = 7_000  # default with a reasoning_effort above low
#: UTF-8: about 15 s of English or 25 s of Chinese. The stream's ticket must outlive it.
LONGEST_ANNOUNCEMENT_BYTES = 250


@dataclass(frozen=True, slots=True)
class RecordingRules:
    """Whether calls are recorded."""

    enabled: bool = False
    #: Said to the caller before the agent answers. Empty: nothing is said.
    announcement: str = ""


class TurnsForm(Form):
    #: How the model finds the end of the caller's turn: `server_vad` by silence, `semantic_vad` by
    #: what was said.
    detection: Literal["server_vad", "semantic_vad"] = _TURNS.detection
    #: How loud speech has to be, for `server_vad`. Higher ignores more noise.
    threshold: float = Field(
        default=_TURNS.threshold, ge=0, le=1, description="a number from 0.0 to 1.0"
    )
    #: How much audio before the detected speech belongs to the turn, for `server_vad`.
    prefix_padding_ms: int = Field(
        default=_TURNS.prefix_padding_ms,
        ge=0,
        le=10_000,
        description="a whole number of milliseconds from 0 to 10000",
    )
    #: How much silence ends the caller's turn, for `server_vad`. Lower answers faster and
    #: interrupts pauses more often.
    silence_ms: int = Field(
        default=_TURNS.silence_ms,
        ge=0,
        le=10_000,
        description="a whole number of milliseconds from 0 to 10000",
    )
    #: How soon the model takes its turn, for `semantic_vad`.
    eagerness: Literal["auto", "low", "medium", "high"] = _TURNS.eagerness
    #: Whether the caller's speech interrupts the agent (barge-in).
    interruptible: bool = _TURNS.interruptible
    #: Whether the agent goes on where it was after a cough, a noise or a "mm-hm". Without it, every
    #: sound that counts as speech interrupts the agent for good.
    resume_false_interruptions: bool = True
    #: How long the words of short speech are awaited before the agent goes on.
    false_interruption_ms: int = Field(
        default=_TURNS.false_interruption_ms,
        ge=100,
        le=3000,
        description="a whole number of milliseconds from 100 to 3000",
    )
    #: What callers say while they listen, beyond what is known for the agent's language.
    backchannels: list[str] = Field(default=[], description="a list of texts")
    #: Which background noise the model removes from the caller's audio: that of a telephone held to
    #: the ear (`near_field`), or that of a speakerphone in a room (`far_field`).
    noise_reduction: Literal["none", "near_field", "far_field"] = _TURNS.noise_reduction
    #: How much of that noise is removed. Without it, the model decides.
    noise_reduction_strength: float | None = Field(
        default=None, ge=0, le=1, description="a number from 0 to 1"
    )

    @field_validator("threshold", "prefix_padding_ms", "silence_ms", "eagerness")
    @classmethod
    def _belongs_to_detection(cls, value: Any, info: ValidationInfo) -> Any:
        # The model rejects a session.update with a key of the other detection.
        owner = "semantic_vad" if info.field_name == "eagerness" else "server_vad"
        if info.data.get("detection", owner) != owner:
            raise fault(
                "belongs to detection = '{owner}'; remove it or change detection", owner=owner
            )
        return value

    @field_validator("noise_reduction_strength")
    @classmethod
    def _has_noise_reduction(cls, value: float | None, info: ValidationInfo) -> float | None:
        # A faulty noise_reduction is not in the data: its own line is enough.
        if value is not None and info.data.get("noise_reduction") == "none":
            raise fault(
                "needs noise_reduction = 'near_field' or 'far_field'; set it or remove this key"
            )
        return value

    def turn_taking(self, language: str) -> TurnTaking:
        """`language`: ISO 639-1 code of the agent's."""
        phrases = (*known_backchannels(language), *self.backchannels)
        backchannels = tuple(dict.fromkeys(filter(None, map(normalized, phrases))))
        return TurnTaking(**self.model_dump(exclude={"backchannels"}), backchannels=backchannels)


def _token_limit(value: object) -> object:
    if value == "inf" or (type(value) is int and value >= 1):
        return value
    raise ValueError


def _truncation(value: object) -> object:
    if value in ("auto", "disabled"):
        return value
    if type(value) in (int, float) and 0 <= value <= 1:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise ValueError


class ModelForm(Form):
    #: How long the model thinks before it answers. More takes longer, and answers hard questions
    #: better. For reasoning models such as gpt-realtime-2.1.
    reasoning_effort: Effort | None = None
    #: Most tokens of one answer, its tool calls included. A longer answer is cut off.
    max_output_tokens: Annotated[int | Literal["inf"] | None, PlainValidator(_token_limit)] = Field(
        default=None, description="a whole number from 1, or 'inf' for no limit"
    )
    #: Whether the model may call several tools at once. For reasoning models.
    parallel_tool_calls: bool | None = None
    #: What the model forgets when a conversation grows too long for it: with `auto` its oldest
    #: part, with `disabled` nothing (the answer fails), with a ratio all but that share of what
    #: fits. A ratio cuts more at once and less often, which makes long calls cheaper.
    truncation: Annotated[
        Literal["auto", "disabled"] | float | None, PlainValidator(_truncation)
    ] = Field(default=None, description="'auto', 'disabled' or a ratio from 0 to 1")

    @property
    def raises_first_sound(self) -> bool:
        """Whether an answer takes longer to its first sound than it usually does."""
        return self.reasoning_effort not in (None, "minimal", "low")

    def options(self) -> ModelOptions:
        return ModelOptions(**self.model_dump())


class TranscriptionForm(Form):
    #: The model that transcribes the caller's speech. Without one, records have no text of the
    #: caller.
    model: TextOrNone = Field(
        default=_TRANSCRIPTION.model, description="a model's name, or '' for no transcripts"
    )
    #: Words and names that the transcription should expect.
    prompt: TextOrNone = Field(default=_TRANSCRIPTION.prompt, description="text")
    #: Words and names that the transcription should expect, one by one.
    keywords: list[Text] = Field(default=[], description="a list of texts, such as ['Margherita']")
    #: What callers may speak, if it is more than the agent's language.
    languages: list[Annotated[str, StringConstraints(pattern="^[a-z]{2}$")]] = Field(
        default=[], description="a list of two-letter ISO 639-1 codes, such as ['en', 'es']"
    )

    @field_validator("prompt")
    @classmethod
    def _is_taken(cls, value: str, info: ValidationInfo) -> str:
        model = info.data.get("model", "")
        if value and not takes(model, "prompt"):
            raise fault("{model} takes no prompt; remove it", model=model)
        return value

    def transcription(self) -> Transcription:
        return Transcription(self.model, self.prompt, tuple(self.keywords), tuple(self.languages))


class LimitsForm(Form):
    #: Silence from the caller, while the agent listens, before the agent asks whether they are
    #: still there.
    idle_seconds: float = Field(
        default=_LIMITS.idle_ms / 1000,
        ge=0,
        le=_DAY_SECONDS,
        description=f"a number of seconds from 0 (never) to {_DAY_SECONDS}",
    )
    #: How often the agent asks before it says goodbye and ends the call.
    idle_nudges: int = Field(default=_LIMITS.idle_nudges, ge=0, le=100)
    #: How long a call may last. The agent then says goodbye.
    longest_call_seconds: float = Field(
        default=_LIMITS.longest_call_ms / 1000,
        ge=0,
        le=_DAY_SECONDS,
        description=f"a number of seconds from 0 (no limit) to {_DAY_SECONDS}",
    )
    #: How long before that end the agent warns the caller.
    warning_seconds: float = Field(
        default=_LIMITS.warning_ms / 1000,
        ge=0,
        le=_DAY_SECONDS,
        description=f"a number of seconds from 0 to {_DAY_SECONDS}",
    )
    #: How long a tool may run. The model then learns that the tool did not answer.
    tool_seconds: float = Field(
        default=_LIMITS.tool_ms / 1000,
        ge=0.1,
        le=120,
        description="a number of seconds from 0.1 to 120",
    )
    #: How long a caller who waits for an answer hears nothing before the agent says that it is
    #: still working, or a tone sounds if the model cannot speak.
    hold_seconds: float = Field(
        default=_LIMITS.hold_ms / 1000,
        ge=1,
        le=8,
        description="a number of seconds from 1 to 8",
    )
    #: How long an answer may take to its first audio, text or tool call. The service then asks for
    #: the answer again. With a `reasoning_effort` of `medium` or more under `[model]`, the default
    #: is 7.
    first_sound_seconds: float = Field(
        default=_LIMITS.first_sound_ms / 1000,
        ge=1,
        le=30,
        description="a number of seconds from 1 to 30",
    )
    #: How many answers in a row may call tools while the caller says nothing and presses no key.
    #: The agent then has to speak to the caller, without a tool.
    tool_rounds: int = Field(default=_LIMITS.tool_rounds, ge=1, le=100)

    @field_validator("warning_seconds")
    @classmethod
    def _comes_before_the_end(cls, value: float, info: ValidationInfo) -> float:
        longest = info.data.get("longest_call_seconds", 0)
        if longest and value >= longest:
            raise PydanticCustomError(
                "expected",
                "less than longest_call_seconds, which is {longest}",
                {"longest": f"{longest:g}"},
            )
        return value

    def limits(self, *, model: ModelForm) -> Limits:
        """`model`: decides the defaults of some limits."""
        longest, warning = self.longest_call_seconds, self.warning_seconds
        if longest and "warning_seconds" not in self.model_fields_set:
            # The default must not be longer than a short call.
            warning = min(warning, longest / 2)
        first_sound_ms = _ms(self.first_sound_seconds)
        if model.raises_first_sound and "first_sound_seconds" not in self.model_fields_set:
            first_sound_ms = _FIRST_SOUND_MS_REASONING
        return Limits(
            idle_ms=_ms(self.idle_seconds),
            idle_nudges=self.idle_nudges,
            longest_call_ms=_ms(longest),
            warning_ms=_ms(warning),
            tool_ms=_ms(self.tool_seconds),
            hold_ms=_ms(self.hold_seconds),
            first_sound_ms=first_sound_ms,
            tool_rounds=self.tool_rounds,
        )


class BuiltinToolsForm(Form):
    #: Whether the agent can hang up.
    end_call: bool = True
    #: Whether the agent can transfer the caller. The tool exists only if there is a destination.
    transfer_to_human: bool = True
    #: Whether the agent can press keys, for the menus of other telephone systems.
    send_digits: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools that are switched on."""
        return tuple(name for name, is_on in self.model_dump().items() if is_on)


class OutboundForm(Form):
    #: What the agent says first when it places the call.
    greeting: TextOrNone = Field(
        default=_OUTBOUND.greeting, description="text, or '' for the agent's usual greeting"
    )
    #: What the agent says after the beep of an answering machine.
    voicemail: TextOrNone = Field(
        default=_OUTBOUND.voicemail, description="text, or '' to hang up on answering machines"
    )
    #: Whether Twilio detects who answers. With `off` the agent talks with whoever or whatever
    #: answers, and no message is left.
    answering_machine: Literal["detect", "off"] = _OUTBOUND.answering_machine

    def outbound(self) -> Outbound:
        return Outbound(self.greeting, self.voicemail, self.answering_machine)


class AfterCallForm(Form):
    #: Whether the model summarises each call after its end, in a session of its own.
    summary: bool = False


class RecordingForm(Form):
    #: Whether calls are recorded, as stereo WAV files in RECORDINGS_DIR.
    enabled: bool = False
    #: What Twilio says to the caller before the agent answers.
    announcement: TextOrNone = Field(
        default="",
        description=f"text of {LONGEST_ANNOUNCEMENT_BYTES} bytes at most, or '' for none",
    )

    @field_validator("announcement")
    @classmethod
    def _is_short(cls, value: str) -> str:
        if len(value.encode()) > LONGEST_ANNOUNCEMENT_BYTES:
            raise ValueError
        return value

    def recording(self) -> RecordingRules:
        return RecordingRules(self.enabled, self.announcement)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
