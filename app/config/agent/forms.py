"""The agent file's tables as pydantic models: keys, types, ranges, and which keys exclude others.

A field's description is the "expected" part of its error message. A `fault` is a complete message.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from app.call.agent import Limits, Outbound, Transcription, TurnTaking
from app.call.words.blank import stripped

_TURNS, _TRANSCRIPTION, _LIMITS = TurnTaking(), Transcription(), Limits()
_OUTBOUND = Outbound()
_DAY_SECONDS = 86_400
#: UTF-8: about 15 s of English or 25 s of Chinese. The stream's ticket must outlive it.
LONGEST_ANNOUNCEMENT_BYTES = 250


@dataclass(frozen=True, slots=True)
class RecordingRules:
    """Whether calls are recorded."""

    enabled: bool = False
    #: Said to the caller before the agent answers. Empty: nothing is said.
    announcement: str = ""


def _not_blank(value: str) -> str:
    value = stripped(value)
    if not value or "\0" in value:
        raise ValueError
    return value


Text = Annotated[str, AfterValidator(_not_blank)]
TextOrNone = Annotated[str, AfterValidator(stripped)]
"""Text that may be empty. Surrounding white space is removed."""


class Form(BaseModel):
    """A table of the agent file. Unknown keys are errors, and types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def fault(message: str, **values: str) -> PydanticCustomError:
    """An error whose message is complete, unlike "expected …, got …". `values`: format arguments.
    Raise it in a validator."""
    # PydanticCustomError wants a literal string as its template.
    return PydanticCustomError("fault", "{said}", {"said": message.format(**values)})


class TurnsForm(Form):
    detection: Literal["server_vad", "semantic_vad"] = Field(
        default=_TURNS.detection, description="'server_vad' or 'semantic_vad'"
    )
    threshold: float = Field(
        default=_TURNS.threshold, ge=0, le=1, description="a number from 0.0 to 1.0"
    )
    prefix_padding_ms: int = Field(
        default=_TURNS.prefix_padding_ms,
        ge=0,
        le=10_000,
        description="a whole number of milliseconds from 0 to 10000",
    )
    silence_ms: int = Field(
        default=_TURNS.silence_ms,
        ge=0,
        le=10_000,
        description="a whole number of milliseconds from 0 to 10000",
    )
    eagerness: Literal["auto", "low", "medium", "high"] = Field(
        default=_TURNS.eagerness, description="'auto', 'low', 'medium' or 'high'"
    )
    interruptible: bool = Field(default=_TURNS.interruptible, description="true or false")

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


class TranscriptionForm(Form):
    model: TextOrNone = Field(
        default=_TRANSCRIPTION.model, description="a model's name, or '' for no transcripts"
    )
    prompt: TextOrNone = Field(default=_TRANSCRIPTION.prompt, description="text")

    @field_validator("prompt")
    @classmethod
    def _is_taken(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("model") == "gpt-realtime-whisper":
            raise fault("gpt-realtime-whisper takes no prompt; remove it")
        return value


class LimitsForm(Form):
    idle_seconds: float = Field(
        default=_LIMITS.idle_ms / 1000,
        ge=0,
        le=_DAY_SECONDS,
        description=f"a number of seconds from 0 (never) to {_DAY_SECONDS}",
    )
    idle_nudges: int = Field(
        default=_LIMITS.idle_nudges, ge=0, le=100, description="a whole number from 0 to 100"
    )
    longest_call_seconds: float = Field(
        default=_LIMITS.longest_call_ms / 1000,
        ge=0,
        le=_DAY_SECONDS,
        description=f"a number of seconds from 0 (no limit) to {_DAY_SECONDS}",
    )
    warning_seconds: float = Field(
        default=_LIMITS.warning_ms / 1000,
        ge=0,
        le=_DAY_SECONDS,
        description=f"a number of seconds from 0 to {_DAY_SECONDS}",
    )
    tool_seconds: float = Field(
        default=_LIMITS.tool_ms / 1000,
        ge=0.1,
        le=120,
        description="a number of seconds from 0.1 to 120",
    )
    hold_seconds: float = Field(
        default=_LIMITS.hold_ms / 1000,
        ge=1,
        le=8,
        description="a number of seconds from 1 to 8",
    )
    first_sound_seconds: float = Field(
        default=_LIMITS.first_sound_ms / 1000,
        ge=1,
        le=30,
        description="a number of seconds from 1 to 30",
    )

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

    def limits(self) -> Limits:
        longest, warning = self.longest_call_seconds, self.warning_seconds
        if longest and "warning_seconds" not in self.model_fields_set:
            # The default must not be longer than a short call.
            warning = min(warning, longest / 2)
        return Limits(
            idle_ms=_ms(self.idle_seconds),
            idle_nudges=self.idle_nudges,
            longest_call_ms=_ms(longest),
            warning_ms=_ms(warning),
            tool_ms=_ms(self.tool_seconds),
            hold_ms=_ms(self.hold_seconds),
            first_sound_ms=_ms(self.first_sound_seconds),
        )


class BuiltinToolsForm(Form):
    end_call: bool = Field(default=True, description="true or false")
    transfer_to_human: bool = Field(default=True, description="true or false")
    send_digits: bool = Field(default=True, description="true or false")


class OutboundForm(Form):
    greeting: TextOrNone = Field(
        default=_OUTBOUND.greeting, description="text, or '' for the agent's usual greeting"
    )
    voicemail: TextOrNone = Field(
        default=_OUTBOUND.voicemail, description="text, or '' to hang up on answering machines"
    )

    def outbound(self) -> Outbound:
        return Outbound(self.greeting, self.voicemail)


class AfterCallForm(Form):
    summary: bool = Field(default=False, description="true or false")


class RecordingForm(Form):
    enabled: bool = Field(default=False, description="true or false")
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
