"""Keypad input gets exactly one reply that knows it, however often turn detection interferes."""

from dataclasses import dataclass
from functools import partial
from random import Random

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from tests.call.scene import Scene
from tests.call.transfer_scene import call_transfer, transfer_scene

BUSY = "conversation_already_has_active_response"
VAD_MS = 500.0


@dataclass
class Response:
    id: str
    #: We requested it; False if turn detection began it.
    ours: bool
    #: The ids of the messages and tool outputs in the session when it was created.
    knows: frozenset[str]
    status: str = "in_progress"


class Model:
    """The model's side of the wire, as OpenAI describes it: one response at a time. It begins when
    it is requested or when the caller falls silent, and is cancelled when the caller speaks.

    Messages take a random time each way, the same in both directions.
    """

    def __init__(self, scene: Scene, random: Random) -> None:
        self.scene = scene
        self.responses: list[Response] = []
        self._random = random
        self._delay_ms = random.uniform(5, 150)
        self._known: set[str] = set()
        self._read = len(scene.commands)
        self._last_up_ms = self._last_down_ms = 0.0
        self._speaks = False

    def run(self, ms: float) -> None:
        """Let time pass on both sides."""
        until_ms = self.scene.now_ms + ms
        while self.scene.now_ms < until_ms:
            for _, command in self.scene.commands[self._read :]:
                self._later(partial(self._take, command), up=True)
            self._read = len(self.scene.commands)
            self.scene.run(min(5.0, until_ms - self.scene.now_ms))

    def _later(self, act: partial[None], *, up: bool = False) -> None:
        """No message overtakes another."""
        at_ms = self.scene.now_ms + self._delay_ms
        if up:
            at_ms = self._last_up_ms = max(at_ms, self._last_up_ms)
        else:
            at_ms = self._last_down_ms = max(at_ms, self._last_down_ms)
        self.scene.later(at_ms - self.scene.now_ms, act)

    def _send(self, *events: ev.Event) -> None:
        def arrive() -> None:
            self.scene.feed(*events)

        self._later(partial(arrive))

    @property
    def _active(self) -> Response | None:
        last = self.responses[-1] if self.responses else None
        return last if last is not None and last.status == "in_progress" else None

    def _take(self, command: do.Command) -> None:
        match command:
            case do.AddMessage(_, _, _, item_id) if item_id:
                self._known.add(item_id)
                self._send(ev.MessageTaken(item_id))
            case do.AddToolOutput(_, call_id):
                self._known.add(call_id)
                self._send(ev.ToolOutputTaken(call_id))
            case do.CreateResponse(event_id):
                if self._active:
                    self._send(ev.ModelFaulted(BUSY, "busy", event_id, "busy"))
                else:
                    self._begin(ours=True)
            case do.CancelResponse(_, response_id):
                if self._active and self._active.id == response_id:
                    self._end(self._active, "cancelled")

    def _begin(self, *, ours: bool) -> None:
        response = Response(f"resp_m{len(self.responses)}", ours, frozenset(self._known))
        self.responses.append(response)
        item_id = response.id.replace("resp", "item")
        self._send(
            ev.ResponseCreated(response.id),
            ev.OutputItemAdded(response.id, item_id, "message"),
            ev.AudioReceived(response.id, item_id, "", 4000),
        )
        after_ms = self._random.uniform(50, 900)
        self.scene.later(after_ms, partial(self._end, response, "completed"))

    def _end(self, response: Response, status: str) -> None:
        if response.status == "in_progress":
            response.status = status
            item_id = response.id.replace("resp", "item")
            self._send(
                ev.OutputItemDone(response.id, item_id, "message", status),
                ev.ResponseDone(response.id, status),
            )

    def hear(self, user_id: str, speech_ms: float) -> None:
        """Voice activity detection takes a sound of the caller's for speech."""
        if self._speaks:
            return
        self._speaks = True
        if self._active:
            self._end(self._active, "cancelled")
        self._send(ev.SpeechStarted(user_id, 0))
        self.scene.later(speech_ms + VAD_MS, partial(self._hear_end, user_id))

    def _hear_end(self, user_id: str) -> None:
        self._speaks = False
        self._send(ev.SpeechStopped(user_id, 0), ev.CallerTurnCommitted(user_id, None))
        if not self._active:
            self._begin(ours=False)


def answers_to(model: Model, id_: str) -> tuple[int, int]:
    """How many completed replies knew this, and how many of our requests came after one."""
    knowing, needless, answered = 0, 0, False
    for response in model.responses:
        needless += response.ours and answered
        if response.status == "completed" and id_ in response.knows:
            answered = True
            knowing += 1
    return knowing, needless


def test_keys_get_one_reply_however_often_turn_detection_interferes() -> None:
    random, interfered = Random(42), 0
    for number in range(200):
        scene = Scene(up_ms=30, down_ms=30).connect()
        model = Model(scene, random)
        for burst in range(random.randrange(4)):
            heard = partial(model.hear, f"user_{burst}", random.uniform(60, 900))
            scene.later(random.uniform(0, 3500), heard)
        model.run(random.uniform(0, 1000))
        for digit in "42#":
            scene.feed(ev.DigitPressed(digit))
            model.run(random.uniform(50, 600))
        model.run(30_000)
        texts = [message for message in scene.all(do.AddMessage) if message.item_id]
        assert [text.text for text in texts] == [prompts.keys_pressed("42")]
        knowing, needless = answers_to(model, texts[0].item_id)
        assert knowing >= 1, f"story {number}: no reply knew it"
        assert needless == 0, f"story {number}: answered twice"
        interfered += any(not response.ours for response in model.responses)
    assert interfered > 80


def test_a_suspended_transfer_gets_one_reply_whenever_the_caller_spoke() -> None:
    random = Random(43)
    for number in range(100):
        scene = transfer_scene()
        model = Model(scene, random)
        call_transfer(scene)
        model.run(random.uniform(0, 1900))
        for burst in range(random.randrange(1, 4)):
            heard = partial(model.hear, f"user_{burst}", random.uniform(60, 900))
            scene.later(random.uniform(0, 200) + 1500 * burst, heard)
        model.run(60_000)
        assert scene.outputs() == [prompts.transfer_suspended()], f"story {number}"
        knowing, needless = answers_to(model, "call_1")
        assert knowing >= 1 and needless == 0, f"story {number}"
        assert not scene.all(do.TransferCall)
