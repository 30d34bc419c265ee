"""Speech for demos and tests: espeak-ng says a text as phone audio, with the places of its words.

Needs the extra `demo`: the package espeakng-loader carries the espeak-ng library and its data. The
library is free software under the GNU General Public License, version 3 or later: it is loaded at
run time from its own package, with the first text, and never shipped with the bridge, which runs
without it.
"""

import atexit
import ctypes
import importlib
import os
import re
import shutil
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from app.audio import ULAW_BYTES_PER_MS, ULAW_HZ, resample_pcm16, ulaw_encode

# speak_lib.h of espeak-ng 1.52
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_RATE = 1
_UTF8 = 1
_IPA = 2
_SEPARATOR_BITS = 8
_OK = 0
_EVENTS_END, _EVENT_WORD = 0, 1
# espeak-ng has 160 characters for its data path and silently truncates a longer one.
_LONGEST_PATH_BYTES = 140

_TOKEN = re.compile(r"\s*\S+\s*")


class _Event(ctypes.Structure):
    """espeak_EVENT. `text_position`: in characters, from 1. `audio_position`: in ms."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_SAMPLES = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word with the punctuation and space around it, or a few words that espeak-ng joins."""

    text: str
    #: Where its sound begins in the utterance's µ-law.
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """A spoken text."""

    #: 8000 Hz, mono.
    ulaw: bytes
    #: In order; together they are the text.
    words: tuple[Word, ...]


class SpeechUnavailable(RuntimeError):
    """espeak-ng is not installed or cannot be loaded. The message says how to fix it."""


