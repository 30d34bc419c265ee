"""The interface of a wire to a speech-to-speech model, the same for every model.

The bridge and the core know a model by this interface alone. An implementation translates: the
core's commands into the model's messages, the model's messages into the core's events. Where a
model has no turns, items or responses, its wire makes them up, so that the core needs no second set
of rules.
"""

from collections.abc import Callable
from typing import Protocol

from app.call.agent import Agent
from app.call.commands import ToModel
from app.call.events import Event
from app.errors import ProtocolError


class ModelWire(Protocol):
    """One session with a model, for one leg of a call.

    Call `connect` once, then the other methods in any order, and `close` at the end. A lost session
    is not opened again: the next one gets a new wire, so a wire keeps state for one session only.
    A leg has a second wire for a while, when its session is about to expire: feed `SessionCreated`
    with the time at which it does. A session that feeds none is replaced when it is lost.

    **Feeding events.** Everything that the model does reaches the core through `feed`, in the order
    in which it happens. `feed` handles an event completely, and may call this wire's other methods
    before it returns. Never call `feed` inside `send`, `append_audio`, `pause`, `resume` or
    `close`: the core is handling another event then. Use `loop.call_soon`. Feed nothing after
    `ModelLost`, and nothing after `close`.

    **The session.** Feed `ModelOpened` first. The core sends `ConfigureSession`; feed
    `SessionConfigured` when the settings are in force, within 12 s. While it handles that event,
    the core adds the call so far, as `AddMessage`, and requests the first response.

    **The caller.** Feed `SpeechStarted` when the model, or the wire itself, detects speech in the
    caller's audio: barge-in depends on it. If `agent.turns.interruptible`, end the active response
    then, with status cancelled; the core does not request that. `SpeechStopped`,
    `CallerTurnCommitted` and, whenever the text is known, `CallerTranscribed` follow. After a
    commit the model responds without a request; after 4 s without `ResponseCreated` the core
    requests a response.

    **A response.** One at a time: `ResponseCreated`, then for each item `OutputItemAdded`, its
    audio or text, `TranscriptReceived` and `TranscriptCompleted` in step with the audio or later,
    and `OutputItemDone`; last `ResponseDone`, when all of its audio was fed. A response without an
    event for 4 s, counted from the end of what plays, is stalled: the core replaces the session.
    Audio is base64 of µ-law, 8000 Hz, and may come faster than it plays; say if it is `quiet`.
    The silence between two utterances is not part of a response: do not feed it. A tool call is an
    `OutputItemDone` of kind function_call. An id that the model lacks may be left empty: the core
    fills it in. Ids are unique within a session; the bridge tells those of a leg's sessions apart.

    **Answers to commands.** Feed these, with the ids of the command:

        ConfigureSession    SessionConfigured, or ModelFaulted that names its event_id, and the
                            setting (`ModelFaulted.setting`) that the model refuses
        SetTurnDetection    SessionConfigured, or ModelFaulted that names its event_id
        CreateResponse      ResponseCreated, or ModelFaulted (refusal `busy`: another is active)
        CancelResponse      ResponseDone with status cancelled, if the response is active
        AddToolOutput       ToolOutputTaken, when responses that begin from now on know it
        AddMessage          MessageTaken likewise, if the message has an item_id
        TruncateItem        ItemTruncated, or ModelFaulted (refusal `too_short`, with length_ms)
        DeleteItem          ItemDeleted

    A model that cannot truncate or delete ignores both commands: the core waits for neither answer.
    One that always acts on the caller's speech by itself ignores `SetTurnDetection`.

    **Errors.** `ModelFaulted`: the model refused a command or failed, and the session goes on.
    `ModelLost`: the session is over; `fatal` when another one would fail as well. Report a
    malformed message with `on_malformed` and go on: none ends the session.
    """

    async def connect(self) -> None:
        """Connect, and feed `ModelOpened` when the session takes commands.

        It has its own deadline, of 8 s or less: the core goes on without the model when it had no
        session for 20 s. A cancellation leaves no connection behind.

        Raises:
            ModelError: no session can be opened. `fatal` tells whether a retry could help.
        """
        ...

    def send(self, command: ToModel) -> None:
        """Send a command without waiting. Without an open session it is dropped."""
        ...

    def append_audio(self, payload: str) -> bool:
        """Append audio of the caller, without waiting. The bridge calls it from `SessionConfigured`
        on, about fifty times a second.

        Args:
            payload: Base64 of µ-law, 8000 Hz; valid. In real time, but for what was buffered.

        Returns:
            False when the wire does not take it now, because its write buffer is full or no session
            is open. The bridge then keeps it, the last ten seconds at most, and appends it before
            the next frame, or when `on_writable` is called. A wire keeps none of it.
        """
        ...

    def hold(self) -> None:
        """Keep what is sent and appended until `release`, which follows at once: then send it in
        one write. The caller's frames that one read brought are appended so. A wire may ignore
        both."""
        return

    def release(self) -> None:
        """Send what was kept since `hold`."""
        return

    def pause(self) -> None:
        """Stop feeding audio until `resume`: the caller's stream is blocked, and what is fed now
        waits in memory. Stop reading from a model that waits for its reader. A model that sends in
        real time, without waiting, is read on: drop its audio."""
        ...

    def resume(self) -> None:
        """Feed audio again."""
        ...

    def close(self) -> None:
        """End the session without waiting. May be called more than once, and before `connect` has
        returned."""
        ...


class OpenWire(Protocol):
    """Makes the wire for a leg's next session. It belongs to the service; calls share it."""

    def __call__(
        self,
        agent: Agent,
        *,
        feed: Callable[[Event], None],
        on_writable: Callable[[], None],
        on_malformed: Callable[[ProtocolError], None],
    ) -> ModelWire:
        """A wire that is not connected yet.

        Args:
            agent: Provides the session's settings, instructions and tools.
            feed: Gives an event to the core, see `ModelWire`.
            on_writable: Call it when the wire takes audio again after `append_audio` was False.
            on_malformed: Counts and logs a message that the wire could not decode.
        """
        ...
