"""Loads the agent file: TOML in, an Agent and its tools out. Every fault names its line."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from app.call.agent import Agent, ToolSpec
from app.call.destinations import Destination
from app.call.exits.built_in_tools import BUILT_IN, END_CALL, offered
from app.config.agent.demo import Demo, DemoForm, DemoLineForm
from app.config.agent.forms import (
    AfterCallForm,
    BuiltinToolsForm,
    LimitsForm,
    ModelForm,
    OutboundForm,
    RecordingForm,
    RecordingRules,
    TranscriptionForm,
    TurnsForm,
)
from app.config.agent.transfer import DestinationForm, TransferForm
from app.config.agent.voice import VOICE_KEYS, VoiceForm
from app.config.toml_lines import KeyPath, read_toml, shown
from app.errors import ConfigError
from app.tools.loading import load_tools
from app.tools.registry import ToolRegistry
from app.wires.form import Form, Text, TextOrNone
from app.wires.realtime.models import takes
from app.wires.voices.provider import VoiceSettings

BUILT_IN_AGENT = Path(__file__).with_name("receptionist.toml")
# The destination of TRANSFER_NUMBER. The model sees its name and description.
_DEFAULT_DESTINATION = Destination("human", "", "a person who can help with whatever you cannot")


@dataclass(frozen=True, slots=True)
class LoadedAgent:
    """An agent file's contents, validated."""

    agent: Agent
    #: Runs the functions of the tools file. Built-in tools are in `agent.tools` only.
    tools: ToolRegistry
    #: The file that it was read from.
    path: Path
    recording: RecordingRules = RecordingRules()
    #: For the embedded model, if OPENAI_API_KEY is not set.
    demo: Demo = Demo()
    #: The https URL of the music during a warm transfer. Empty: Twilio's own music.
    hold_music: str = ""
    #: Whether the model summarizes each call after its end.
    summary: bool = False
    #: The settings of `agent.voices`, without credentials; see `open_voices`.
    voices: tuple[VoiceSettings, ...] = ()
    #: What is set and has no effect, `file:line: key: …`.
    warnings: tuple[str, ...] = ()
    #: The agent of a softphone's call: transfers ring in the page, so that an agent without
    #: destinations has one there, and none is warm. None: as `agent`.
    at_softphone: Agent | None = None


def load_agent(
    path: Path | None, transfer_number: str | None = None, *, model: str = ""
) -> LoadedAgent:
    """Load an agent file, and execute its tools file.

    Args:
        path: The agent file. None: the built-in agent's.
        transfer_number: E.164. The only destination of transfers if the file has none.
        model: The model that calls speak with, as `Endpoint.model_name` gives it. Keys that it is
            known not to take are left out, see `LoadedAgent.warnings`.

    Raises:
        ConfigError: one line per fault, `file:line: key: expected …, got …`.
    """
    path = path or BUILT_IN_AGENT
    try:
        data, lines = read_toml(path)
    except OSError as error:
        raise ConfigError(
            f"AGENT_FILE: cannot read {path}: {error.strerror}; set it to your agent's TOML file, "
            "or remove it to use the built-in agent"
        ) from None
    try:
        form = AgentForm.model_validate(data)
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
                "expected a Python file, relative to the agent file"
            ) from None
    form, warnings = _without_untaken(form, model, lines)
    agent = form.agent(tools.specs, transfer_number)
    problems = [
        *_transfer_problems(form, lines),
        *_demo_problems(form, agent, lines),
    ]
    if problems:
        problems.sort(key=lambda each: each[0])
        raise ConfigError(*(f"{path}:{line}: {problem}" for line, problem in problems))
    return LoadedAgent(
        agent,
        tools,
        path,
        recording=form.recording.recording(),
        demo=form.demo.demo(),
        hold_music=form.transfer.hold_music,
        summary=form.after_call.summary,
        voices=form.voice.external(form.language),
        warnings=tuple(f"{path}:{line}: {warning}" for line, warning in sorted(warnings)),
        at_softphone=_at_softphone(form.agent(tools.specs, transfer_number or "")),
    )


def _at_softphone(agent: Agent) -> Agent:
    return replace(
        agent, destinations=tuple(replace(each, warm=False) for each in agent.destinations)
    )


# --- the file -------------------------------------------------------------------------------------


