"""Speech for demos and tests: espeak-ng says a text, and it comes back as telephone audio.

Needs the extra `demo`: the package espeakng-loader carries the espeak-ng library and its data. That
library is free software under the GNU General Public License, version 3 or later, so it is loaded
at run time from its own package, only when something is to be spoken, and never shipped with the
bridge, which runs without it.
"""

import atexit
import ctypes
import importlib
import os
import shutil
import tempfile
import threading

from app.audio import ULAW_HZ, resample_pcm16, ulaw_encode

# speak_lib.h of espeak-ng 1.52
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_RATE = 1
_UTF8 = 1
_OK = 0
# espeak-ng holds its data path in 160 characters and takes a wrong one in silence when it is longer
_LONGEST_PATH_BYTES = 140

_SAMPLES = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeechUnavailable(RuntimeError):
    """There is no espeak-ng to speak with. The message says how to get it."""


class _Espeak:
    """The library, which holds one voice and one output at a time: use it under `_lock`."""

    def __init__(self) -> None:
        try:
            # optional and untyped: looked up only when somebody wants it, so that nobody else must
            espeakng_loader = importlib.import_module("espeakng_loader")
        except ImportError as error:
            raise SpeechUnavailable(
                "speech needs espeak-ng; install it with: pip install 'phone-agent-bridge[demo]'"
            ) from error
        try:
            self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
            data_path = _short_path(str(espeakng_loader.get_data_path()))
        except (OSError, RuntimeError) as error:
            raise SpeechUnavailable(
                f"espeak-ng cannot be loaded on this machine ({error}); reinstall it with: "
                "pip install --force-reinstall 'phone-agent-bridge[demo]'"
            ) from error
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        self._heard = bytearray()
        self._callback = _SAMPLES(self._take)  # kept: the library calls it for as long as it lives
        self.rate_hz = int(
            self._library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data_path), _DO_NOT_EXIT)
        )
        if self.rate_hz <= 0:
            raise SpeechUnavailable(
                "espeak-ng does not find its data; reinstall it with: "
                "pip install --force-reinstall 'phone-agent-bridge[demo]'"
            )
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int) -> int:
        if samples and count > 0:
            self._heard += ctypes.string_at(samples, count * 2)
        return 0

    def say(self, text: str, voice: str, words_per_minute: int) -> bytes:
        """PCM at `rate_hz`. Raises ValueError for a voice that espeak-ng does not have."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != _OK:
            known = "'en-us', 'en-gb-x-rp', 'de', 'fr'"
            raise ValueError(f"espeak-ng has no voice {voice!r}; try {known}")
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        spoken = text.encode()
        self._heard.clear()
        status = self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 0, 0, _UTF8, None, None)
        if status != _OK or self._library.espeak_Synchronize() != _OK:
            raise RuntimeError(f"espeak-ng failed with status {status}")
        return bytes(self._heard)


_lock = threading.Lock()
_espeak: _Espeak | None = None


def speak(text: str, *, voice: str = "en-us", words_per_minute: int = 165) -> bytes:
    """Say `text`; returns µ-law, 8000 Hz, mono, with no silence added around it.

    May be called from any thread; one text is spoken at a time, some hundred times faster than it
    plays. The voice flutters a little, so the same text gives other bytes each time.

    `voice`: an espeak-ng voice, such as en-us, en-gb-x-rp, de. `words_per_minute`: 80 to 450.

    Raises:
        SpeechUnavailable: the extra `demo` is not installed.
        ValueError: there is no such voice, or a text or speed that cannot be spoken.
    """
    global _espeak
    if not 80 <= words_per_minute <= 450:
        raise ValueError(f"words_per_minute is {words_per_minute}; use 80 to 450")
    if "\0" in text:
        raise ValueError("the text holds a NUL character; leave it out")
    with _lock:
        if _espeak is None:
            _espeak = _Espeak()
        pcm = _espeak.say(text, voice, words_per_minute)
        return ulaw_encode(resample_pcm16(pcm, _espeak.rate_hz, ULAW_HZ))


def _short_path(path: str) -> str:
    """The same folder by a name short enough for espeak-ng: a link, when the real one is not."""
    if len(os.fsencode(path)) <= _LONGEST_PATH_BYTES:
        return path
    folder = tempfile.mkdtemp(prefix="espeak-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = os.path.join(folder, "data")
    os.symlink(path, link)
    return link
