"""A scene with a scripted model: it opens sessions, keeps their items, and responds in any form."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from tests.call.scene import BYTES_PER_MS
from tests.call.voice_scene import VoiceScene, Way

OPENS_MS, CONFIGURES_MS, ANSWERS_MS = 150.0, 30.0, 120.0
WORDS = "Yes, of course."
SPEECH_MS = 600


@dataclass(slots=True)
class Form:
    """How a response comes."""

    #: Its events, for a response id and an item id.
    events: Callable[[str, str], Sequence[ev.Event]]
    #: Whether a cancellation is answered by `ResponseDone`.
    ends: bool = True


def message(*said: Callable[[str, str], ev.Event], status: str = "completed") -> Form:
    """A response with one message, made of these events."""

    def events(response_id: str, item_id: str) -> Iterator[ev.Event]:
        yield ev.ResponseCreated(response_id)
        yield ev.OutputItemAdded(response_id, item_id, "message")
        for each in said:
            yield each(response_id, item_id)
        yield ev.OutputItemDone(response_id, item_id, "message", status)
        yield ev.ResponseDone(response_id, status)

    return Form(lambda r, i: tuple(events(r, i)))


def begun(*kinds: str) -> Form:
    """A response that begins and goes silent."""

    def events(response_id: str, item_id: str) -> Iterator[ev.Event]:
        yield ev.ResponseCreated(response_id)
        for kind in kinds:
            yield ev.OutputItemAdded(response_id, item_id, kind)

    return Form(lambda r, i: tuple(events(r, i)), ends=False)


def _audio(response_id: str, item_id: str) -> ev.Event:
    return ev.AudioReceived(response_id, item_id, "", SPEECH_MS * BYTES_PER_MS)


def _text(text: str) -> Callable[[str, str], ev.Event]:
    return lambda _, item_id: ev.TextReceived(item_id, text)


def _transcript(text: str) -> Callable[[str, str], ev.Event]:
    return lambda _, item_id: ev.TranscriptReceived(item_id, text)


def ended(status: str) -> Form:
    return Form(lambda r, _: (ev.ResponseCreated(r), ev.ResponseDone(r, status)))


SPOKEN = message(_transcript(WORDS), _audio)
WRITTEN = message(_text(WORDS))

EMPTY = {
    "no output": ended("completed"),
    "incomplete, no output": ended("incomplete"),
    "an empty item": message(),
    "a transcript and no audio": message(_transcript(WORDS)),
    "an incomplete transcript": message(_transcript(WORDS), status="incomplete"),
    "only its end": Form(lambda r, _: (ev.ResponseDone(r, "completed"),)),
    "only its end, with a text": Form(
        lambda r, i: (ev.ResponseDone(r, "completed", messages=(i,)),)
    ),
}
EMPTY_NATIVE = EMPTY | {"text and no audio": message(_text(WORDS))}
EMPTY_VOICED = EMPTY | {
    "an emoji": message(_text("🎉")),
    "marks without words": message(_text("** ** ...")),
}
SILENT = {
    "nothing": Form(lambda r, i: (), ends=False),
    "an error without the id of its cause": Form(
        lambda r, i: (ev.ModelFaulted("server_error", "sorry"),), ends=False
    ),
    "created, then nothing": begun(),
    "an item, then nothing": begun("message"),
}
UNANNOUNCED = Form(lambda r, i: SPOKEN.events(r, i)[1:])
STALLING = Form(lambda r, i: SPOKEN.events(r, i)[:4], ends=False)


@dataclass(slots=True)
class Item:
    """An item of the assistant in the current session."""

    text: str = ""
    size_bytes: int = 0
    truncated_ms: int | None = None


@dataclass(slots=True)
class Session:
    items: dict[str, Item] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    active: str = ""


class ModelScene(VoiceScene):
    """A scene whose model responds whenever a response is requested."""

    def __init__(
        self,
        agent: Agent,
        form: Callable[[int], Form],
        *,
        voices: tuple[str, ...] = (),
        way: Callable[[do.Synthesize], Way] = lambda _: Way(),
    ) -> None:
        """
        Args:
            form: How the model responds to the request of this number, from 0 on, whether the
                machine or turn detection makes it.
        """
        super().__init__(agent, voices=voices, way=way)
        self.form = form
        self.session = Session()
        self.asked_ms: list[
            float
        ] = []  # when a response was requested, by the machine or by turn detection

    def feed(self, *events: ev.Event) -> list[do.Command]:
        for event in events:
            self._note(event)
        commands = super().feed(*events)
        for command in commands:
            self._obey(command)
        return commands

    def _note(self, event: ev.Event) -> None:
        items = self.session.items
        match event:
            case ev.OutputItemAdded(_, item_id, "message"):
                items[item_id] = Item()
            case ev.ResponseDone(messages=(item_id,)):
                items.setdefault(item_id, Item(WORDS))
            case ev.AudioReceived(_, item_id, _, size_bytes):
                items.setdefault(item_id, Item()).size_bytes += size_bytes
            case ev.TextReceived(item_id, text) | ev.TranscriptReceived(item_id, text):
                items.setdefault(item_id, Item()).text += text

    def _obey(self, command: do.Command) -> None:
        session = self.session
        match command:
            case do.OpenModel():
                self.session = Session()
                self.later(OPENS_MS, partial(self.feed, ev.ModelOpened()))
            case do.ConfigureSession():
                self.later(CONFIGURES_MS, partial(self.feed, ev.SessionConfigured()))
            case do.CreateResponse():
                self.ask()
            case do.CancelResponse(_, response_id) if response_id == session.active:
                session.active = ""
                cancelled = ev.ResponseDone(response_id, "cancelled")
                self.later(20, partial(self._tell, session, cancelled))
            case do.DeleteItem(_, item_id):
                session.deleted.add(item_id)
            case do.TruncateItem(_, item_id, audio_end_ms):
                session.items[item_id].truncated_ms = audio_end_ms
            case do.AddMessage(role="assistant", text=text, item_id=item_id) if item_id:
                session.items[item_id] = Item(text)

    def ask(self) -> None:
        """A response is requested."""
        number = len(self.asked_ms)
        self.asked_ms.append(self.now_ms)
        self.later(ANSWERS_MS, partial(self._answer, self.session, self.form(number), number))

    def _answer(self, session: Session, form: Form, number: int) -> None:
        response_id = f"resp_{number}"
        session.active = "" if not form.ends else response_id
        for event in form.events(response_id, f"item_{number}"):
            self._tell(session, event)

    def _tell(self, session: Session, event: ev.Event) -> None:
        if session is self.session:  # else the session was closed
            self.feed(event)

    def turn(self, item_id: str = "user_1") -> None:
        """The caller says something, and turn detection requests a response."""
        self.speak(item_id)
        self.run(400)
        self.fall_silent(item_id, "Are you open?")
        self.ask()

    # --- what was heard ---------------------------------------------------------------------------

    def first_words_ms(self) -> float:
        """When the caller first heard the agent speak."""
        media = zip(self.line.item_ids, self.line.clock.media, strict=True)
        return min((each.starts_ms for item_id, each in media if item_id), default=float("inf"))

    def unheard(self) -> list[str]:
        """What the session contains as said by the agent, and the caller did not hear."""
        heard = set(self.line.item_ids)
        return [
            item.text or item_id
            for item_id, item in self.session.items.items()
            if item_id not in heard | self.session.deleted and not item_id.startswith("bridge_")
        ]
