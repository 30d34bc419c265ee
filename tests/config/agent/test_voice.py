"""The [voice] of an agent file: the voices that it makes, or its faults line by line."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.call.agent import Voice
from app.config.agent.file import LoadedAgent, load_agent
from app.config.settings import Settings
from app.errors import ConfigError
from app.wires.voices.http.settings import HttpSettings
from app.wires.voices.provider import Credentials, Provider
from app.wires.voices.providers import CREDENTIALS, PROVIDERS, open_voices
from app.wires.voices.qwen.voice import QwenSettings
from app.wires.voices.volcengine.voice import VolcengineSettings

HEAD = 'name = "Mia"\ninstructions = "Be nice."\n[voice]\n'  # three lines
SECRETS = Credentials(
    {
        "DASHSCOPE_API_KEY": "the key",
        "VOLCENGINE_APP_ID": "the app",
        "VOLCENGINE_ACCESS_TOKEN": "the access",
        "VOLCENGINE_API_KEY": "the console",
        "HTTP_VOICE_TOKEN": "the speech",
    }
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, *, before: str = "") -> LoadedAgent:
    Path("agent.toml").write_text(before + HEAD + text, encoding="utf-8")
    return load_agent(Path("agent.toml"))


def faults(text: str) -> list[str]:
    """The faults of a wrong table, each from its line number on."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    return [line.removeprefix("agent.toml:") for line in caught.value.problems]


def test_the_model_speaks_without_a_provider() -> None:
    loaded = load("")
    assert loaded.voices == () and loaded.agent.voices == ()
    assert loaded.agent.voice == Voice("marin", 1.0)


def test_the_model_s_own_voice_has_a_name_and_a_speed() -> None:
    loaded = load('provider = "openai"\nname = "cedar"\nspeed = 1.2\n')
    assert loaded.voices == () and loaded.agent.voice == Voice("cedar", 1.2)


def test_every_key_reaches_qwen() -> None:
    (found,) = load(
        """
        provider = "qwen"
        name = "Moon"
        model = "qwen3-tts-instruct-flash-realtime"
        mode = "server_commit"
        url = "wss://dashscope-intl.aliyuncs.com/api-ws/v1/realtime"
        workspace = "ws-1"
        sample_rate = 24000
        language = "German"
        speed = 1.5
        volume = 60
        pitch = 0.9
        instructions = "Speak warmly."
        optimize_instructions = true
        enable_tn = false
        """
    ).voices
    assert found == QwenSettings(
        api_key="",
        model="qwen3-tts-instruct-flash-realtime",
        voice="Moon",
        mode="server_commit",
        url="wss://dashscope-intl.aliyuncs.com/api-ws/v1/realtime",
        workspace="ws-1",
        sample_rate=24000,
        language_type="German",
        speech_rate=1.5,
        volume=60,
        pitch_rate=0.9,
        instructions="Speak warmly.",
        optimize_instructions=True,
        enable_tn=False,
    )


@pytest.mark.parametrize(
    ("language", "theirs"), [("en", "English"), ("zh", "Chinese"), ("tr", "Auto")]
)
def test_qwen_gets_the_agent_s_language(language: str, theirs: str) -> None:
    (found,) = load('provider = "qwen"\n', before=f'language = "{language}"\n').voices
    assert isinstance(found, QwenSettings) and found.language_type == theirs


def test_every_key_reaches_volcengine() -> None:
    (found,) = load(
        """
        provider = "volcengine"
        name = "zh_female"
        operation = "query"
        cluster = "volcano_icl"
        url = "wss://example.com"
        sample_rate = 16000
        model = "seed-tts-1.1"
        language = "en"
        speed = 1.25
        volume = 0.8
        pitch = 1.1
        emotion = "happy"
        enable_emotion = true
        emotion_scale = 4
        extra_param = "{}"
        gzip = true
        """
    ).voices
    assert found == VolcengineSettings(
        voice_type="zh_female",
        operation="query",
        cluster="volcano_icl",
        url="wss://example.com",
        rate=16000,
        model="seed-tts-1.1",
        explicit_language="en",
        speed_ratio=1.25,
        volume_ratio=0.8,
        pitch_ratio=1.1,
        emotion="happy",
        enable_emotion=True,
        emotion_scale=4,
        extra_param="{}",
        gzip=True,
    )


