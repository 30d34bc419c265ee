"""The interface of a scripted model: turns in, replies out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.simulator.realtime.items import Item


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The client created a `function_call_output` item."""

    call_id: str
    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A response was created: the model answers with a `Reply`."""

    #: direct: the `response.create` has instructions of its own; otherwise reply.
    kind: Literal["direct", "reply"]
    #: The instructions of the `response.create`, else the session's.
    instructions: str
    #: The text of the caller's last item; empty if there is none.
    transcript: str
    #: The conversation so far, or the `input` of the `response.create`.
    items: tuple[Item, ...]
    #: Outputs that arrived since the last reply, each call's once. An output of a replayed
    #: conversation that already has the model's answer after it is none of them.
    tool_outputs: tuple[ToolOutput, ...]
    tools: tuple[dict[str, Any], ...]
    tool_choice: Any
    metadata: dict[str, str] | None
    #: False: an out-of-band response.
    in_conversation: bool
    session_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says and which tools it calls."""

    text: str = ""
    #: µ-law, 8000 Hz; None: the server makes up bytes for `text`.
    audio: bytes | None = None
    #: (µ-law bytes of `audio` before the piece, piece of `text`), in order; together the whole
    #: text. Each piece is sent right before its audio. Empty: the text is spread evenly.
    words: Sequence[tuple[int, str]] = ()
    #: (name, arguments) of each function call.
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    #: incomplete and failed leave the last item incomplete; failed sends no usage.
    status: Literal["completed", "failed", "incomplete"] = "completed"
    #: The code of a failed response.
    error_code: str = "server_error"
    #: Thinking time before the first item.
    delay_ms: float = 0
    #: The longest audio in one delta.
    delta_ms: int = 100
    #: How many times faster than real time audio is sent; infinite: at once; None: the server's
    #: own speed.
    speed: float | None = None


class TranscriptionFailed(Exception):
    """Raise it in a `transcribe`: the client gets `input_audio_transcription.failed`."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript that the brain gets at once, and the client later."""

    text: str
    #: From the commit of the turn, beside the server's `transcript_delay_ms`; infinite: the client
    #: never gets it.
    delay_ms: float = 0
    #: The client gets `input_audio_transcription.failed`.
    failed: bool = False


#: Answers a turn.
Brain = Callable[[Turn], Reply | Awaitable[Reply]]
#: Transcribes µ-law, 8000 Hz, of one turn of the caller.
Transcribe = Callable[[bytes], str | Transcript | Awaitable[str | Transcript]]


@dataclass(frozen=True, slots=True)
class Options:
    """How the server behaves unless a reply or a fault says otherwise."""

    #: The only key that is accepted; empty: every key.
    api_key: str = ""
    #: If set, the server is like Azure's: it demands this `api-version` in the query and the key in
    #: the header `api-key`, and refuses bearer tokens. `deployment` may name the model.
    api_version: str = ""
    #: How many times faster than real time audio is sent.
    speed: float = 5.0
    #: From the commit of a turn to its transcript.
    transcript_delay_ms: float = 0
    #: Hold transcripts back until the next `response.done`.
    transcript_after_response: bool = False
    #: A session expires after this time.
    life_s: float = 3600
    #: What a session says of it, seconds from its beginning; None: `life_s`, in whole seconds of
    #: Unix time, as the real server says it.
    says_life_s: float | None = None
    #: The length of made-up audio.
    ms_per_character: int = 60
    #: Keep what clients sent, for tests. Set it to False in a server that runs for days.
    remembers: bool = True


class Script:
    """Replies in order, for tests.

    A turn without a reply left raises AssertionError: its response fails, and `RealtimeServer`
    raises the error when it closes.

    Args:
        replies: a text is short for `Reply(text)`.
        direct: answers every direct turn; None: direct turns take from `replies` as well.
        heard: the caller's transcripts, in order.
    """

    def __init__(
        self,
        *replies: Reply | str,
        direct: Reply | str | None = None,
        heard: Sequence[str] = (),
    ) -> None:
        #: Every turn that was answered, in order.
        self.turns: list[Turn] = []
        self._replies = [_reply(reply) for reply in replies]
        self._direct = None if direct is None else _reply(direct)
        self._heard = list(heard)

    @property
    def unused(self) -> tuple[Reply, ...]:
        """Replies that no turn has taken yet."""
        return tuple(self._replies)

    def brain(self, turn: Turn) -> Reply:
        self.turns.append(turn)
        if turn.kind == "direct" and self._direct is not None:
            return self._direct
        if not self._replies:
            raise AssertionError(f"the script has no reply left for a {turn.kind} turn; add one")
        return self._replies.pop(0)

    def transcribe(self, _ulaw: bytes) -> str:
        return self._heard.pop(0) if self._heard else ""


def _reply(reply: Reply | str) -> Reply:
    return Reply(reply) if isinstance(reply, str) else reply
