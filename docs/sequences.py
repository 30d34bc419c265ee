"""A call and a transfer, step by step, as Mermaid sequence diagrams.

Each step names what it is in the code: events and commands of the call, routes, TwiML templates,
messages to the model. tests/service/test_service_sequences.py runs both and compares.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.call import commands as do
from app.call import events as ev

#: The participants, from left to right.
PARTICIPANTS = ("Caller", "Human", "Twilio", "Bridge", "Model")

_ENDED = "/transfers/{call_sid}/{number}/ended"
_WHISPER = "/transfers/{call_sid}/{number}/whisper"
_PRESSED = "/transfers/{call_sid}/{number}/pressed"


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow of a diagram, and what it is in the code."""

    sender: str
    receiver: str
    text: str
    #: The call's events and commands that this step consists of, in this order.
    messages: tuple[type[ev.Event | do.Command], ...] = ()
    #: The route that Twilio requests in this step.
    route: str = ""
    #: The TwiML template that the bridge renders in this step.
    template: str = ""
    #: The type of the client event that the model receives in this step.
    to_model: str = ""

    @property
    def is_answer(self) -> bool:
        """Whether the step is the response to a request of Twilio's."""
        return bool(self.template) and not self.messages


@dataclass(frozen=True, slots=True)
class Note:
    """A remark between two steps."""

    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """Steps under a title."""

    title: str
    rows: tuple[Step | Note, ...]

    @property
    def steps(self) -> list[Step]:
        return [row for row in self.rows if isinstance(row, Step)]


# --- a call -----------------------------------------------------------------------------------

ANSWERED = Part(
    "The call is answered",
    (
        Step("Caller", "Twilio", "calls the number"),
        Step("Twilio", "Bridge", "POST /incoming-call", route="/incoming-call"),
        Step(
            "Bridge",
            "Model",
            "session.update: instructions, tools, voice",
            messages=(ev.LegOpened, do.OpenModel, ev.ModelOpened, do.ConfigureSession),
            to_model="session.update",
        ),
        Step(
            "Bridge",
            "Model",
            "response.create: the greeting",
            messages=(do.CreateResponse,),
            to_model="response.create",
        ),
        Step("Bridge", "Twilio", "TwiML: Connect, Stream", template="incoming-call"),
        Step("Twilio", "Bridge", "WebSocket: start", messages=(ev.StreamStarted,)),
        Step("Bridge", "Twilio", "media, mark", messages=(do.PlayAudio, do.SendMark)),
        Step("Twilio", "Caller", "“Hello. How can I help you?”"),
    ),
)
INTERRUPTED = Part(
    "The caller interrupts the agent (barge-in)",
    (
        Step("Caller", "Twilio", "speaks while the agent speaks"),
        Step("Twilio", "Bridge", "media"),
        Step("Bridge", "Model", "input_audio_buffer.append", to_model="input_audio_buffer.append"),
        Step(
            "Model",
            "Bridge",
            "input_audio_buffer.speech_started",
            messages=(ev.SpeechStarted,),
        ),
        Step("Bridge", "Twilio", "clear: drop what has not been played", messages=(do.ClearAudio,)),
        Step(
            "Model",
            "Bridge",
            "the transcript: words, and no “mm-hm”",
            messages=(ev.CallerTranscribed,),
        ),
        Step(
            "Bridge",
            "Model",
            "conversation.item.truncate: to what was heard",
            messages=(do.TruncateItem,),
            to_model="conversation.item.truncate",
        ),
        Note("The model knows how much of its sentence the caller heard, and answers from there."),
    ),
)
CALL = (ANSWERED, INTERRUPTED)

# --- a transfer -------------------------------------------------------------------------------

