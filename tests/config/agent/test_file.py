"""The agent file: the Agent that it gives, and the errors for a faulty file."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.call.agent import Agent, Limits, Transcription, TurnTaking, Voice
from app.call.exits.built_in_tools import BUILT_IN, offered
from app.config.agent.file import BUILT_IN_AGENT, load_agent
from app.config.agent.forms import RecordingRules
from app.errors import ConfigError

END_CALL, SEND_DIGITS = offered([*BUILT_IN], ())
EXAMPLES = Path(__file__).parents[3] / "examples"
HEAD = 'name = "Mia"\ninstructions = """\nBe [nice].\nthreshold = 1\n"""\n'  # five lines


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())


def agent_of(text: str) -> Agent:
    Path("agent.toml").write_text(text, encoding="utf-8")
    return load_agent(Path("agent.toml")).agent


def faults(text: str) -> list[str]:
    """The error messages for a file, each from its line number on."""
    with pytest.raises(ConfigError) as caught:
        agent_of(text)
    assert all(line.startswith("agent.toml:") for line in caught.value.problems)
    assert not any("\n" in line for line in caught.value.problems)
    return [line.removeprefix("agent.toml:") for line in caught.value.problems]


# --- valid files ----------------------------------------------------------------------------------


def test_name_and_instructions_are_enough() -> None:
    agent = agent_of(HEAD)

    assert agent == Agent(
        name="Mia",
        instructions="Be [nice].\nthreshold = 1",
        turns=TurnTaking(resume_false_interruptions=True, backchannels=agent.turns.backchannels),
        tools=(END_CALL, SEND_DIGITS),
    )
    assert {"yeah", "m hm", "okay"} <= set(agent.turns.backchannels)


def test_every_key_reaches_the_agent() -> None:
    agent = agent_of(
        HEAD
        + """
        greeting = "  Hello! "
        language = "de"
        [voice]
        name = "cedar"
        speed = 1
        [turns]
        detection = "server_vad"
        threshold = 0.7
        prefix_padding_ms = 200
        silence_ms = 600
        interruptible = false
        resume_false_interruptions = false
        false_interruption_ms = 1500
        backchannels = ["Servus!"]
        [transcription]
        model = ""
        prompt = "Pizza"
        [limits]
        idle_seconds = 0
        idle_nudges = 1
        longest_call_seconds = 90.5
        warning_seconds = 10
        tool_seconds = 120
        hold_seconds = 6.5
        tool_rounds = 3
        [builtin_tools]
        end_call = false
        send_digits = false
        """
    )
    assert (agent.greeting, agent.language, agent.tools) == ("Hello!", "de", ())
    assert agent.voice == Voice("cedar", 1.0)
    turns = TurnTaking("server_vad", 0.7, 200, 600, "auto", False, False, 1500)
    assert replace(agent.turns, backchannels=()) == turns
    assert {"ja", "genau", "m hm", "servus"} <= set(agent.turns.backchannels)
    assert agent.transcription == Transcription("", "Pizza")
    assert agent.limits == Limits(0, 1, 90_500, 10_000, 120_000, 6_500, tool_rounds=3)


def test_semantic_turns_have_their_own_key() -> None:
    turns = agent_of(HEAD + '[turns]\neagerness = "low"\ndetection = "semantic_vad"\n').turns
    assert (turns.detection, turns.eagerness) == ("semantic_vad", "low")


def test_the_default_warning_is_shorter_than_a_short_call() -> None:
    limits = agent_of(HEAD + "[limits]\nlongest_call_seconds = 30\n").limits
    assert (limits.longest_call_ms, limits.warning_ms) == (30_000, 15_000)
    limits = agent_of(HEAD + "[limits]\nlongest_call_seconds = 0\nwarning_seconds = 20\n").limits
    assert (limits.longest_call_ms, limits.warning_ms) == (0, 20_000)


def test_a_file_saved_with_a_byte_order_mark_is_read() -> None:
    assert agent_of("\ufeff" + HEAD).name == "Mia"


@pytest.mark.parametrize("blank", [" ", "\\u0085", "\\u200b\\n", "\\ufeff"])
def test_a_blank_text_is_a_fault(blank: str) -> None:
    file = f'{HEAD}greeting = "{blank}"\n[outbound]\nvoicemail = "{blank}"\n'
    agent = agent_of(f'{file}[transcription]\nmodel = "{blank}"\n')
    assert (agent.greeting, agent.outbound.voicemail, agent.transcription.model) == ("", "", "")
    (message,) = faults(f'name = "{blank}"\ninstructions = "Be brief."\n')
    assert message.startswith("1: name: expected the agent's name, got ")


async def test_the_built_in_agent_works_and_tells_the_time() -> None:
    loaded = load_agent(None)
    assert loaded.path == BUILT_IN_AGENT
    assert loaded.agent.greeting
    assert [spec.name for spec in loaded.agent.tools] == ["end_call", "send_digits", "current_time"]
    assert ":" in await loaded.tools.run("current_time", "{}")


async def test_the_pizzeria_takes_an_order() -> None:
    loaded = load_agent(EXAMPLES / "pizzeria.toml")
    names = [spec.name for spec in loaded.agent.tools]
    assert names[:3] == ["end_call", "transfer_to_human", "send_digits"]
    assert names[3:] == ["menu", "place_order", "find_order"]
    assert '"funghi":9.5' in await loaded.tools.run("menu", '{"size": "small"}')
    order = '{"name": "Bo", "items": [{"pizza": "funghi", "quantity": 2}]}'
    placed = await loaded.tools.run("place_order", order)
    assert '"price_euros":25.0' in placed
    assert await loaded.tools.run("find_order", '{"name": "bo"}') == placed


def test_calls_are_not_recorded_unless_the_file_says_so() -> None:
    agent_of(HEAD)
    assert load_agent(Path("agent.toml")).recording == RecordingRules(False, "")
    agent_of(HEAD + '[recording]\nenabled = true\nannouncement = " This call is recorded. "\n')
    recording = load_agent(Path("agent.toml")).recording
    assert recording == RecordingRules(True, "This call is recorded.")


def test_the_tools_file_is_relative_to_the_agent_file(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    source = "from app.tools import tool\n@tool\ndef stock() -> int:\n    return 3\n"
    (tmp_path / "shop" / "my_tools.py").write_text(source)
    path = tmp_path / "shop" / "agent.toml"
    path.write_text(HEAD + 'tools = "my_tools.py"\n')
    loaded = load_agent(path)
    assert loaded.agent.tools == (END_CALL, SEND_DIGITS, *loaded.tools.specs)
    assert [spec.name for spec in loaded.tools.specs] == ["stock"]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[turns]\n# how loud\nthreshold = "high"\n',
            "8: turns.threshold: expected a number from 0.0 to 1.0, got 'high'",
        ),
        (
            "turns.threshold = nan\n",
            "6: turns.threshold: expected a number from 0.0 to 1.0, got nan",
        ),
        ("[voice]\nspeed = 1.6\n", "7: voice.speed: expected a number from 0.25 to 1.5, got 1.6"),
        ("[voice]\nspeed = true\n", "7: voice.speed: expected a number from 0.25 to 1.5, got true"),
        (
            '[voice]\nname = " "\n',
            "7: voice.name: expected a voice's name, such as 'marin', got ' '",
        ),
        (
            f'recording = {{ announcement = "{"on and " * 50}" }}\n',
            "6: recording.announcement: expected text of 250 bytes at most, or '' for none, "
            f"got '{('on and ' * 50)[:59]}…",
        ),
        ("voice = { speed = 9 }\n", "6: voice.speed: expected a number from 0.25 to 1.5, got 9"),
        ('voice = "marin"\n', "6: voice: expected a table: [voice], got 'marin'"),
        ("[[voice]]\nspeed = 1\n", "6: voice: expected a table: [voice], got an array"),
        (
            '[turns]\ndetection = "vad"\n',
            "7: turns.detection: expected 'server_vad' or 'semantic_vad', got 'vad'",
        ),
        (
            "[turns]\nsilence_ms = 0.5\n",
            "7: turns.silence_ms: expected a whole number of milliseconds from 0 to 10000, got 0.5",
        ),
        (
            'language = "en-US"\n',
            "6: language: expected a two-letter ISO 639-1 code such as 'en', got 'en-US'",
        ),
        (
            "greeting = {}\n",
            "6: greeting: expected text, or '' to let the caller begin, got a table",
        ),
        ('tools = ""\n', "6: tools: expected the name of a Python file, got ''"),
        (
            "[limits]\ntool_rounds = 0\n",
            "7: limits.tool_rounds: expected a whole number from 1 to 100, got 0",
        ),
        (
            "[limits]\ntool_seconds = 121\n",
            "7: limits.tool_seconds: expected a number of seconds from 0.1 to 120, got 121",
        ),
        (
            "[limits]\nhold_seconds = 9\n",
            "7: limits.hold_seconds: expected a number of seconds from 1 to 8, got 9",
        ),
        (
            "[limits]\nwarning_seconds = 60\nlongest_call_seconds = 60\n",
            "7: limits.warning_seconds: expected less than longest_call_seconds, "
            "which is 60, got 60",
        ),
        (
            '[turns]\nthreshold = 0.5\ndetection = "semantic_vad"\n',
            "7: turns.threshold: belongs to detection = 'server_vad'; "
            "remove it or change detection",
        ),
        (
            '[turns]\neagerness = "low"\n',
            "7: turns.eagerness: belongs to detection = 'semantic_vad'; "
            "remove it or change detection",
        ),
        (
            '[transcription]\nmodel = "gpt-realtime-whisper"\nprompt = "x"\n',
            "8: transcription.prompt: gpt-realtime-whisper takes no prompt; remove it",
        ),
        ("[turns]\ntreshold = 1\n", "7: turns.treshold: unknown key; did you mean 'threshold'?"),
        ("[voise]\n", "6: voise: unknown key; did you mean 'voice'?"),
        ("speed = 1\n", "6: speed: unknown key; it belongs under [voice]"),
        (
            '[voice]\ngreeting = "Hi"\n',
            "7: voice.greeting: unknown key; it belongs at the top of the file, "
            "above the first [table]",
        ),
        (
            "[outbound]\nzzz = 1\n",
            "7: outbound.zzz: unknown key; known here: greeting, voicemail, answering_machine",
        ),
        (
            'outbound.greeting = "x"\noutbound.zzz = 1\n',
            "7: outbound.zzz: unknown key; known here: greeting, voicemail, answering_machine",
        ),
    ],
)
def test_a_fault_is_one_line_with_its_place_and_its_fix(text: str, message: str) -> None:
    assert faults(HEAD + text) == [message]


def test_faults_are_reported_together_in_the_order_of_the_file() -> None:
    lines = faults(HEAD + "[limits]\nidle_nudges = -1\n[voice]\nspeed = 0\n[turns]\nx = 1\n")
    assert [line.partition(":")[0] for line in lines] == ["7", "9", "11"]


def test_a_missing_key_is_a_fault() -> None:
    assert faults('greeting = "Hi"\n') == [
        "1: name: missing; expected the agent's name",
        "1: instructions: missing; expected the model's instructions",
    ]
    assert len(faults("")) == 2


def test_a_long_value_is_shortened() -> None:
    (line,) = faults(HEAD + f'language = "{"x" * 500}"\n')
    assert len(line) < 150


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("greeting = Hello\n", "6: not valid TOML: Invalid value at column 12"),
        (
            'greeting = """Hello\n\n',
            "7: not valid TOML: Unterminated string at the end of the file",
        ),
        ('name = "Again"\n', "6: not valid TOML: Cannot overwrite a value at column"),
    ],
)
def test_broken_toml_names_its_line(text: str, message: str) -> None:
    (line,) = faults(HEAD + text)
    assert line.startswith(message)


