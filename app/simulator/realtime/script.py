"""What a scripted model is asked and what it answers: turns in, replies out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.simulator.realtime.items import Item


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The client answered a function call."""

    call_id: str
    name: str
    output: str


@dataclass(frozen=True, slots=True)
class Turn:
    """The model is to answer.

    `kind`: direct for a `response.create` with instructions of its own, else reply.
    `instructions`: those, or the session's. `transcript`: what the caller said last. `items`: the
    conversation so far. `tool_outputs`: those that came since the last response. `tools`,
    `tool_choice`: what may be called. `in_conversation`: False for an out-of-band response.
    """

    kind: Literal["direct", "reply"]
    instructions: str
    transcript: str
    items: tuple[Item, ...]
    tool_outputs: tuple[ToolOutput, ...]
    tools: tuple[dict[str, Any], ...]
    tool_choice: Any
    metadata: dict[str, str] | None
    in_conversation: bool
    session_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says and does.

    `audio`: µ-law, 8000 Hz; None lets the server make bytes up for `text`. `words`: where pieces of
    `text` begin in `audio`, as (µ-law bytes before it, piece) in order, together the whole text;
    each is then told right before the audio that says it, else the text is spread evenly.
    `tool_calls`: names with arguments. `delay_ms`: thinking time before the first item. `delta_ms`:
    audio per delta, at the most.
    `speed`: how many times faster than it plays audio is sent, None for the server's own, infinite
    for no wait at all. `status` incomplete or failed leaves the last item incomplete; a failed one
    carries `error_code`, and no usage.
    """

    text: str = ""
    audio: bytes | None = None
    words: Sequence[tuple[int, str]] = ()
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    status: Literal["completed", "failed", "incomplete"] = "completed"
    error_code: str = "server_error"
    delay_ms: float = 0
    delta_ms: int = 100
    speed: float | None = None


class TranscriptionFailed(Exception):
    """Raised by a `transcribe` that means to: the client gets a transcription.failed event."""


Brain = Callable[[Turn], Reply | Awaitable[Reply]]
Transcribe = Callable[[bytes], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Options:
    """How the server behaves where no reply or fault says otherwise.

    `api_key`: the only bearer let in; empty: any. `speed`: how many times faster than it plays
    audio is sent. `transcript_delay_ms`: from the commit to the caller's transcript;
    `transcript_after_response` holds it back past the next `response.done`. `life_s`: after that a
    session expires. `ms_per_character`: how long made-up audio is. `remembers`: what clients sent
    is kept for tests; False for a server that runs for days.
    """

    api_key: str = ""
    speed: float = 5.0
    transcript_delay_ms: float = 0
    transcript_after_response: bool = False
    life_s: float = 3600
    ms_per_character: int = 60
    remembers: bool = True


class Script:
    """Replies in order, for tests.

    `replies`: a text is short for `Reply(text)`. `direct`: answers every direct turn; without it
    direct turns take their replies from the list as well. `heard`: the caller's transcripts, in
    order. A turn too many raises, which fails its response and surfaces when the server closes.
    """

    def __init__(
        self,
        *replies: Reply | str,
        direct: Reply | str | None = None,
        heard: Sequence[str] = (),
    ) -> None:
        self.turns: list[Turn] = []
        self._replies = [_reply(reply) for reply in replies]
        self._direct = None if direct is None else _reply(direct)
        self._heard = list(heard)

    @property
    def unused(self) -> tuple[Reply, ...]:
        """Replies that nobody asked for yet."""
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