class AgentForm(Form):
    #: The agent's name, for records, the log and the terminal. Callers do not hear it unless the
    #: greeting says it.
    name: Text = Field(description="the agent's name")
    #: The model's instructions.
    instructions: Text = Field(description="the model's instructions")
    #: What the agent says first on an incoming call.
    greeting: TextOrNone = Field(default="", description="text, or '' to let the caller begin")
    #: The language of the agent, for transcription, Twilio's own sentences and external voices.
    language: str = Field(
        default="en", pattern="^[a-z]{2}$", description="a two-letter ISO 639-1 code such as 'en'"
    )
    #: A Python file with `@tool` functions. Its path is relative to the agent file.
    tools: Text | None = Field(default=None, description="the name of a Python file")
    #: Who speaks: the model, or an external voice.
    voice: VoiceForm = Field(default=VoiceForm(), description="a table: [voice]")
    #: When the caller's turn begins and ends.
    turns: TurnsForm = Field(default=TurnsForm(), description="a table: [turns]")
    #: How the model works out its answers. Without a key, the model decides.
    model: ModelForm = Field(default=ModelForm(), description="a table: [model]")
    #: How the caller's speech is transcribed.
    transcription: TranscriptionForm = Field(
        default=TranscriptionForm(), description="a table: [transcription]"
    )
    #: How long things may take, and how often they may be repeated.
    limits: LimitsForm = Field(default=LimitsForm(), description="a table: [limits]")
    #: Which built-in tools the model has.
    builtin_tools: BuiltinToolsForm = Field(
        default=BuiltinToolsForm(), description="a table: [builtin_tools]"
    )
    #: The humans that callers can be transferred to.
    transfer: TransferForm = Field(default=TransferForm(), description="a table: [transfer]")
    #: What differs when the agent places the call.
    outbound: OutboundForm = Field(default=OutboundForm(), description="a table: [outbound]")
    #: What happens after the call.
    after_call: AfterCallForm = Field(default=AfterCallForm(), description="a table: [after_call]")
    #: Whether calls are recorded.
    recording: RecordingForm = Field(default=RecordingForm(), description="a table: [recording]")
    #: What the embedded model knows, for `demo` and for `serve` without OPENAI_API_KEY.
    demo: DemoForm = Field(default=DemoForm(), description="a table: [demo]")

    def agent(self, tools: tuple[ToolSpec, ...], transfer_number: str | None) -> Agent:
        """The Agent. `tools`: from the tools file; the built-in tools precede them.
        `transfer_number`: the only destination if the file has none; empty: of a softphone."""
        destinations = tuple(each.destination() for each in self.transfer.destinations)
        if not destinations and transfer_number is not None:
            destinations = (replace(_DEFAULT_DESTINATION, address=transfer_number),)
        return Agent(
            name=self.name,
            instructions=self.instructions,
            greeting=self.greeting,
            language=self.language,
            voice=self.voice.own_voice(),
            voices=tuple(each.label for each in self.voice.external(self.language)),
            turns=self.turns.turn_taking(self.language),
            model=self.model.options(),
            transcription=self.transcription.transcription(),
            limits=self.limits.limits(model=self.model),
            tools=(*offered(self.builtin_tools.names, destinations), *tools),
            destinations=destinations,
            outbound=self.outbound.outbound(),
        )


# --- error messages -------------------------------------------------------------------------------

_Keys = Mapping[str, FieldInfo]
_TABLES: dict[KeyPath, _Keys] = {
    (): AgentForm.model_fields,
    **{
        (name,): field.annotation.model_fields
        for name, field in AgentForm.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Form)
    },
    ("demo", "lines"): DemoLineForm.model_fields,
    ("transfer", "destinations"): DestinationForm.model_fields,
    ("voice",): {**VOICE_KEYS, "fallback": VoiceForm.model_fields["fallback"]},
    ("voice", "fallback"): VOICE_KEYS,
}


def _problem(error: ErrorDetails, lines: Mapping[KeyPath, int]) -> tuple[int, str]:
    """The line and the message of a validation error."""
    line = _line(tuple(map(str, error["loc"])), lines)
    # Indexes are omitted from the key: the line identifies the table.
    path = tuple(part for part in error["loc"] if isinstance(part, str))
    key = ".".join(path)
    keys = _TABLES.get(path[:-1], _TABLES.get(path[:2], AgentForm.model_fields))
    match error["type"]:
        case "extra_forbidden":
            return line, f"{key}: unknown key; {_advice(path, keys)}"
        case "fault":
            return line, f"{key}: {error['msg']}"
        case "missing":
            return line, f"{key}: missing; expected {keys[path[-1]].description}"
        case "expected":
            expected: str | None = error["msg"]
        case _:
            expected = keys[path[-1]].description
    return line, f"{key}: expected {expected}, got {shown(error['input'])}"