def test_text_that_is_not_utf8_names_its_line() -> None:
    Path("agent.toml").write_bytes(HEAD.encode() + b'greeting = "Gr\xfc\xdf Gott"\n')
    with pytest.raises(ConfigError, match=r"^agent.toml:6: not UTF-8 text; save the file again"):
        load_agent(Path("agent.toml"))


@pytest.mark.parametrize("path", ["none.toml", "."])
def test_a_file_that_cannot_be_read_names_the_variable(path: str) -> None:
    with pytest.raises(ConfigError, match=rf"^AGENT_FILE: cannot read {path}: .*; set it to your"):
        load_agent(Path(path))


def test_a_missing_tools_file_names_the_line_of_its_key() -> None:
    (line,) = faults(HEAD + 'tools = "none.py"\n')
    assert line.startswith("6: tools: cannot read none.py: ")
    assert line.endswith("; expected a Python file, relative to the agent file")


def test_a_fault_in_the_tools_file_names_that_file() -> None:
    Path("my_tools.py").write_text(
        "from app.tools import tool\n@tool\ndef end_call(): ...\n@tool\ndef book(day): ...\n"
    )
    with pytest.raises(ConfigError) as caught:
        agent_of(HEAD + 'tools = "my_tools.py"\n')
    clash, no_type = caught.value.problems
    assert clash.startswith("my_tools.py:3: end_call: a built-in tool has this name; rename")
    assert no_type == (
        "my_tools.py:5: book: parameter 'day' has no type; write for example 'day: str'"
    )
