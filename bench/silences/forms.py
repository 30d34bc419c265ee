"""The forms of a response without sound, by a Realtime server or an external voice.

A `PlayedSession` plays a form in place of the response that the service created.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

from bench.model import now_ms
from bench.silences.played import UNSPOKEN, PlayedSession, Step, words_of

WORDS = f"{UNSPOKEN} words of the agent."
BROKEN_OFF_TENTHS = 3

Speaker = Literal["native", "external"]


@dataclass(frozen=True, slots=True)
class Form:
    """One form."""

    name: str
    play: Step
    #: The voices with which it can happen.
    speakers: tuple[Speaker, ...] = ("native", "external")
    #: The caller should hear it.
    sounds: bool = False
    #: Only a new session can answer.
    fresh: bool = False
    #: The voice, not the model, has no sound.
    deaf: bool = False


# --- a response that ends without sound -----------------------------------------------------------


def no_output(session: PlayedSession) -> None:
    session.begin()
    session.end("completed")


def incomplete(session: PlayedSession) -> None:
    session.begin()
    session.end("incomplete", reason="max_output_tokens")


def failed(session: PlayedSession) -> None:
    session.begin()
    session.end("failed", reason="server_error")


def empty_message(session: PlayedSession) -> None:
    session.begin()
    session.end("completed", session.complete(session.message()))


def empty_part(session: PlayedSession) -> None:
    session.begin()
    item = session.message()
    session.part("text" if session.writes else "audio")
    session.end("completed", session.complete(item, _content(session, "")))


def empty_deltas(session: PlayedSession) -> None:
    session.begin()
    item = session.message()
    session.part("text" if session.writes else "audio")
    for _ in range(3):
        session.delta("output_text" if session.writes else "output_audio", "")
    if not session.writes:
        session.delta("output_audio_transcript", WORDS)
    text = "" if session.writes else WORDS
    session.end("completed", session.complete(item, _content(session, text)))


def _transcript(status: str, reason: str = "") -> Step:
    def play(session: PlayedSession) -> None:
        session.begin()
        item = session.message()
        session.part("audio")
        session.delta("output_audio_transcript", WORDS)
        done = session.complete(item, {"type": "output_audio", "transcript": WORDS})
        session.end(status, done, reason=reason)

    return play


def _written(text: str) -> Step:
    def play(session: PlayedSession) -> None:
        session.begin()
        item = session.message()
        session.part("text")
        session.delta("output_text", text)
        done = session.complete(item, {"type": "output_text", "text": text})
        session.end("completed", done)

    return play


def _content(session: PlayedSession, text: str) -> dict[str, str]:
    if session.writes:
        return {"type": "output_text", "text": text}
    return {"type": "output_audio", "transcript": text}


# --- a response that does not end, or was not announced -------------------------------------------


def refused(session: PlayedSession) -> None:
    error = {"type": "server_error", "code": None, "message": "The server had an error."}
    session.send("error", error={**error, "param": None})


def begun(session: PlayedSession) -> None:
    session.begin()


def item_begun(session: PlayedSession) -> None:
    session.begin()
    session.message()


def broken_off(session: PlayedSession) -> None:
    session.begin()
    session.message()
    assert session.cell is not None
    if session.writes:
        session.part("text")
        session.delta("output_text", f"Line {session.cell.index} begins. {UNSPOKEN} is")
    else:
        session.part("audio")
        session.delta("output_audio_transcript", "Well")
        session.sound(BROKEN_OFF_TENTHS)
    session.cell.broke_off_ms = now_ms()


def nothing(_session: PlayedSession) -> None:
    pass


def hangs(session: PlayedSession) -> None:
    session.begin()
    session.hung = True


def done_alone(session: PlayedSession) -> None:
    session.begin(announced=False)
    session.end("completed")


def done_with_text(session: PlayedSession) -> None:
    session.begin(announced=False)
    item = session.message(announced=False)
    item["content"].append({"type": "output_audio", "transcript": WORDS})
    session.end("completed", {**item, "status": "completed"})


def unannounced(session: PlayedSession) -> None:
    session.begin(announced=False)
    item = session.message()
    session.end("completed", session.complete(item, _speak(session)))


def bare_audio(session: PlayedSession) -> None:
    session.begin(announced=False)
    item = session.message(announced=False)
    item["content"].append(_speak(session))
    session.end("completed", {**item, "status": "completed"})


def _speak(session: PlayedSession) -> dict[str, str]:
    """Send the deltas of a normal answer. Returns its content part."""
    assert session.cell is not None
    text = "".join(words_of(session.cell.index))
    if session.writes:
        session.delta("output_text", text)
    else:
        session.delta("output_audio_transcript", text)
        session.sound(session.deltas)
    return _content(session, text)


def zeros(session: PlayedSession) -> None:
    session.begin()
    item = session.message()
    session.part("audio")
    session.delta("output_audio_transcript", WORDS)
    session.zeros(session.deltas)
    done = session.complete(item, {"type": "output_audio", "transcript": WORDS})
    session.end("completed", done)


def zeros_on(session: PlayedSession) -> None:
    session.begin()
    session.message()
    session.part("audio")
    session.zeros_on(session.response_id)


def zeros_of_voice(session: PlayedSession) -> None:
    """The model writes the words, and the external voice sends digital silence for them."""
    assert session.cell is not None
    session.cell.zeros = True
    deaf(session)


def deaf(session: PlayedSession) -> None:
    """The model writes the words, and the external voice returns no sound for them."""
    assert session.cell is not None
    if session.writes:
        session.cell.deaf = inf if session.cell.never else 1
        session.speak()
    else:
        no_output(session)


NATIVE: tuple[Speaker, ...] = ("native",)
EXTERNAL: tuple[Speaker, ...] = ("external",)

FORMS = (
    Form("completed, no output", no_output),
    Form("incomplete, no output", incomplete),
    Form("failed, no output", failed),
    Form("a message without content", empty_message),
    Form("a part without a delta", empty_part),
    Form("deltas of no length", empty_deltas),
    Form("transcript, no audio", _transcript("completed"), NATIVE),
    Form("transcript, no audio, incomplete", _transcript("incomplete", "content_filter"), NATIVE),
    Form("text in place of audio", _written(WORDS), NATIVE),
    Form("an emoji", _written("\U0001f642"), EXTERNAL),
    Form("markdown and nothing in it", _written("**\n\n---\n```\n```\n"), EXTERNAL),
    Form("blanks", _written(" \n "), EXTERNAL),
    Form("a voice that answers without sound", deaf, EXTERNAL, deaf=True),
    Form("digital silence", zeros, NATIVE),
    Form("digital silence without an end", zeros_on, NATIVE),
    Form("a voice of digital silence", zeros_of_voice, EXTERNAL, deaf=True),
    Form("an error without event_id", refused),
    Form("created, then nothing", begun),
    Form("an item begun, then nothing", item_begun),
    Form("broken off amid words", broken_off),
    Form("never created", nothing),
    Form("created, and the session hangs", hangs, fresh=True),
    Form("response.done alone", done_alone),
    Form("response.done alone, with text", done_with_text, NATIVE),
    Form("an answer that was not announced", unannounced, sounds=True),
    Form("deltas of an unknown item", bare_audio, sounds=True),
)
