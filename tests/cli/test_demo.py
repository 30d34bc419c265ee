"""What the demo prints: of a caller who is transferred to a human, of the voices that speak."""

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from app.audio import silence
from app.call import commands as do
from app.call import events as ev
from app.call.destinations import Destination
from app.cli.demo.call import ASK_AGAIN, ASK_FOR_HUMAN, CALLER_VOICE, COUGH, show_humans
from app.cli.demo.screen import Screen
from app.cli.root import cli
from app.config.agent.example import EXAMPLE_AGENT
from app.config.agent.file import load_agent
from app.records.redaction import TRACE
from app.simulator.realtime.config import AudioFormat
from app.simulator.realtime.vad import InputBuffer
from app.simulator.receptionist.ears import SileroDetector
from app.simulator.receptionist.grammar import Grammar
from app.simulator.receptionist.recognizer import Recognizer
from app.simulator.speech import speak
from app.simulator.twilio import Callee, PhoneLine
from app.wires.twilio.call import CallInfo
from app.wires.voices.http.settings import HttpSettings
from app.wires.voices.http.voice import HttpVoice
from tests.simulator.twilio.twilio_bridge import PUBLIC, TOKEN, TinyBridge, tiny_bridge

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")

MANAGER = Destination("shift manager", "+15550100042")
DIAL = f'<Dial action="/dialed"><Number url="/whisper">{MANAGER.address}</Number></Dial>'
WHISPER = '<Gather numDigits="1" action="/pressed"><Say>Press 1, Ada.</Say></Gather><Hangup/>'


def recorded() -> Console:
    return Console(width=200, record=True, file=io.StringIO())


def lines(console: Console) -> list[str]:
    """What was printed, without the times."""
    return [" ".join(line.split()[2:]) for line in console.export_text().splitlines()]


async def told(bridge: TinyBridge, callee: Callee) -> list[str]:
    """What is printed of a call that is transferred to the manager, who behaves like `callee`."""
    bridge.answer("/incoming-call", DIAL)
    bridge.answer("/whisper", WHISPER)
    bridge.answer("/pressed", "")
    console = recorded()
    async with PhoneLine(
        bridge.url, auth_token=TOKEN, public_url=PUBLIC, ring_scale=0.001, say_ms=0
    ) as line:
        line.callees[MANAGER.address] = callee
        call = await line.call()
        await show_humans(call, MANAGER, Screen(console))
        await call.wait_ended()
    return lines(console)


async def test_a_human_who_takes_the_call_is_shown_step_by_step() -> None:
    async with tiny_bridge() as bridge:
        said = await told(bridge, Callee(presses="1", talks_ms=20))
    assert said == [
        "line +15550100042 rings, shift manager",
        "human picks up, and hears:",
        "human “Press 1, Ada.”",
        "human presses 1",
        "line the caller and the shift manager talk",
        "line the shift manager hangs up (completed)",
        "line the call is over",
    ]


async def test_a_human_who_does_not_answer_is_shown_so() -> None:
    async with tiny_bridge() as bridge:
        said = await told(bridge, Callee(goes="no-answer"))
    assert said == [
        "line +15550100042 rings, shift manager",
        "line not accepted (no-answer)",
        "line the call is over",
    ]


@pytest.mark.parametrize("asked", [ASK_FOR_HUMAN, ASK_AGAIN])
def test_the_embedded_model_understands_that_the_caller_wants_a_person(asked: str) -> None:
    demo = load_agent(EXAMPLE_AGENT).demo
    (line,) = (line for line in demo.lines if line.tool == "transfer_to_human")
    phrases = [phrase for each in demo.lines for phrase in each.hears]
    keywords = [keyword for each in demo.lines for keyword in each.keywords]
    recognizer = Recognizer(Grammar(phrases, keywords=keywords, names=demo.names))
    heard = recognizer.recognize(silence(300) + speak(asked, voice=CALLER_VOICE) + silence(500))
    assert heard is not None and heard.phrase in (*line.hears, *line.keywords)


def test_a_caller_who_returns_from_a_transfer_is_shown_with_the_tools_result() -> None:
    console = recorded()
    screen = Screen(console)
    messages: list[ev.Event | do.Command] = [
        ev.LegOpened(),
        ev.StreamStarted("MZ1"),
        do.TransferCall("call_1", ("shift manager", "owner"), "", "", announced=True),
        do.EndLeg("transfer"),
        ev.LegOpened((), 0.0, "transfer_to_human", "call_1", "No human took the call."),
        do.AddMessage("e1", "user", "Hello."),
        do.AddMessage("e2", "assistant", "Good day."),
        do.CreateResponse("e3", "Say what happened."),
        ev.StreamStarted("MZ2"),
        do.CreateResponse("e4"),
        do.EndLeg("caller"),
    ]
    for message in messages:
        screen.watch(CallInfo("CA1"), message, 1000.0)
    assert lines(console) == [
        "line the caller is connected",
        "bridge the announcement was heard to its last mark; Twilio rings shift manager, owner",
        "line the stream is over (transfer)",
        "tool → No human took the call.",
        "bridge the new session gets the conversation, in 2 messages",
        "line the caller is back with the agent, in a new stream",
        "line the stream is over (caller)",
    ]