def test_volcengine_v3_counts_in_percent() -> None:
    (found,) = load(
        'provider = "volcengine"\nname = "her"\ntransport = "v3"\nspeed = 1.25\nvolume = 0.8\n'
        'resource_id = "seed-tts-2.0"\nadditions = "{}"\n'
    ).voices
    assert found == VolcengineSettings(
        voice_type="her",
        transport="v3",
        speech_rate=25,
        loudness_rate=-20,
        resource_id="seed-tts-2.0",
        additions="{}",
    )


def test_every_key_reaches_a_speech_server() -> None:
    (found,) = load(
        'provider = "http"\nurl = "http://tts.example.com/stream-audio"\nallow_http = true\n'
        'name = "her"\nsample_rate = 48000\nemotion = "sad"\nuser_data = "{}"\n'
    ).voices
    assert found == HttpSettings(
        url="http://tts.example.com/stream-audio",
        allow_http=True,
        voice_id="her",
        sample_rate=48000,
        emotion="sad",
        user_data="{}",
    )


def test_fallbacks_keep_the_order_of_the_file() -> None:
    loaded = load(
        'provider = "qwen"\n'
        '[[voice.fallback]]\nprovider = "http"\nurl = "https://tts.example.com/x"\n'
        '[[voice.fallback]]\nprovider = "openai"\nname = "cedar"\n'
    )
    assert loaded.agent.voices == ("qwen/Cherry", "http/tts.example.com")
    assert loaded.agent.voice == Voice("cedar")