ANNOUNCED = Part(
    "The agent announces the transfer, and the caller hears it to the end",
    (
        Step("Model", "Bridge", "“I am connecting you.”", messages=(ev.AudioReceived,)),
        Step("Bridge", "Twilio", "media, mark", messages=(do.PlayAudio, do.SendMark)),
        Step(
            "Model",
            "Bridge",
            "transfer_to_human(destination, reason, summary)",
            messages=(ev.OutputItemDone,),
        ),
        Step("Twilio", "Caller", "“I am connecting you.”"),
        Step("Twilio", "Bridge", "mark: heard to the last byte", messages=(ev.MarkEchoed,)),
        Note("A caller who speaks before that suspends the transfer. The model decides again."),
        Step(
            "Bridge",
            "Twilio",
            "REST: new TwiML for the call, Dial the first destination",
            messages=(do.TransferCall,),
            template="transfer",
        ),
        Step("Twilio", "Bridge", "stop: the stream ends, not the call", messages=(ev.StreamEnded,)),
        Step("Bridge", "Model", "closes the session", messages=(do.EndLeg,)),
    ),
)
DIALLED = Part(
    "Twilio dials one destination after the other",
    (
        Step("Twilio", "Human", "rings the first one: no answer"),
        Step("Twilio", "Bridge", "POST …/ended, DialCallStatus=no-answer", route=_ENDED),
        Step("Bridge", "Twilio", "TwiML: Dial the next destination", template="transfer"),
        Step("Twilio", "Human", "rings the next one: answered"),
        Step("Twilio", "Bridge", "POST …/whisper", route=_WHISPER),
        Step("Bridge", "Twilio", "TwiML: Gather, Say the summary", template="whisper"),
        Step("Twilio", "Human", "“A caller is waiting for you. To talk to them, press 1.”"),
    ),
)
ACCEPTED = Part(
    "The human presses 1",
    (
        Step("Human", "Twilio", "1"),
        Step("Twilio", "Bridge", "POST …/pressed, Digits=1", route=_PRESSED),
        Step("Bridge", "Twilio", "TwiML: empty, so Twilio connects the two", template="accepted"),
        Step("Caller", "Human", "talk"),
        Step("Twilio", "Bridge", "POST …/ended, DialBridged=true", route=_ENDED),
        Step("Bridge", "Twilio", "TwiML: Hangup", template="goodbye"),
    ),
)
RESUMED = Part(
    "No human accepts: the call resumes with the agent",
    (
        Step("Twilio", "Bridge", "POST …/ended, DialBridged=false", route=_ENDED),
        Step(
            "Bridge",
            "Model",
            "session.update: a new session",
            messages=(do.ConfigureSession,),
            to_model="session.update",
        ),
        Step(
            "Bridge",
            "Model",
            "conversation.item.create: the conversation as heard, the outcome",
            messages=(do.AddMessage,),
            to_model="conversation.item.create",
        ),
        Step(
            "Bridge",
            "Model",
            "response.create: say what happened",
            messages=(do.CreateResponse,),
            to_model="response.create",
        ),
        Step("Bridge", "Twilio", "TwiML: Connect, Stream", template="incoming-call"),
        Step("Twilio", "Bridge", "start: a new stream of this call", messages=(ev.StreamStarted,)),
        Step("Model", "Bridge", "“I could not reach anyone.”", messages=(ev.AudioReceived,)),
        Step("Bridge", "Twilio", "media, mark", messages=(do.PlayAudio,)),
        Step("Twilio", "Caller", "“I could not reach anyone.”"),
    ),
)
TRANSFER = (ANNOUNCED, DIALLED)
#: How a transfer ends: one of these.
OUTCOMES = (ACCEPTED, RESUMED)


# --- drawing ----------------------------------------------------------------------------------


def call_picture() -> str:
    """The call of the README."""
    return "\n".join(_diagram(CALL))


def transfer_picture() -> str:
    """The transfer, with both of its ends."""
    return "\n".join(_diagram(TRANSFER, OUTCOMES))


def _diagram(parts: Iterable[Part], ends: Iterable[Part] = ()) -> Iterator[str]:
    steps = [step for part in (*parts, *ends) for step in part.steps]
    seen = {name for step in steps for name in (step.sender, step.receiver)}
    drawn = [name for name in PARTICIPANTS if name in seen]
    yield "sequenceDiagram"
    for name in drawn:
        yield f"    participant {name}"
    for part in parts:
        yield f"    Note over {drawn[0]},{drawn[-1]}: {part.title}"
        yield from map(_row, part.rows)
    for number, part in enumerate(ends):
        yield f"    {'else' if number else 'alt'} {part.title}"
        yield from (f"    {_row(row)}" for row in part.rows)
    if ends:
        yield "    end"


def _row(row: Step | Note) -> str:
    if isinstance(row, Note):
        return f"    Note over Twilio,Bridge: {row.text}"
    arrow = "-->>" if row.is_answer else "->>"
    return f"    {row.sender}{arrow}{row.receiver}: {row.text}"