def shown(*messages: ev.Event | do.Command) -> list[str]:
    """What is printed of these messages."""
    console = recorded()
    screen = Screen(console)
    for message in messages:
        screen.watch(CallInfo("CA1"), message, 1000.0)
    return lines(console)


def test_a_cough_is_shown_and_that_the_agent_went_on() -> None:
    assert shown(
        ev.SpeechStarted("user_1", 0),
        do.ClearAudio(800),
        ev.SpeechStopped("user_1", 500),
        ev.CallerTranscribed("user_1", ""),
        do.ReportInterruption("false", "no words", 1028.4),
        do.PlayAudio("item_1", "", 800),
    ) == [
        "caller …",
        "bridge the agent falls silent: Twilio's buffer cleared",
        "caller (no words)",
        "bridge a cough: the agent went on after 1028 ms",
    ]


def test_an_interruption_is_shown_with_what_confirmed_it() -> None:
    confirmed = do.ReportInterruption("confirmed", "600 ms of voice", 600.0)
    assert shown(confirmed) == ["bridge an interruption: 600 ms of voice"]


def test_a_change_of_the_sessions_settings_is_not_shown() -> None:
    ready, configured = "bridge the model's session is ready", ev.SessionConfigured()
    assert shown(ev.ModelOpened(), configured, configured) == [ready]
    assert shown(configured, ev.ModelOpened(), configured) == [ready, ready]


def test_the_embedded_model_hears_the_cough_and_no_words_in_it() -> None:
    demo = load_agent(EXAMPLE_AGENT).demo
    phrases = [phrase for each in demo.lines for phrase in each.hears]
    keywords = [keyword for each in demo.lines for keyword in each.keywords]
    recognizer = Recognizer(Grammar(phrases, keywords=keywords, names=demo.names))
    sound = silence(300) + speak(COUGH, voice=CALLER_VOICE) + silence(500)
    assert recognizer.recognize(sound) is None

    buffer = InputBuffer(SileroDetector)
    buffer.configure(AudioFormat("audio/pcmu"), {"type": "server_vad"})
    assert [edge.started for edge in buffer.append(sound)][:1] == [True]


# --- other voices ---------------------------------------------------------------------------------

HERE = "http://127.0.0.1/stream-audio"
VOICES = [HttpVoice(HttpSettings(HERE, voice_id=name)) for name in ("Ann", "Bob")]


def test_it_shows_which_voice_speaks_which_takes_over_and_what_was_heard() -> None:
    console = recorded()
    screen = Screen(console)
    screen.begin("Mia", "pizzeria.toml", VOICES, "It speaks as http/Ann.")
    messages: list[ev.Event | do.Command] = [
        do.ConfigureSession("e1", speaks=False),
        do.Synthesize("u1", "item_1", "One moment.", 0),
        do.Synthesize("u2", "item_1", "Two moments.", 0),
        ev.VoiceFailed("u2", "http/Ann at 127.0.0.1: nothing came for 5 s"),
        do.Synthesize("u2", "item_1", "Two moments.", 1),
        do.AddMessage("e2", "assistant", "One moment. Two", "bridge_heard_2", "item_1"),
        do.CreateResponse("e3"),
        do.ConfigureSession("e4", speaks=True),
    ]
    for message in messages:
        screen.watch(CallInfo("CA1"), message, 1000.0)
    assert "It speaks as http/Ann." in console.export_text(clear=False)
    assert lines(console)[-5:] == [
        "voice http/Ann speaks",
        "voice http/Ann at 127.0.0.1: nothing came for 5 s",
        "voice http/Bob speaks",
        "bridge its answer in the conversation becomes what was heard: “One moment. Two”",
        "bridge no voice is left: the model speaks itself",
    ]


def test_a_model_that_speaks_itself_from_the_start_is_not_announced() -> None:
    console = recorded()
    screen = Screen(console)
    screen.begin("Mia", "pizzeria.toml", [], "")
    screen.watch(CallInfo("CA1"), do.ConfigureSession("e1", speaks=True), 1000.0)
    assert "speaks" not in console.export_text()


@pytest.mark.parametrize(
    ("voice", "told"), [("own", "--voice own: "), ("unknown", "'unknown' is not one of 'qwen'")]
)
def test_a_voice_that_is_not_available_is_named_with_status_2(
    tmp_path: Path, voice: str, told: str
) -> None:
    result = CliRunner().invoke(cli, ["demo", "--voice", voice, "--keep", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr and "Traceback" not in result.stderr


def test_a_tool_that_fails_is_shown_with_its_name_and_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def call_with_a_failing_tool(*_: object) -> bool:
        logger = logging.getLogger("app.bridge.leg.tool_side")
        logger.error("tool failed", extra={"tool": "menu", TRACE: "KeyError: 'funghi'"})
        return False

    monkeypatch.setattr("app.cli.root.run_demo", call_with_a_failing_tool)

    result = CliRunner().invoke(cli, ["demo"])

    assert result.exit_code == 1
    assert "tool failed tool=menu\nKeyError: 'funghi'\n" in result.stderr
