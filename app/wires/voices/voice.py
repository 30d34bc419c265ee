"""What every external voice promises, whoever provides it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from app.errors import VoiceError

FIRST_SOUND_S = 3.0  # a caller waits for it
GAP_S = 2.0  # between two pieces of sound


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of speech. `pcm`: mono, signed 16 bits, little-endian, whole samples, at `hz`; never
    empty. `hz` is the same for every piece of a text."""

    pcm: bytes
    hz: int


Sounds = AsyncGenerator[Sound, None]


class VoiceLine(Protocol):
    """One caller's line to a voice. It says one text at a time."""

    async def prepare(self) -> None:
        """Open ahead what the next text needs, as far as the provider lets us. Never raises
        VoiceError: what is wrong shows when something is to be said."""
        ...

    def say(self, text: str, *, answer: int = 0) -> Sounds:
        """The text as sound, piece by piece as it is made; the end of the generator is the end of
        the text. `text`: at most `LONGEST_TEXT` characters, something to be said in it. `answer`:
        which of the agent's answers it is a part of, for providers that want to know. Closing the
        generator (or cancelling who iterates it) drops what is not made yet, at once and without
        waiting for the network; the line can then say the next text.

        Raises:
            VoiceError: it failed; `kind` says whether another try may help.
        """
        ...

    async def aclose(self) -> None:
        """Let go of everything, at once."""
        ...


class Voice(Protocol):
    """A configured voice of a provider. Lives as long as the service; lines share it."""

    @property
    def label(self) -> str:
        """What people call it, such as `qwen/Cherry`. Holds no secret."""
        ...

    def line(self) -> VoiceLine:
        """A line for one caller. Nothing is opened before it is asked to."""
        ...

    async def aclose(self) -> None: ...


LONGEST_TEXT = 300  # characters: within every provider's limits, in every script


def is_here(host: str) -> bool:
    """Whether it is this machine: nobody listens in between."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# What audio files begin with. The sync word of an MP3 is missing: FF FB is a pair of samples too.
_FILES = {b"RIFF": "a WAV file", b"ID3": "an MP3 file", b"OggS": "an Ogg file", b"fLaC": "FLAC"}
LONGEST_MAGIC_BYTES = 4


def file_in(sound: bytes) -> str:
    """What file begins a sound that should be raw PCM; empty if it is none."""
    return next((name for magic, name in _FILES.items() if sound.startswith(magic)), "")


async def with_deadlines(
    sounds: Sounds, *, first_s: float = FIRST_SOUND_S, gap_s: float = GAP_S
) -> Sounds:
    """The same sounds, with a deadline for the first and between any two.

    Raises:
        VoiceError: too late, of kind late; or the text came to its end without any sound.
    """
    async with aclosing(sounds):
        spoke = False
        while True:
            wait_s = gap_s if spoke else first_s
            try:
                async with asyncio.timeout(wait_s):
                    sound = await anext(sounds)
            except StopAsyncIteration:
                break
            except TimeoutError:
                what = "no more sound" if spoke else "no sound"
                raise VoiceError(f"{what} came within {wait_s:g} s", kind="late") from None
            spoke = True
            yield sound
        if not spoke:
            raise VoiceError("the text was answered without any sound")
