"""Calls by softphone in a headless Chromium: sound against what was sent, delays, truncations."""

import asyncio
import base64
import gzip
import io
import random
import wave
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from app.audio import ulaw_decode, ulaw_encode
from app.simulator.realtime import RealtimeServer, Reply, Session
from app.simulator.realtime.script import Turn
from app.web.console.pages import File, files
from bench.console.report import Figure
from bench.softphone.page import READ, TAP, WATCH
from bench.softphone.sound import HZ, Played, compare, samples_of
from tests.service.world import AGENT, API_TOKEN, World, noise, world
from tests.web.console.browser import Browsing, browsing

INF = float("inf")
PLAYS = 5
BARGE_INS = 40
PAUSE_MS = 400
CLICK_AT_MS = 500
SHORT = noise(100)


def speech_like(duration_ms: int, seed: object) -> bytes:
    """µ-law up to 3 kHz that is never silent for long, and begins and ends softly."""
    dice = np.random.default_rng(abs(hash(str(seed))) % 2**32)
    size = duration_ms * HZ // 1000
    spectrum = np.fft.rfft(dice.standard_normal(size))
    hz = np.fft.rfftfreq(size, 1 / HZ)
    spectrum[(hz < 200) | (hz > 3000)] = 0
    sound = np.fft.irfft(spectrum, size)
    sound *= 0.2 / np.sqrt(np.mean(sound**2))
    ramp = np.minimum(1, np.arange(size) / 80)
    sound *= ramp * ramp[::-1]
    return ulaw_encode((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def click_file() -> dict[str, Any]:
    """A WAV file: silence, then 200 ms of a loud tone."""
    at = np.arange(HZ)
    loud = (at >= CLICK_AT_MS * 8) & (at < CLICK_AT_MS * 8 + 1600)
    pcm = (np.where(loud, np.sin(at * 2 * np.pi * 1000 / HZ), 0) * 20000).astype("<i2")
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HZ)
        file.writeframes(pcm.tobytes())
    return {"name": "click.wav", "mimeType": "audio/wav", "buffer": held.getvalue()}


async def opened(it: Browsing) -> None:
    await it.page.add_init_script(WATCH)
    files()["tap.js"] = File(TAP.encode(), gzip.compress(TAP.encode()), "text/javascript")
    await it.open()
    await it.role("button", "Call the agent").click()
    await it.page.get_by_role("status").get_by_text("Connected", exact=True).wait_for()
    await it.page.wait_for_timeout(PAUSE_MS)


async def read(it: Browsing) -> dict[str, Any]:
    await it.page.wait_for_timeout(PAUSE_MS)
    found: dict[str, Any] = await it.page.evaluate(READ)
    return found


async def ask(w: World) -> None:
    """The caller takes their turn: the model answers."""
    session = w.model.sessions[0]
    session.start_speech()
    session.stop_speech("Go on.")


async def plays() -> list[Figure]:
    """Whole answers, against what was sent; and both ways' delays."""
    answers = [speech_like(2500, number) for number in range(PLAYS)]
    left = iter(answers)

    def brain(turn: Turn) -> Reply:
        audio = next(left, SHORT) if turn.kind == "reply" else SHORT
        return Reply("Words.", audio=audio, speed=INF)

    async with world(RealtimeServer(brain), agent=AGENT) as w:
        async with browsing(w.url, API_TOKEN) as it:
            await opened(it)
            for _ in answers:
                await ask(w)
                await it.page.wait_for_timeout(2500 + 2 * PAUSE_MS)
            field = it.page.get_by_label("WAV file instead of the microphone")
            for _ in range(PLAYS):
                await field.set_input_files(click_file())
                await it.page.wait_for_timeout(900)
            found = await read(it)
            await it.role("button", "Hang up").click()
        await w.settled()
    return figures_of_plays(found, answers)


def figure(what: str, values: Sequence[float], unit: str, most: float) -> Figure:
    return Figure(what, float(np.median(values)), float(max(values)), unit, most)


def figures_of_plays(found: dict[str, Any], answers: list[bytes]) -> list[Figure]:
    played = Played.of(found)
    spans = [each for each in played.spans() if each[1] - each[0] > 0.5]
    pieces = figure("answers, pieces of sound too many", [len(spans) - len(answers)], "", 0)
    if len(spans) != len(answers):  # there are gaps: nothing else can be compared
        return [pieces]
    means, worst, down = [], [], []
    firsts = arrivals(found)
    for (begin_s, end_s), audio in zip(spans, answers, strict=True):
        heard = played.between(begin_s - 0.1, end_s + 0.1)
        mean, most = compare(heard, samples_of(audio), played.rate)
        means.append(mean)
        worst.append(most)
        arrived_s = max(each for each in firsts if each < begin_s)
        down.append(1000 * (begin_s - arrived_s + found["latency"]))
    lengths = [abs(1000 * (end - begin) - 2500) for begin, end in spans]
    up = [
        1000 * (sent_s - began_s) - CLICK_AT_MS
        for began_s, sent_s in zip(found["began"], clicks(found), strict=True)
    ]
    both = [to_ear + from_mouth for to_ear, from_mouth in zip(down, up, strict=True)]
    return [
        pieces,
        figure("answers, length against what was sent", lengths, "ms", 5),
        figure("answers, difference from what was sent", means, "dB", -25),
        figure("answers, difference in the worst 20 ms", worst, "dB", -20),
        figure("added delay, to the ear", down, "ms", 120),
        figure("added delay, from the microphone", up, "ms", 120),
        figure("added delay, both", both, "ms", 120),
        figure("samples that the measurement lost", [played.lost], "", 0),
    ]


def arrivals(found: dict[str, Any]) -> list[float]:
    """When each answer's first audio came: after a pause without any."""
    times = [at for at, event, _ in found["arrived"] if event == "media"]
    return [at for before, at in zip([-1.0, *times], times, strict=False) if at - before > 0.3]


def clicks(found: dict[str, Any]) -> list[float]:
    """When the frame that holds the beginning of each click was sent."""
    loud = []
    for at, payload in found["sent"]:
        pcm = np.frombuffer(ulaw_decode(base64.b64decode(payload)), "<i2")
        if np.max(np.abs(pcm)) > 3000:
            loud.append(at)
    return [at for before, at in zip([-1.0, *loud], loud, strict=False) if at - before > 0.3]


async def barge_ins() -> list[Figure]:
    """Answers that a key interrupts at any moment: heard as the model
    learns it, and as it was."""
    dice = random.Random("softphone")

    def brain(turn: Turn) -> Reply:
        audio = speech_like(8000, dice.random()) if turn.kind == "reply" else SHORT
        return Reply("Words.", audio=audio, speed=INF)

    async with world(RealtimeServer(brain), agent=AGENT) as w:
        async with browsing(w.url, API_TOKEN) as it:
            await opened(it)
            session = w.model.sessions[0]
            await ask(w)
            for number in range(BARGE_INS):
                await it.page.wait_for_timeout(dice.uniform(900, 2200))
                for key in "5#":  # the first one interrupts, the entry is answered at once
                    await it.role("group", "Keypad").get_by_role("button", name=key).click()
                await truncated(session, number + 1)
            found = await read(it)
            await it.role("button", "Hang up").click()
            told = [
                each["audio_end_ms"] for each in session.events_of("conversation.item.truncate")
            ]
        await w.settled()
    return figures_of_barge_ins(found, told)


async def truncated(session: Session, times: int) -> None:
    for _ in range(500):
        if len(session.events_of("conversation.item.truncate")) >= times:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("no answer was truncated within 5 s")


def figures_of_barge_ins(found: dict[str, Any], told: list[float]) -> list[Figure]:
    played = Played.of(found)
    heard = [1000 * (end - begin) for begin, end in played.spans()]
    heard = [each for each in heard if each > 200][: len(told)]
    if len(heard) != len(told):
        return [figure("barge-ins, pieces of sound too few", [len(told) - len(heard)], "", 0)]
    errors = [abs(each - at) for each, at in zip(told, heard, strict=True)]
    p99 = float(np.percentile(errors, 99))
    what = f"truncation error, p99 of {len(errors)}"
    return [Figure(what, float(np.median(errors)), p99, "ms", 40)]


def measure(say: Callable[[str], None]) -> Iterator[Figure]:
    """All figures."""
    say(f"{PLAYS} answers in a browser …")
    yield from asyncio.run(plays())
    say(f"{BARGE_INS} barge-ins …")
    yield from asyncio.run(barge_ins())