class _Espeak:
    """The library. It has one voice and one output at a time: hold `_lock` while using it."""

    def __init__(self) -> None:
        try:
            # Optional and untyped: imported here, so that a service without it starts.
            espeakng_loader = importlib.import_module("espeakng_loader")
        except ImportError as error:
            raise SpeechUnavailable(
                "speech needs espeak-ng; install it with: pip install '.[demo]'"
            ) from error
        try:
            self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
            data_path = _short_path(str(espeakng_loader.get_data_path()))
        except (OSError, RuntimeError) as error:
            raise SpeechUnavailable(
                f"espeak-ng cannot be loaded on this machine ({error}); reinstall it with: "
                "pip install --force-reinstall '.[demo]'"
            ) from error
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.argtypes = [
            ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int,
        ]  # fmt: skip
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        self._heard = bytearray()
        self._places: list[tuple[int, int]] = []
        self._callback = _SAMPLES(self._take)  # kept alive: the library calls it
        self.rate_hz = int(
            self._library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data_path), _DO_NOT_EXIT)
        )
        if self.rate_hz <= 0:
            raise SpeechUnavailable(
                "espeak-ng does not find its data; reinstall it with: "
                "pip install --force-reinstall '.[demo]'"
            )

    def _take(
        self,
        samples: "ctypes._Pointer[ctypes.c_short]",
        count: int,
        events: "ctypes._Pointer[_Event]",
    ) -> int:
        if samples and count > 0:
            self._heard += ctypes.string_at(samples, count * 2)
        number = 0
        while events and events[number].type != _EVENTS_END:
            event = events[number]
            if event.type == _EVENT_WORD:
                self._places.append((event.text_position - 1, event.audio_position))
            number += 1
        return 0

    def say(
        self, text: str, voice: str, words_per_minute: int
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """PCM at `rate_hz`, and where words begin: (character, ms).

        Raises ValueError for an unknown voice.
        """
        self._choose(voice)
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        spoken = text.encode()
        self._heard.clear()
        self._places.clear()
        # Each time: other code in this process may have set its own callback.
        self._library.espeak_SetSynthCallback(self._callback)
        status = self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 0, 0, _UTF8, None, None)
        if status != _OK or self._library.espeak_Synchronize() != _OK:
            raise RuntimeError(f"espeak-ng failed with status {status}")
        return bytes(self._heard), list(self._places)

    def phonemes(self, word: str, voice: str) -> list[str]:
        """The phonemes of a word, in the International Phonetic Alphabet."""
        self._choose(voice)
        text = ctypes.c_char_p(word.encode())
        mode = _IPA | ord("_") << _SEPARATOR_BITS
        written = self._library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, mode)
        return (written or b"").decode().split("_")

    def _choose(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
            known = "'en-us', 'en-gb-x-rp', 'de', 'fr'"
            raise ValueError(f"espeak-ng has no voice {voice!r}; try {known}")


_lock = threading.Lock()
_espeak: _Espeak | None = None


def speak(text: str, *, voice: str = "en-us", words_per_minute: int = 165) -> bytes:
    """Say `text`. Returns µ-law, 8000 Hz, mono, without silence around it. See `utter`."""
    return utter(text, voice=voice, words_per_minute=words_per_minute).ulaw


def utter(text: str, *, voice: str = "en-us", words_per_minute: int = 165) -> Utterance:
    """Say `text`, with the places where its words begin.

    May be called from any thread; one text is spoken at a time, about a hundred times faster than
    real time. The voice varies a little: the same text gives different bytes each time.

    `voice`: an espeak-ng voice, such as en-us, en-gb-x-rp, de. `words_per_minute`: 80 to 450.

    Raises:
        SpeechUnavailable: the extra `demo` is not installed.
        ValueError: the voice is unknown, or the text or the speed cannot be spoken.
    """
    if not 80 <= words_per_minute <= 450:
        raise ValueError(f"words_per_minute is {words_per_minute}; use 80 to 450")
    if "\0" in text:
        raise ValueError("the text holds a NUL character; leave it out")
    with _lock:
        espeak = _loaded()
        pcm, places = espeak.say(text, voice, words_per_minute)
        ulaw = ulaw_encode(resample_pcm16(pcm, espeak.rate_hz, ULAW_HZ))
    return Utterance(ulaw, _words(text, places, len(ulaw)))


def phonemes(word: str, *, voice: str = "en-us") -> list[str]:
    """The phonemes of a word, in the International Phonetic Alphabet.

    Raises SpeechUnavailable, and ValueError for an unknown voice.
    """
    with _lock:
        return _loaded().phonemes(word, voice)


def _loaded() -> _Espeak:
    """The library, loaded once. Hold `_lock`."""
    global _espeak
    if _espeak is None:
        _espeak = _Espeak()
    return _espeak


def _words(text: str, places: Sequence[tuple[int, int]], size_bytes: int) -> tuple[Word, ...]:
    """Cut a text where its words begin. `places`: (character, ms) from espeak-ng.

    espeak-ng reports several places for a number that it says in several words, and none for a word
    that it joins to the one before; for a word after a dash it may report the dash.
    """
    tokens = list(_TOKEN.finditer(text))
    begins_ms: list[int | None] = [None] * len(tokens)
    starts = [token.start() for token in tokens]
    for character, at_ms in places if tokens else ():
        number = max(0, bisect_right(starts, character) - 1)
        if begins_ms[number] is None:
            begins_ms[number] = at_ms
    for number in range(len(tokens) - 1):
        silent = not any(character.isalnum() for character in tokens[number][0])
        if silent and begins_ms[number + 1] is None:
            begins_ms[number + 1], begins_ms[number] = begins_ms[number], None

    words: list[Word] = []
    unsaid = ""  # text before the first word with a place
    for token, begin_ms in zip(tokens, begins_ms, strict=True):
        if begin_ms is not None:
            begin = min(begin_ms * ULAW_BYTES_PER_MS, size_bytes)
            words.append(
                Word(unsaid + token[0], max(begin, words[-1].offset_bytes if words else 0))
            )
            unsaid = ""
        elif words:
            words[-1] = Word(words[-1].text + token[0], words[-1].offset_bytes)
        else:
            unsaid += token[0]
    if unsaid or (text and not words):
        words.append(Word(unsaid or text, 0))
    return tuple(words)


def _short_path(path: str) -> str:
    """The folder by a path short enough for espeak-ng: a symbolic link if its own is too long."""
    if len(os.fsencode(path)) <= _LONGEST_PATH_BYTES:
        return path
    folder = tempfile.mkdtemp(prefix="espeak-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = os.path.join(folder, "data")
    os.symlink(path, link)
    return link
