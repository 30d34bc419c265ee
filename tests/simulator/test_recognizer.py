"""What the embedded model understands of the phrases it was given, through a telephone and noise."""

import audioop
import math
import random
from array import array
from pathlib import Path

import pytest

from app.agent_file import load_agent
from app.audio import silence, ulaw_decode, ulaw_encode
from app.simulator.recognizer import Heard, HearingUnavailable, Recognizer
from app.simulator.speech import speak

VOICES = ("en-us", "en-gb-x-rp", "en-us+f3", "en-gb-scotland", "en-us+m3")
SNR_DB = 20
PIZZERIA = load_agent(Path(__file__).parents[2] / "examples" / "pizzeria.toml").demo
RECEPTIONIST = load_agent(None).demo
SAID = (
    "what pizzas do you have",
    "what is on the menu",
    "how much is a large pizza",
    "do you have small pizzas",
    "one large margherita please for Ada",
    "i would like two small funghi for Grace",
    "can i have three large diavola please for Margaret",
    "one small margherita",
    "i would like to order a pizza please",
    "where is the order for Ada",
    "is the order for Henry ready",
    "what are your opening hours",
    "do you deliver",
    "can you bring it to me",
    "hello",
    "thank you",
    "goodbye",
    "no thank you goodbye",
    "thank you that is all goodbye",
    "two large diavola for Thomas",
    "is the order for Susan ready",
    "five small funghi please for George",
)


def ears(*demos: object) -> Recognizer:
    """For all the lines of these agents."""
    lines = [line for demo in (PIZZERIA, RECEPTIONIST) if demo in demos for line in demo.lines]
    return Recognizer(
        [phrase for line in lines for phrase in line.hears],
        keywords=[keyword for line in lines for keyword in line.keywords],
        names=PIZZERIA.names,
    )


@pytest.fixture(scope="module")
def pizzeria() -> Recognizer:
    return ears(PIZZERIA)


def noise(size: int, rms: float, colour: str, seed: int) -> bytes:
    """PCM: white, or pink as a room full of people is."""
    draw = random.Random(seed)
    samples, slow = [], [0.0, 0.0, 0.0]
    for _ in range(size):
        white = draw.gauss(0, 1)
        if colour == "pink":  # Paul Kellet's economy filter
            slow = [
                0.99765 * slow[0] + white * 0.0990460,
                0.96300 * slow[1] + white * 0.2965164,
                0.57000 * slow[2] + white * 1.0526913,
            ]
            white = sum(slow) + white * 0.1848
        samples.append(white)
    scale = rms / math.sqrt(sum(each * each for each in samples) / size)
    return array("h", (round(each * scale) for each in samples)).tobytes()


def on_the_phone(text: str, voice: str, colour: str = "", seed: int = 1) -> bytes:
    """A turn as turn detection commits it: speech with 300 ms before it and 500 behind, µ-law."""
    speech = speak(text, voice=voice)
    pcm = ulaw_decode(silence(300) + speech + silence(500))
    if colour:
        rms = audioop.rms(ulaw_decode(speech), 2) * 10 ** (-SNR_DB / 20)
        pcm = audioop.add(pcm, noise(len(pcm) // 2, rms, colour, seed), 2)
    return ulaw_encode(pcm)


def meaning(ears: Recognizer, heard: Heard | None) -> tuple[object, ...]:
    """The line and the slots: different words for the same thing are understood as well."""
    if heard is None:
        return ()
    line = next(n for n, line in enumerate(PIZZERIA.lines) if heard.phrase in line.hears)
    return line, sorted(heard.slots.items())


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_its_own_phrases_are_understood_through_noise(pizzeria: Recognizer, colour: str) -> None:
    understood, wrong = 0, []
    for seed, voice in enumerate(VOICES):
        for text in SAID:
            meant = meaning(pizzeria, pizzeria._grammar.understand(text.lower().split()))
            assert meant, f"{text!r} is none of the phrases"
            heard = pizzeria.recognize(on_the_phone(text, voice, colour, seed))
            if heard and heard.phrase not in _keywords() and meaning(pizzeria, heard) == meant:
                understood += 1
            else:
                wrong.append((voice, text, heard))
    assert understood >= 0.9 * len(VOICES) * len(SAID), wrong


def _keywords() -> set[str]:
    return {keyword for line in PIZZERIA.lines for keyword in line.keywords}
