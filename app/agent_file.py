"""The agent file: TOML in, an Agent and its tools out, every fault named with its line."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from app.call.agent import Agent, Limits, ToolSpec, Transcription, TurnTaking, Voice
from app.errors import ConfigError
from app.toml_lines import KeyPath, key_lines
from app.tools.builtin import END_CALL
from app.tools.loading import load_tools
from app.tools.registry import ToolRegistry

BUILT_IN_AGENT = Path(__file__).parent / "agents" / "receptionist.toml"

_VOICE, _TURNS, _TRANSCRIPTION, _LIMITS = Voice(), TurnTaking(), Transcription(), Limits()
_DAY_SECONDS = 86_400
_MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class LoadedAgent:
    """An agent ready to take calls. `tools` runs the functions of its tools file; built-in tools
    are in `agent.tools` only. `path`: the file it was read from."""

    agent: Agent
    tools: ToolRegistry
    path: Path


def load_agent(path: Path | None) -> LoadedAgent:
    """Read an agent file, or the built-in agent's for None. Runs its tools file.

    Raises:
        ConfigError: one line per fault, `file:line: key: what is expected, what was found`.
    """
    path = path or BUILT_IN_AGENT
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(path, text, str(error))) from None
    lines = key_lines(text)
    try:
        form = _AgentForm.model_validate(data)
    except ValidationError as error:
        found = sorted((_problem(each, lines) for each in error.errors()), key=lambda each: each[0])
        raise ConfigError(*(f"{path}:{line}: {problem}" for line, problem in found)) from None

    tools = ToolRegistry()
    if form.tools:
        tools_path = path.parent / form.tools
        try:
            tools = load_tools(tools_path)
        except OSError as error:
            raise ConfigError(
                f"{path}:{lines['tools',]}: tools: cannot read {tools_path}: {error.strerror}; "
                "name a Python file beside this one"
            ) from None
    built_in = (END_CALL,) if form.builtin_tools.end_call else ()
    return LoadedAgent(form.agent((*built_in, *tools.specs)), tools, path)


# --- the form -------------------------------------------------------------------------------------
# A field's description is what a fault says was expected.


def _not_blank(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError
    return value.strip()


_Text = Annotated[str, AfterValidator(_not_blank)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _VoiceForm(_Form):
    name: _Text = Field(default=_VOICE.name, description="a voice's name, such as 'marin'")
    speed: float = Field(
        default=_VOICE.speed, ge=0.25, le=1.5, description="a number from 0.25 to 1.5"
    )


class _TurnsForm(_Form):
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
        # The model would refuse the whole session for a key of the other detection.
        owner = "semantic_vad" if info.field_name == "eagerness" else "server_vad"
        if info.data.get("detection", owner) != owner:
            raise PydanticCustomError(
                "fault", "belongs to detection = '{owner}'; remove it or change detection",
                {"owner": owner},
            )  # fmt: skip
        return value


class _TranscriptionForm(_Form):
    model: str = Field(
        default=_TRANSCRIPTION.model, description="a model's name, or '' for no transcripts"
    )
    prompt: str = Field(default=_TRANSCRIPTION.prompt, description="text")

    @field_validator("prompt")
    @classmethod
    def _is_taken(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("model") == "gpt-realtime-whisper":
            raise PydanticCustomError("fault", "gpt-realtime-whisper takes no prompt; remove it")
        return value


class _LimitsForm(_Form):
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
            # Our own default must not outlast a short call.
            warning = min(warning, longest / 2)
        return Limits(
            idle_ms=_ms(self.idle_seconds),
            idle_nudges=self.idle_nudges,
            longest_call_ms=_ms(longest),
            warning_ms=_ms(warning),
            tool_ms=_ms(self.tool_seconds),
            hold_ms=_ms(self.hold_seconds),
        )


class _BuiltinToolsForm(_Form):
    end_call: bool = Field(default=True, description="true or false")


class _AgentForm(_Form):
    name: _Text = Field(description="the agent's name")
    instructions: _Text = Field(description="what the agent is told about its work")
    greeting: str = Field(default="", description="text, or '' to let the caller begin")
    language: str = Field(
        default="en", pattern="^[a-z]{2}$", description="a two-letter ISO 639-1 code such as 'en'"
    )
    tools: _Text | None = Field(default=None, description="the name of a Python file")
    voice: _VoiceForm = Field(default=_VoiceForm(), description="a table: [voice]")
    turns: _TurnsForm = Field(default=_TurnsForm(), description="a table: [turns]")
    transcription: _TranscriptionForm = Field(
        default=_TranscriptionForm(), description="a table: [transcription]"
    )
    limits: _LimitsForm = Field(default=_LimitsForm(), description="a table: [limits]")
    builtin_tools: _BuiltinToolsForm = Field(
        default=_BuiltinToolsForm(), description="a table: [builtin_tools]"
    )

    def agent(self, tools: tuple[ToolSpec, ...]) -> Agent:
        return Agent(
            name=self.name,
            instructions=self.instructions,
            greeting=self.greeting.strip(),
            language=self.language,
            voice=Voice(**self.voice.model_dump()),
            turns=TurnTaking(**self.turns.model_dump()),
            transcription=Transcription(**self.transcription.model_dump()),
            limits=self.limits.limits(),
            tools=tools,
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


# --- saying what is wrong -------------------------------------------------------------------------

_TABLES: dict[str, type[_Form]] = {
    name: field.annotation
    for name, field in _AgentForm.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Form)
}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; save the file again as UTF-8") from None
    except OSError as error:
        raise ConfigError(
            f"AGENT_FILE: cannot read {path}: {error.strerror}; set it to your agent's TOML file, "
            "or leave it out for the built-in agent"
        ) from None


def _syntax_problem(path: Path, text: str, said: str) -> str:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", said)
    what = said[: place.start()] if place else said
    if place is None or place[1] is None:
        return (
            f"{path}:{len(text.splitlines()) or 1}: not valid TOML: {what} at the end of the file"
        )
    return f"{path}:{place[1]}: not valid TOML: {what} at column {place[2]}"


def _problem(error: ErrorDetails, lines: Mapping[KeyPath, int]) -> tuple[int, str]:
    """The line of a fault, and the fault in words."""
    path = tuple(str(part) for part in error["loc"])
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 1)
    key = ".".join(path)
    form: type[_Form] = _TABLES[path[0]] if len(path) > 1 else _AgentForm
    match error["type"]:
        case "extra_forbidden":
            return line, f"{key}: unknown key; {_advice(path, form)}"
        case "fault":
            return line, f"{key}: {error['msg']}"
        case "missing":
            return line, f"{key}: missing; expected {form.model_fields[path[-1]].description}"
        case "expected":
            expected: str | None = error["msg"]
        case _:
            expected = form.model_fields[path[-1]].description
    return line, f"{key}: expected {expected}, got {_shown(error['input'])}"


def _advice(path: KeyPath, form: type[_Form]) -> str:
    key = path[-1]
    known = list(form.model_fields)
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    if len(path) > 1 and key in _AgentForm.model_fields:
        return "it belongs at the top of the file, above the first [table]"
    owner = next((name for name, table in _TABLES.items() if key in table.model_fields), None)
    if owner and owner != path[0]:
        return f"it belongs under [{owner}]"
    return f"known here: {', '.join(known)}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[:_MAX_SHOWN_CHARACTERS] + "…"
