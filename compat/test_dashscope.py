"""The vendor's own Qwen client on our stand-in of Qwen, and then ours on the same: the stand-in is
not made to our measure, and we hear the same bytes."""

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

from app.simulator.voices.qwen import QwenStandIn
from app.wires.voices.qwen.codec import Mode
from app.wires.voices.qwen.voice import QwenSettings, QwenVoice
from compat.hosting import LIMIT_S

KEY = "sk-test"
OLD_MODEL, MODEL = "qwen-tts-realtime", "qwen3-tts-flash-realtime"

# The texts of the vendor's quick starts.
CHUNKS = [
    "对吧~我就特别喜欢这种超市,",
    "尤其是过年的时候",
    "去逛超市",
    "就会觉得",
    "超级超级开心!",
    "想买好多好多的东西呢!",
]
SENTENCES = ["这是第一句话。", "这是第二句话。", "这是第三句话。"]

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


class Callback(QwenTtsRealtimeCallback):  # type: ignore[misc]
    """As in the quick starts: a file for what is waited for, and the event that says it is whole.
    `ends`: the server's event that does. `types`: of the events that came."""

    def __init__(self, folder: Path, ends: str) -> None:
        super().__init__()
        self.ends = ends
        self.complete = threading.Event()
        self.closed = threading.Event()
        self.types: list[str] = []
        self.problems: list[str] = []
        self._folder = folder
        self._responses = 0
        self._file = (folder / "result_0.pcm").open("wb")

    def reset_event(self) -> None:
        self._file.close()
        self._responses += 1
        self._file = (self._folder / f"result_{self._responses}.pcm").open("wb")
        self.complete = threading.Event()

    def on_close(self, close_status_code: int | None, close_msg: str | None) -> None:
        self._file.close()
        self.closed.set()

    def on_event(self, response: dict[str, Any]) -> None:
        type_ = response["type"]
        self.types.append(type_)
        if type_ == "error":
            self.problems.append(response["error"]["message"])
        if type_ == "response.audio.delta":
            self._file.write(base64.b64decode(response["delta"]))
        if type_ == self.ends:
            self.complete.set()

    def wait(self) -> None:
        assert self.complete.wait(LIMIT_S / 2), self.types

    def results(self) -> list[bytes]:
        files = sorted(self._folder.glob("result_*.pcm"))
        return [file.read_bytes() for file in files]


def server_commit_quick_start(
    url: str, model: str, callback: Callback, more: dict[str, Any]
) -> QwenTtsRealtime:
    tts = QwenTtsRealtime(model=model, callback=callback, url=url)
    tts.connect()
    tts.update_session(
        voice="Cherry",
        response_format=AudioFormat.PCM_24000HZ_MONO_16BIT,
        mode="server_commit",
        **more,
    )
    for chunk in CHUNKS:
        tts.append_text(chunk)
    tts.finish()
    callback.wait()
    return tts


def commit_quick_start(
    url: str, model: str, callback: Callback, more: dict[str, Any]
) -> QwenTtsRealtime:
    tts = QwenTtsRealtime(model=model, callback=callback, url=url)
    tts.connect()
    tts.update_session(
        voice="Cherry",
        response_format=AudioFormat.PCM_24000HZ_MONO_16BIT,
        mode="commit",
        **more,
    )
    for number, sentence in enumerate(SENTENCES):
        if number:
            callback.reset_event()
        tts.append_text(sentence)
        tts.commit()
        callback.wait()
    tts.finish()
    return tts


QUICK_STARTS: dict[Mode, Any] = {
    "server_commit": (server_commit_quick_start, "session.finished"),
    "commit": (commit_quick_start, "response.done"),
}


# its WebSocket library leaves its socket to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize(
    ("model", "more"),
    [
        (OLD_MODEL, {}),  # as published
        (MODEL, {"sample_rate": 8000, "language_type": "Chinese", "speech_rate": 1.0}),
    ],
)
@pytest.mark.parametrize("mode", ["server_commit", "commit"])
async def test_its_quick_start_completes_and_ours_hears_the_same(
    mode: Mode,
    model: str,
    more: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dashscope, "api_key", KEY)
    quick_start, ends = QUICK_STARTS[mode]
    callback = Callback(tmp_path, ends)
    async with asyncio.timeout(LIMIT_S), QwenStandIn(api_key=KEY) as qwen:
        theirs = await asyncio.to_thread(quick_start, qwen.url, model, callback, more)
        await asyncio.to_thread(callback.closed.wait, LIMIT_S / 2)
        await asyncio.to_thread(theirs.thread.join, LIMIT_S / 2)
        assert callback.problems == qwen.sessions[0].errors == []
        assert theirs.get_session_id() == qwen.sessions[0].id
        assert theirs.get_last_response_id().startswith("resp_")
        assert theirs.get_first_audio_delay() >= 0
        del theirs
        gc.collect()

        texts = SENTENCES if mode == "commit" else ["".join(CHUNKS)]
        voice = QwenVoice(QwenSettings(KEY, model=model, mode=mode, url=qwen.url, **more))
        line = voice.line()
        ours = [await said(line, text) for text in texts]
        await voice.aclose()
        assert line.session_id == qwen.sessions[1].id
        assert line.first_sound_ms is not None
        assert all(session.errors == [] for session in qwen.sessions)

    # the same sound, to the byte
    hz = more.get("sample_rate", 24000)
    assert [pcm for pcm, _ in ours] == callback.results()
    assert {rate for _, rate in ours} == {hz}
    assert sum(len(pcm) for pcm, _ in ours) > hz  # half a second
    words = [each.text for each in qwen.heard.said if each.whole]
    half = len(words) // 2
    assert words[:half] == words[half:] and "".join(words[:half]) == "".join(texts)

    # the same events in the same order; in commit mode ours keeps the session for another text
    told_theirs, told_ours = qwen.sessions[0].sent, qwen.sessions[1].sent
    assert callback.types == told_theirs
    assert told_theirs == told_ours + (["session.finished"] if mode == "commit" else [])
    assert without_repeats(told_theirs) == documented(mode)


async def said(line: Any, text: str) -> tuple[bytes, int]:
    """The sound of a text, and its rate."""
    async with aclosing(line.say(text)) as sounds:
        pieces = [sound async for sound in sounds]
    return b"".join(each.pcm for each in pieces), pieces[0].hz


def documented(mode: Mode) -> list[str]:
    """The order of the vendor's reference, with one delta for any number of them."""
    response = [*RESPONSE_BEGINS, "response.audio.delta", *RESPONSE_ENDS]
    opened = ["session.created", "session.updated"]
    if mode == "commit":
        spoken = ["input_text_buffer.committed", *response] * len(SENTENCES)
    else:
        spoken = response * 2  # two sentences, cut by the server
    return [*opened, *spoken, "session.finished"]


def without_repeats(types: list[str]) -> list[str]:
    return [each for each, before in zip(types, ["", *types], strict=False) if each != before]
