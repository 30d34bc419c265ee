"""The interface of external voices, the same for every provider."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from app.errors import VoiceError
from app.wires.voices.waits import Waits

# When a voice is late, for every provider: the caller waits, so another voice is preferred to a
# retry (`VoiceErrorKind`). `with_deadlines` applies both. A provider's deadlines for its
# connections are longer (`connect.py`) and say only that a connection is lost.
#: Deadline for the first sound of a text.
FIRST_SOUND_S = 3.0
#: Deadline between two pieces of sound.
GAP_S = 2.0


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """When a voice speaks a word. Times are ms from the start of the text's sound."""

    #: As the voice spoke it, which may differ from the text: "two" for "2".
    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of speech."""

    #: Mono, signed 16 bits, little-endian; whole samples, at least one.
    pcm: bytes
    #: Sample rate; the same for every piece of a text.
    hz: int
    #: The times of words that became known with this piece, in order. Most voices send none.
    words: tuple[SpokenWord, ...] = ()


Sounds = AsyncGenerator[Sound, None]


class VoiceLine(Protocol):
    """One call's line to a voice. It says one text at a time. Call `aclose` at the call's end."""

    async def prepare(self) -> None:
        """Open the connection for the next text ahead of time, if the provider allows it. Never
        raises VoiceError: `say` raises it when it fails as well."""
        ...

    def say(self, text: str, *, answer: int = 0) -> Sounds:
        """The text as sound, in pieces as they are received; the generator ends with the text.

        Close the generator, or cancel the task that iterates it, to drop the rest of the text. That
        does not wait for the network; the line can say the next text immediately.

        Args:
            text: 1 to `LONGEST_TEXT` characters, with at least one that can be spoken.
            answer: The number of the agent's answer that the text is part of. Some providers use
                it.

        Raises:
            VoiceError: the text could not be said completely. `kind` tells whether a retry may
                succeed.
        """
        ...

    async def aclose(self) -> None:
        """Close the line's connections, also while it says a text. Does not wait for the
        network."""
        ...


class Voice(Protocol):
    """A configured voice of a provider. It lives as long as the service; calls share it."""

    @property
    def label(self) -> str:
        """Its name as people see it, such as `qwen/Cherry`. Contains no secret."""
        ...

    def line(self) -> VoiceLine:
        """A new line for one call. It opens no connection before `prepare` or `say`."""
        ...

    async def aclose(self) -> None:
        """Close all lines and connections. May wait about a second for the provider."""
        ...


#: Characters of a text. Within every provider's limit, in any script.
LONGEST_TEXT = 300


def is_here(host: str) -> bool:
    """Whether the host is this machine (loopback), to which no TLS is needed."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# The magic numbers of audio files. An MP3's sync word, FF FB, is left out: it is a valid sample.
_FILES = {b"RIFF": "a WAV file", b"ID3": "an MP3 file", b"OggS": "an Ogg file", b"fLaC": "FLAC"}
#: `file_in` needs so many bytes to decide.
LONGEST_MAGIC_BYTES = 4


def file_in(sound: bytes) -> str:
    """The kind of audio file that the sound is, such as `a WAV file`; empty for raw PCM."""
    return next((name for magic, name in _FILES.items() if sound.startswith(magic)), "")


async def with_deadlines(
    sounds: Sounds, *, first_s: float = FIRST_SOUND_S, gap_s: float = GAP_S
) -> Sounds:
    """The same sounds, with a deadline for the first and for each further piece.

    Raises:
        VoiceError: what `sounds` raises; `late` if a deadline passes; `passing` if the text ends
            without any sound.
    """
    sounded = False
    with closing(Waits()) as waits:
        async with aclosing(sounds):
            while True:
                wait_s = gap_s if sounded else first_s
                try:
                    with waits.within(wait_s):
                        sound = await anext(sounds)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    what = "no more sound" if sounded else "no sound"
                    raise VoiceError(f"{what} came within {wait_s:g} s", kind="late") from None
                sounded = True
                yield sound
            if not sounded:
                raise VoiceError("the provider ended the text without any sound")
