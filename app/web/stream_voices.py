"""The voices that other programs may use, and how a long text is split for them."""

import re
from collections.abc import Callable, Sequence
from hmac import compare_digest

from app.call.words.blank import stripped
from app.web.bearer import bearer_in, token_matches
from app.wires.voices.voice import LONGEST_TEXT, Voice

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？]")

#: Splits a long text into pieces that are said one after the other.
SplitText = Callable[[str], list[str]]


def whole(text: str) -> list[str]:
    """The `SplitText` that does not split."""
    return [text]


def is_speakable(text: str) -> bool:
    """Whether a voice can say anything of it."""
    return any(map(str.isalnum, text))


class StreamAudio:
    """The voices of `/stream-audio`, and who may use them.

    Args:
        voices: in the order in which they take over, for a request that names none.
        token: required of every request; an empty one admits no request.
        content_type: of the PCM; the standard's sample sends audio/mpeg.
        most_at_once: texts; further requests get 503.
        cut: splits texts longer than `LONGEST_TEXT`. Pieces that are still too long are cut at the
            last sentence end, space or character that fits.
    """

    def __init__(
        self,
        voices: Sequence[Voice],
        *,
        token: str,
        content_type: str = "audio/mpeg",
        most_at_once: int = 8,
        cut: SplitText = whole,
    ) -> None:
        self.content_type = content_type
        self.most_at_once = most_at_once
        self.busy = 0
        self.voices = tuple(voices)
        self._token = token
        self._cut = cut

    def admits(self, authorization: str, token: str) -> bool:
        """Whether a request has the token: its header `authorization`, or its body's `token`."""
        if token_matches(bearer_in(authorization), self._token):
            return True
        given = token.encode("utf-8", "surrogatepass")
        return bool(self._token) and compare_digest(given, self._token.encode())

    def voices_for(self, voice_id: str) -> Sequence[Voice]:
        """The voices that may say a text, in order: all for an empty `voice_id`, else the one whose
        label, name or provider it is.

        Raises:
            LookupError: no voice matches; the message names the known ones.
        """
        if not voice_id:
            return self.voices
        for names in (_whole, _behind_slash, _before_slash):
            for voice in self.voices:
                if names(voice.label) == voice_id:
                    return (voice,)
        known = ", ".join(voice.label for voice in self.voices)
        raise LookupError(f"VoiceId: expected one of {known}, or none")

    def pieces_of(self, text: str) -> list[str]:
        """The speakable pieces of a text, each short enough for a voice."""
        cut = self._cut(text) if len(text) > LONGEST_TEXT else [text]
        pieces = (stripped(piece) for each in cut for piece in _fitting(each))
        return [piece for piece in pieces if is_speakable(piece)]


def _whole(label: str) -> str:
    return label


def _behind_slash(label: str) -> str:
    return label.partition("/")[2]


def _before_slash(label: str) -> str:
    return label.partition("/")[0]


def _fitting(text: str) -> list[str]:
    pieces = []
    while len(text) > LONGEST_TEXT:
        head = text[:LONGEST_TEXT]
        ends = [found.end() for found in _SENTENCE_END.finditer(head)]
        end = ends[-1] if ends else head.rfind(" ") + 1 or LONGEST_TEXT
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text]