def test_a_provider_s_name_is_enough_for_a_fallback() -> None:
    loaded = load('provider = "http"\nurl = "https://tts.example.com/x"\nfallback = ["qwen"]\n')
    assert loaded.agent.voices == ("http/tts.example.com", "qwen/Cherry")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'provider = "qwem"\n',
            "4: voice.provider: expected 'openai', 'qwen', 'volcengine' or 'http', got 'qwem'",
        ),
        (
            "provider = 5\nspeed = true\n",
            "4: voice.provider: expected 'openai', 'qwen', 'volcengine' or 'http', got 5",
        ),
        (
            'provider = "volcengine"\nname = "her"\ntransport = "v2"\n',
            "6: voice.transport: expected 'v1' or 'v3', got 'v2'",
        ),
        (
            'provider = "qwen"\nfallback = "http"\n',
            "5: voice.fallback: expected an array of providers' names or tables: "
            "[[voice.fallback]], got 'http'",
        ),
        (
            'provider = "qwen"\nfallback = [5]\n',
            "5: voice.fallback: expected an array of providers' names or tables: "
            "[[voice.fallback]], got 5",
        ),
        (
            'provider = "qwen"\nfallback = ["qwem"]\n',
            "5: voice.fallback.provider: expected 'openai', 'qwen', 'volcengine' or 'http', "
            "got 'qwem'",
        ),
        (
            'provider = "http"\n',
            "3: voice: provider = 'http' needs a url: the address of your speech server",
        ),
        (
            'provider = "volcengine"\n',
            "3: voice: provider = 'volcengine' needs a name: the voice_type that you bought",
        ),
        (
            'provider = "http"\nurl = "http://tts.example.com/x"\n',
            "3: voice: url: expected https, because the token goes there; or set allow_http = true",
        ),
        (
            'mode = "commit"\n',
            "4: voice.mode: belongs to provider = 'qwen'; remove it or change provider",
        ),
        (
            'provider = "qwen"\nemotion = "sad"\n',
            "5: voice.emotion: belongs to provider = 'volcengine' or 'http'; "
            "remove it or change provider",
        ),
        (
            'provider = "qwen"\nspeed = 2.5\n',
            "5: voice.speed: expected a number from 0.5 to 2, got 2.5",
        ),
        ("speed = 2\n", "4: voice.speed: expected a number from 0.25 to 1.5, got 2"),
        (
            'provider = "qwen"\nvolume = 1.5\n',
            "5: voice.volume: expected a whole number from 0 to 100, got 1.5",
        ),
        (
            'provider = "qwen"\nsample_rate = 44100\n',
            "5: voice.sample_rate: expected 8000, 16000, 24000 or 48000, got 44100",
        ),
        (
            'provider = "qwen"\nurl = "https://example.com"\n',
            "5: voice.url: expected an address such as wss://example.com/path, "
            "got 'https://example.com'",
        ),
        (
            'provider = "qwen"\nurl = "ws://example.com"\n',
            "5: voice.url: expected wss, because the credentials go there",
        ),
        (
            'provider = "volcengine"\nname = "her"\nresource_id = "seed-tts-2.0"\n',
            "6: voice.resource_id: belongs to transport = 'v3'; remove it or change transport",
        ),
        (
            'provider = "volcengine"\nname = "her"\ntransport = "v3"\npitch = 1.0\n',
            "7: voice.pitch: belongs to transport = 'v1'; remove it or change transport",
        ),
        (
            'fallback = ["qwen"]\n',
            "3: voice: no voice takes over from provider = 'openai'; put it last, or remove it",
        ),
        (
            'provider = "qwen"\n[[voice.fallback]]\nprovider = "http"\n',
            "5: voice.fallback: provider = 'http' needs a url: the address of your speech server",
        ),
        (
            'provider = "qwen"\n[[voice.fallback]]\nprovider = "qwen"\nspede = 1\n',
            "7: voice.fallback.spede: unknown key; did you mean 'speed'?",
        ),
    ],
)
def test_a_fault_is_one_line_with_its_place_and_the_fix(text: str, said: str) -> None:
    assert faults(text) == [said]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ('provider = "qwen"\n', ["DASHSCOPE_API_KEY"]),
        (
            'provider = "volcengine"\nname = "her"\n',
            ["VOLCENGINE_APP_ID", "VOLCENGINE_ACCESS_TOKEN"],
        ),
        ('provider = "http"\nurl = "https://tts.example.com/x"\n', []),
    ],
)
def test_a_credential_that_is_missing_is_named(text: str, missing: list[str]) -> None:
    voices = load(text).voices
    assert [each.label for each in open_voices(voices, SECRETS)] == list(load(text).agent.voices)
    if missing:
        with pytest.raises(ConfigError) as caught:
            open_voices(voices, Credentials({}))
        assert [line.partition(":")[0] for line in caught.value.problems] == missing


def test_the_key_of_the_new_console_is_enough_for_v3() -> None:
    voices = load('provider = "volcengine"\nname = "her"\ntransport = "v3"\n').voices
    open_voices(voices, Credentials({"VOLCENGINE_API_KEY": "console"}))


def test_no_secret_is_shown() -> None:
    voices: tuple[Any, ...] = load('provider = "qwen"\nfallback = ["qwen"]\n').voices
    opened: Any = open_voices(voices, SECRETS)
    assert "the key" not in repr(opened[0].settings) + repr(SECRETS)


def test_every_credential_of_a_provider_is_a_setting() -> None:
    for name in CREDENTIALS:
        assert Settings.model_fields[name.lower()].annotation == SecretStr | None


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda each: each.name)
def test_a_provider_s_forms_have_its_name(provider: Provider[Any]) -> None:
    for form in provider.forms:
        assert form.model_fields["provider"].default == provider.name
