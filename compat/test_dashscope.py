"""The dashscope package's Qwen client against our stand-in of Qwen, and then our client against the
same: both hear the same bytes."""

import asyncio
import base64
import gc
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import dashscope
import pytest
from dashscope.audio.qwen_tts_realtime import (
    AudioFormat,
    QwenTtsRealtime,
    QwenTtsRealtimeCallback,
)

from app.audio import pcm16_dbfs
from app.simulator.voices.qwen import QwenStandIn
from app.wires.voices.qwen.settings import Mode
from app.wires.voices.qwen.voice import QwenSettings, QwenVoice
from compat.hosting import LIMIT_S
from tests.cli.stand_in_process import ended, run_clients, stand_in

KEY = "sk-test"
OLD_MODEL, MODEL = "qwen-tts-realtime", "qwen3-tts-flash-realtime"

# One answer of a call in pieces, as a language model writes it: two sentences.
DELTAS = ["您好,", "这里是贝拉披萨店!", "玛格丽特", "披萨二十分钟后就好。"]
# An answer sentence by sentence.
SENTENCES = ["一份大玛格丽特披萨。", "一共十七欧元五十分。", "六点二十分可以来取。"]

RESPONSE_BEGINS = [
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
]
RESPONSE_ENDS = [
    "response.audio.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
]


class Recorder(QwenTtsRealtimeCallback):  # type: ignore[misc]
    """Keeps what the client reports; its methods are called in the client's own thread."""

    def __init__(self) -> None:
        super().__init__()
        #: The types of all events, in order.
        self.types: list[str] = []
        #: The messages of `error` events.
        self.errors: list[str] = []
        #: PCM by response, in order.
        self.pcm: list[bytearray] = []
        self.closed = threading.Event()
        self._arrived = threading.Condition()

    def on_event(self, response: dict[str, Any]) -> None:
        with self._arrived:
            self.types.append(response["type"])
            match response["type"]:
                case "response.created":
                    self.pcm.append(bytearray())
                case "response.audio.delta":
                    self.pcm[-1] += base64.b64decode(response["delta"])
                case "error":
                    self.errors.append(response["error"]["message"])
            self._arrived.notify_all()

    def on_close(self, close_status_code: int | None, close_msg: str | None) -> None:
        self.closed.set()

    def wait_for(self, type_: str, count: int = 1) -> None:
        """Block until `count` events of this type have arrived."""
        with self._arrived:
            arrived = self._arrived.wait_for(
                lambda: self.types.count(type_) >= count, timeout=LIMIT_S / 2
            )
        assert arrived, self.types


def speak(url: str, model: str, mode: Mode, recorder: Recorder, more: dict[str, Any]) -> Any:
    """One session of the package's client, from its connection to the end of its sound."""
    client = QwenTtsRealtime(model=model, callback=recorder, url=url)
    client.connect()
    pcm = AudioFormat.PCM_24000HZ_MONO_16BIT
    client.update_session(voice="Cherry", response_format=pcm, mode=mode, **more)
    if mode == "commit":
        for number, sentence in enumerate(SENTENCES, 1):
            client.append_text(sentence)
            client.commit()
            recorder.wait_for("response.done", number)
        client.finish()
    else:
        for delta in DELTAS:
            client.append_text(delta)
        client.finish()
        recorder.wait_for("session.finished")
    return client


# its WebSocket library leaves its socket to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize(
    ("model", "more"),
    [
        (OLD_MODEL, {}),
        (MODEL, {"sample_rate": 8000, "language_type": "Chinese", "speech_rate": 1.0}),
    ],
)
@pytest.mark.parametrize("mode", ["server_commit", "commit"])
async def test_its_client_completes_and_ours_hears_the_same(
    mode: Mode,
    model: str,
    more: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dashscope, "api_key", KEY)
    recorder = Recorder()
    async with asyncio.timeout(LIMIT_S), QwenStandIn(api_key=KEY) as qwen:
        theirs = await asyncio.to_thread(speak, qwen.url, model, mode, recorder, more)
        await asyncio.to_thread(recorder.closed.wait, LIMIT_S / 2)
        await asyncio.to_thread(theirs.thread.join, LIMIT_S / 2)
        assert recorder.errors == qwen.sessions[0].errors == []
        assert theirs.get_session_id() == qwen.sessions[0].id
        assert theirs.get_last_response_id().startswith("resp_")
        assert theirs.get_first_audio_delay() >= 0
        del theirs
        gc.collect()

        texts = SENTENCES if mode == "commit" else ["".join(DELTAS)]
        voice = QwenVoice(QwenSettings(KEY, model=model, mode=mode, url=qwen.url, **more))
        line = voice.line()
        ours = [await said(line, text) for text in texts]
        await voice.aclose()
        assert line.session_id == qwen.sessions[1].id
        assert line.first_sound_ms is not None
        assert all(session.errors == [] for session in qwen.sessions)

    # the same sound, to the byte
    hz = more.get("sample_rate", 24000)
    recorded = [bytes(pcm) for pcm in recorder.pcm]
    assert [pcm for pcm, _ in ours] == (recorded if mode == "commit" else [b"".join(recorded)])
    assert {rate for _, rate in ours} == {hz}
    assert sum(len(pcm) for pcm, _ in ours) > hz  # half a second
    words = [each.text for each in qwen.heard.said if each.whole]
    half = len(words) // 2
    assert words[:half] == words[half:] and "".join(words[:half]) == "".join(texts)

    # the same events in the same order; in commit mode ours keeps the session for another text
    told_theirs, told_ours = qwen.sessions[0].sent, qwen.sessions[1].sent
    assert recorder.types == told_theirs
    assert told_theirs == told_ours + (["session.finished"] if mode == "commit" else [])
    assert without_repeats(told_theirs) == documented(mode)


async def said(line: Any, text: str) -> tuple[bytes, int]:
    """The sound of a text, and its rate."""
    async with aclosing(line.say(text)) as sounds:
        pieces = [sound async for sound in sounds]
    return b"".join(each.pcm for each in pieces), pieces[0].hz


def documented(mode: Mode) -> list[str]:
    """The order of events in the API reference, with one delta for any number of them.

    (DashScope: Qwen-TTS Realtime API, server events)
    """
    response = [*RESPONSE_BEGINS, "response.audio.delta", *RESPONSE_ENDS]
    opened = ["session.created", "session.updated"]
    if mode == "commit":
        spoken = ["input_text_buffer.committed", *response] * len(SENTENCES)
    else:
        spoken = response * 2  # two sentences, cut by the server
    return [*opened, *spoken, "session.finished"]


def without_repeats(types: list[str]) -> list[str]:
    return [each for each, before in zip(types, ["", *types], strict=False) if each != before]


def test_the_client_of_our_documentation_hears_the_stand_in(tmp_path: Path) -> None:
    with stand_in("qwen") as (address, process):
        assert address.startswith("ws://127.0.0.1:") and address.endswith("/api-ws/v1/realtime")
        (printed,) = run_clients("qwen", address, tmp_path)
        process.terminate()
        assert ended(process) == (0, "")
    assert printed.startswith("first audio after ")
    assert pcm16_dbfs((tmp_path / "hello.pcm").read_bytes()) > -35