def _line(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 1)


def _without_untaken(
    form: AgentForm, model: str, lines: Mapping[KeyPath, int]
) -> tuple[AgentForm, list[tuple[int, str]]]:
    """The form without the keys that its models are known not to take, and a warning for each."""
    warnings = []
    for table, named, fix in (
        (form.model, model, "; or set OPENAI_REALTIME_MODEL to a reasoning model"),
        (form.transcription, form.transcription.model, ""),
    ):
        name = "model" if table is form.model else "transcription"
        given = (key for key in table.model_fields_set if getattr(table, key) not in (None, "", []))
        untaken = [key for key in given if not takes(named, key)]
        for key in untaken:
            said = f"{name}.{key}: {named} takes no {key}, so it is left out; remove it{fix}"
            warnings.append((_line((name, key), lines), said))
        defaults = {key: type(table).model_fields[key].get_default() for key in untaken}
        form = form.model_copy(update={name: table.model_copy(update=defaults)})
    return form, warnings


def _transfer_problems(form: AgentForm, lines: Mapping[KeyPath, int]) -> Iterator[tuple[int, str]]:
    """Faults across [[transfer.destinations]], with their lines."""
    for number, key, problem in form.transfer.problems():
        place = ("transfer", "destinations", str(number), key)
        yield _line(place, lines), f"transfer.destinations.{key}: {problem}"


def _demo_problems(
    form: AgentForm, agent: Agent, lines: Mapping[KeyPath, int]
) -> Iterator[tuple[int, str]]:
    """Faults of [[demo.lines]] against the agent's tools, with their lines."""
    # Demo lines may use transfer_to_human although TRANSFER_NUMBER is not set (yet).
    destinations = agent.destinations or (_DEFAULT_DESTINATION,)
    built_in = offered(form.builtin_tools.names, destinations)
    tools = {spec.name: spec for spec in (*agent.tools, *built_in)}
    taken: set[str] = set()
    for number, line in enumerate(form.demo.lines):
        faults = []
        for key, phrases in (("hears", line.hears), ("keywords", line.keywords)):
            twice = next((each for each in phrases if each.lower() in taken), None)
            if twice is not None:
                faults.append((key, f"a line above has {twice!r} already; remove one of them"))
        taken.update(each.lower() for each in (*line.hears, *line.keywords))
        if line.tool == END_CALL:
            faults.append(("tool", f"write ends_call = true in place of tool = '{line.tool}'"))
        elif line.tool in BUILT_IN and line.tool not in tools:
            faults.append(("tool", f"{line.tool} is switched off in [builtin_tools]"))
        elif line.tool and line.tool not in tools:
            faults.append(("tool", _no_tool(line.tool, [*tools])))
        elif line.tool:
            faults += [("arguments", each) for each in _misfits(tools[line.tool], line.arguments)]
        if line.ends_call and END_CALL not in tools:
            faults.append(("ends_call", f"{END_CALL} is switched off in [builtin_tools]"))
        for key, problem in faults:
            place = ("demo", "lines", str(number), key)
            yield _line(place, lines), f"demo.lines.{key}: {problem}"


def _no_tool(name: str, known: list[str]) -> str:
    known = [each for each in known if each != END_CALL]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"there is no tool '{name}'; did you mean '{near[0]}'?"
    return f"there is no tool '{name}'; " + (
        f"known here: {', '.join(known)}" if known else "this agent has none"
    )


def _misfits(tool: ToolSpec, arguments: Mapping[str, object]) -> Iterator[str]:
    """Arguments that a tool does not have, and required ones that are missing. Values are not
    validated."""
    known = list(tool.parameters.get("properties", {}))
    for name in arguments:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            yield f"{tool.name} has no argument '{name}'; {takes}"
    for name in tool.parameters.get("required", ()):
        if name not in arguments:
            yield f"{tool.name} needs the argument '{name}'"


def _advice(path: KeyPath, keys: _Keys) -> str:
    key = path[-1]
    known = list(keys)
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    owners = [place for place, table in _TABLES.items() if key in table]
    owners.sort(key=lambda place: place[:1] != path[:1])  # those of this table come first
    if owners and not owners[0]:
        return "it belongs at the top of the file, above the first [table]"
    if owners:
        name = ".".join(owners[0])
        return f"it belongs under {f'[[{name}]]' if len(owners[0]) > 1 else f'[{name}]'}"
    return f"known here: {', '.join(known)}"
