"""The agent's voice in the demo, and a call in which a stand-in's voice is interrupted."""

import io
from contextlib import aclosing
from pathlib import Path

import pytest
from rich.console import Console

from app.audio import ULAW_BYTES_PER_MS, pcm16_dbfs
from app.cli.demo.call import CALLER_VOICE, hold_call
from app.cli.demo.screen import Screen
from app.cli.demo.voices import DemoVoice, speaker
from app.config.agent.example import EXAMPLE_AGENT
from app.config.agent.file import LoadedAgent, load_agent
from app.errors import ConfigError
from app.simulator.speech import speak
from app.simulator.twilio import Call
from app.wires.voices.provider import Credentials
from app.wires.voices.providers import open_voices

STAND_INS = [each for each in DemoVoice if each is not DemoVoice.OWN]
GREETING = "Hello."
STORY = "There was once a baker who baked a thousand loaves of bread on every day of the long year."
AGENT = f"""name = "Mia"
instructions = "Tell stories."
greeting = "{GREETING}"

[[transfer.destinations]]
name = "teller"
number = "+15550100042"

[[demo.lines]]
hears = ["please tell me a story"]
says = "{STORY}"

[[demo.lines]]
hears = ["stop it now"]
says = "All right."
"""


def with_voice(tmp_path: Path, voice: str) -> LoadedAgent:
    path = tmp_path / "agent.toml"
    path.write_text(f"{AGENT}\n{voice}", encoding="utf-8")
    return load_agent(path)


@pytest.mark.parametrize("voice", STAND_INS)
async def test_each_providers_stand_in_speaks_for_the_agent(voice: DemoVoice) -> None:
    async with speaker(load_agent(EXAMPLE_AGENT), voice) as speaking:
        assert "local stand-in" in speaking.note and speaking.agent.agent.voices[0] in speaking.note
        given = {
            name.upper(): secret.get_secret_value() for name, secret in speaking.secrets.items()
        }
        (opened,) = open_voices(speaking.agent.voices, Credentials(given))
        line = opened.line()
        async with aclosing(line.say("One moment, please.")) as sounds:
            pcm = b"".join([sound.pcm async for sound in sounds])
        await opened.aclose()
    assert (opened.label,) == speaking.agent.agent.voices
    assert -40 < pcm16_dbfs(pcm) < -10


async def test_without_a_voice_the_model_speaks_and_a_note_says_so(
    tmp_path: Path,
) -> None:
    async with speaker(load_agent(EXAMPLE_AGENT), None) as speaking:
        assert not speaking.agent.voices and not speaking.secrets and not speaking.note
    loaded = with_voice(tmp_path, '[voice]\nprovider = "qwen"')
    async with speaker(loaded, None) as speaking:
        assert not speaking.agent.voices and not speaking.agent.agent.voices
        assert "agent.toml" in speaking.note and "--voice own" in speaking.note


async def test_the_files_own_voices_speak_with_the_credentials_of_the_environment(
    tmp_path: Path,
) -> None:
    loaded = with_voice(tmp_path, '[voice]\nprovider = "qwen"\nfallback = ["openai"]')
    async with speaker(loaded, DemoVoice.OWN) as speaking:
        assert speaking.agent is loaded and not speaking.secrets
        assert speaking.note == "It speaks with the voices of agent.toml: qwen/Cherry."


async def test_a_file_without_external_voices_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="--voice own: .*pizzeria.toml names no voice"):
        async with speaker(load_agent(EXAMPLE_AGENT), DemoVoice.OWN):
            pass


async def test_a_missing_credential_is_named_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    path = with_voice(tmp_path, '[voice]\nprovider = "qwen"').path
    console = Console(width=200, record=True, file=io.StringIO())
    with pytest.raises(ConfigError, match="^DASHSCOPE_API_KEY: expected a value"):
        await hold_call(None, Screen(console), tmp_path, path, DemoVoice.OWN)
    assert not console.export_text()


async def test_a_caller_interrupts_the_stand_ins_voice_and_the_model_gets_the_heard_text(
    tmp_path: Path,
) -> None:
    async def caller(call: Call) -> None:
        await call.wait_connected()
        await call.wait_heard(1)
        await call.wait_quiet(300)
        call.say(speak("Please tell me a story.", voice=CALLER_VOICE))
        await call.wait_spoken()
        before = len(call.heard)
        await call.wait_heard(before + 1500 * ULAW_BYTES_PER_MS)
        call.say(speak("Stop it now.", voice=CALLER_VOICE))
        await call.wait_spoken()
        await call.wait_heard(len(call.heard) + 1)
        call.hang_up()

    console = Console(width=300, record=True, file=io.StringIO())
    path = with_voice(tmp_path, "").path
    whole = await hold_call(caller, Screen(console), tmp_path, path, DemoVoice.QWEN)
    shown = console.export_text()
    assert "It speaks as qwen/Cherry. That is a local stand-in" in shown
    assert "qwen/Cherry speaks" in shown
    assert "the agent falls silent: Twilio's buffer cleared" in shown

    report, record = whole.report, whole.record()
    (cut,) = report.interruptions
    assert 1000 < cut.heard_ms < cut.generated_ms
    (turn,) = (turn for turn in report.turns if turn.interrupted and turn.role == "assistant")
    assert turn.heard and turn.unheard and f"{turn.heard} {turn.unheard}" == STORY
    assert f"becomes what was heard: “{turn.heard}”" in shown
    texts = [said["text"] for said in record["transcript"] if said["role"] == "assistant"]
    assert texts[:2] == [GREETING, turn.heard]
