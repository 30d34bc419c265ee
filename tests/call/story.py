"""A scene that checks every invariant of a call at every step, and the steps of random calls."""

from collections import Counter
from dataclasses import replace
from itertools import count, takewhile

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Limits
from app.call.caller.keypad import MASK
from app.call.exits.last_words import LONGEST_MS
from app.call.exits.tones import SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import ORDER_MS
from app.call.model.first_sound import LEAST_MS
from tests.call.pause_scene import pausing
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import CLERK, MONDAY_NOON_S, NIGHT, SALES, SUPPORT

LONGEST_CALL_MS = 600_000
BUSY = "conversation_already_has_active_response"
LIMITS = Limits(longest_call_ms=LONGEST_CALL_MS)
HUMANS = (SALES, SUPPORT, NIGHT, CLERK)
AGENTS = {
    "greets": agent(greeting="Hello.", limits=LIMITS, destinations=HUMANS),
    "is alone": agent(limits=LIMITS),
    "is back": agent(greeting="Hello.", limits=LIMITS, destinations=HUMANS),
    "talks on": agent(greeting="Hello.", interruptible=False, limits=LIMITS, destinations=HUMANS),
    "pauses": pausing(agent(greeting="Hello.", limits=LIMITS, destinations=HUMANS)),
    "has voices": replace(
        agent(greeting="Hello.", limits=LIMITS, destinations=HUMANS), voices=("first", "second")
    ),
}
FIRST = ev.LegOpened(at_s=MONDAY_NOON_S, whole_frames=True, answers_unreported=True)
BACK = ev.LegOpened((("user", "A human, please."),), MONDAY_NOON_S, TRANSFER, "call_old", "busy")
CALLED = {
    "end call": ("end_call", "{}"),
    "transfer": (TRANSFER, '{"destination": "Sales", "summary": "Chairs."}'),
    "unknown destination": (TRANSFER, '{"destination": "+493090182002"}'),
    "press keys": (SEND_DIGITS, '{"digits": "12#"}'),
    "press many keys": (SEND_DIGITS, '{"digits": "' + "1" * 99 + '"}'),
}
KEYS = "0#17"
NAMES = ("Sales", "Support", "Night watch", "Unknown")

NO_SESSION = -1  # a tool call before there is a session that could make it

VOICE_MS = 4000  # a voice that is silent for so long has failed
TEXTS = ("Yes. ", "I can do that, Dr. Lee, for $4.50", " or so! **Really**", "? 好的。", "\n\n")

SETTLES_MS = 120_000  # for a prompt, an entry that is not typed, and then the tool

Step = tuple[float, str, int, int]

STEPS = [
    *["answer", "answer in full", "caller turn", "tool", "tool returns"] * 3,
    *["response created", "item added", "audio", "audio", "transcript", "item done"],
    *["response done", "cancelled", "failed", "speech started", "speech stopped", "committed"],
    *["end call", "tool", "broken tool", "tool fails", "tool taken", "unknown tool"],
    *["truncation refused", "request busy", "request refused", "error"],
    *["model opened", "configured", "session comes", "session comes", "model lost"],
    *["blocked", "unblocked", "unblocked", "mark", "digit", "timer", "transcribed"],
    *["transfer", "transfer", "press keys", "entry asked", "entry asked", "digit", "digit"],
    *["unknown destination", "press many keys", "operator transfers", "redirect failed", "say"],
    *["keys taken", "zero", "written", "written", "text", "text item done", "voice sounds"],
    *["voice sounds", "voice pauses", "voice is done", "voice is done", "voice fails"],
    *["voice cannot say it", "addition refused"],
    *["speech started", "speech started", "voiced", "quieted", "no words", "backchannel"],
]
RARE = ["stream started again", "hang up", "hung up", "stream ended", "leg opened again"]
RARE += ["model lost for good", "hang up failed", "redirected", "redirected"]
RARE += ["voicemail", "voicemail in vain", "detected", "detected", "voice fails for good"]
SHORT_MS = [0.0] * 6 + [1.0, 20.0, 100.0, 333.3, 1000.0, 2500.0, 7000.0]
LONG_MS = [16_000.0, 40_000.0, 1e7]

GAPS_MS = SHORT_MS * 15 + LONG_MS
WHATS = STEPS * 12 + RARE
VERDICTS = ["machine_end_beep", "machine_end_other", "human", "fax"]
SIZES = [1, 7, 160, 800, 8000, 30_000, 200_000]


class Story(Scene):
    """A scene that checks every invariant at every step.

    Ids belong to a session, as the model's do: the events of a session end with it.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(AGENTS[kind], up_ms=30, down_ms=50)
        self.session = 0
        self.turn = 0
        self.requested = ""  # event id of the response asked for
        self.asked_ms = 0.0
        self.cancelled: set[str] = set()
        self.known: set[str] = set()  # responses of this session
        self.active = ""
        self.received: Counter[str] = Counter()  # bytes, by item
        self.played: Counter[str] = Counter()
        self.cut: set[str] = set()
        self.tool_calls: dict[str, int] = {}  # completed ones and their session
        self.ends = 0
        self._sent = 0  # pieces of audio, before the answer to the last event
        self.checked = 0  # transfers whose last words were checked
        self._calls = count()
        self._faulted: set[str] = set()
        self.muted = False
        self.hung_up = False
        self.redirect_ms: float | None = None  # when the pending redirect was ordered
        self.leaving_ms: float | None = None  # when the transfer was first requested
        self.records = False  # an answering machine may record
        self.forged = False  # a mark came back before it was reached
        self.asked_for: Counter[str] = Counter()  # entries, by tool call
        self.given: Counter[str] = Counter()
        self.secrets: dict[str, bool] = {}
        self.whose: dict[str, str] = {}  # item ids by utterance
        self.speaking = ""  # the utterance that a voice synthesizes
        self.sounded_ms = 0.0
        self.stand_ins: set[str] = set()  # items that replaced others
        self.typed: set[str] = set()  # the caller's entries in the present session

    # --- every event passes here ----------------------------------------------------------------

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands: list[do.Command] = []
        for event in events:
            if self._is_late(event):
                continue
            was_over = self.machine.over
            self._told(event)
            answer = super().feed(event)
            for command in answer:
                self._ordered(command, answer)
            self._sent += sum(isinstance(each, do.PlayAudio) for each in answer)
            assert not (was_over and answer), "a command after the end"
            assert self.machine.next_deadline_ms > self.now_ms, "a timer that is due already"
            commands += answer
        for turn in self.machine.transcript(self.now_ms):
            assert 0 <= turn.heard_bytes <= turn.generated_bytes or turn.role != "assistant"
        return commands

    def _is_late(self, event: ev.Event) -> bool:
        """Whether it is of a closed session: the bridge does not pass it on."""
        of = str(getattr(event, "response_id", "") or getattr(event, "item_id", ""))
        return of[:1].isdigit() and not self.belongs(of)

    def _announced(self, event: ev.Event) -> None:
        """An event of an unknown response belongs to the requested one."""
        response_id = getattr(event, "response_id", "")
        if response_id and not isinstance(event, ev.ResponseCreated):
            if self.requested and not self.active and response_id not in self.known:
                self.active, self.requested = response_id, ""
        if isinstance(event, ev.ResponseCreated | ev.ResponseDone) or response_id == self.active:
            self.known.add(response_id)

    def _told(self, event: ev.Event) -> None:
        self._announced(event)
        match event:
            case ev.ResponseCreated(response_id):
                self.active, self.requested = response_id, ""
            case ev.ResponseDone(response_id) if response_id == self.active:
                self.active = ""
            case ev.ModelFaulted(_, _, cause) if cause == self.requested:
                self.requested = ""
            case ev.AudioReceived(_, item_id, _, size_bytes):
                self.received[item_id] += size_bytes
            case ev.VoiceReceived(utterance_id, _, size_bytes):
                self.received[self.whose.get(utterance_id, "")] += size_bytes
                self.sounded_ms = self.now_ms
            case ev.VoiceFinished(utterance_id) | ev.VoiceFailed(utterance_id):
                self.speaking = "" if utterance_id == self.speaking else self.speaking
            case ev.OutputItemDone(kind="function_call", status="completed", call_id=call_id):
                if not self.machine.over:
                    session = self.session if self.machine.hears_caller else NO_SESSION
                    self.tool_calls.setdefault(call_id, session)
                if event.name == TRANSFER and self.leaving_ms is None:
                    self.leaving_ms = self.now_ms
            case ev.TransferRequested() | ev.DigitPressed() if self.leaving_ms is None:
                self.leaving_ms = self.now_ms
            case ev.RedirectFailed():
                self.redirect_ms = None
            case ev.EntryAsked(call_id, _, secret):
                self.asked_for[call_id] += 1
                self.secrets[call_id] = self.secrets.get(call_id, False) or secret
            case ev.VoicemailReached() | ev.CalleeDetected():
                self.records = True

    def _ordered(self, command: do.Command, answer: list[do.Command]) -> None:
        assert not self.ends, "a command after EndLeg"
        match command:
            case do.ClearAudio() if self.machine._floor.pause.active:
                ledger = self.machine._audio.ledger
                for item_id in self.played:  # what was not heard of it may be played again
                    if ledger.generated_bytes(item_id):
                        self.played[item_id] = ledger.sent_bytes(item_id)
            case do.CreateResponse(event_id):
                waited_ms = self.now_ms - self.asked_ms
                assert not self.requested or waited_ms > LEAST_MS - 1, "two requests in flight"
                assert not self.active or self.active in self.cancelled, "two responses in flight"
                self.requested, self.asked_ms, self.active = event_id, self.now_ms, ""
            case do.CancelResponse(_, response_id):
                self.cancelled.add(response_id)
            case do.CloseModel():
                self.session += 1
                self.requested = self.active = ""
                self.known.clear()
                self.typed.clear()
            case do.PlayAudio(item_id, _, size_bytes) if item_id:
                assert item_id not in self.cut, "a cut item is played"
                self.played[item_id] += size_bytes
                assert self.played[item_id] <= self.received[item_id]
            case do.TruncateItem(_, item_id, audio_end_ms):
                assert 0 < audio_end_ms * 8 <= self.played[item_id]
                assert self.belongs(item_id)
                self.cut.add(item_id)
            case do.DeleteItem(_, item_id) if item_id in self.typed:
                self.typed.remove(item_id)
            case do.AddMessage(role="user", item_id=item_id) if item_id:
                assert item_id not in self.typed
                self.typed.add(item_id)
            case do.DeleteItem(_, item_id):
                assert self.belongs(item_id) or item_id in self.stand_ins
                self.cut.add(item_id)
                self.stand_ins.discard(item_id)
            case do.Synthesize(utterance_id, item_id, text, voice):
                assert not self.speaking, "two utterances at a time"
                assert utterance_id not in self.whose or voice < 2
                assert text.strip() and item_id not in self.cut
                self.speaking, self.whose[utterance_id] = utterance_id, item_id
                self.sounded_ms = self.now_ms
                self.later(VOICE_MS, self._voice_times_out)
            case do.DropSynthesis(utterance_id):
                assert utterance_id == self.speaking, "what is over is dropped"
                self.speaking = ""
            case do.AddMessage(item_id=stand_in, after=after) if after:
                assert self.belongs(after) or after in self.stand_ins
                self.stand_ins.add(stand_in)
            case do.AddMessage(role="assistant", item_id=stand_in) if stand_in:
                self.stand_ins.add(stand_in)
            case do.AddToolOutput(_, call_id):
                assert self.tool_calls[call_id] in (self.session, NO_SESSION), "of a lost session"
            case do.EndLeg():
                self.ends += 1
            case do.HangUp():
                self.hung_up = True
            case do.TransferCall(_, route):
                self._redirects()
                assert route and set(route) <= {each.name for each in HUMANS}
                self._heard_to_end(answer)
            case do.PlayDigits():
                self._redirects()
            case do.MuteCaller() | do.UnmuteCaller():
                assert self.muted != isinstance(command, do.MuteCaller), "muted twice"
                self.muted = not self.muted
            case do.GiveDigits(call_id, digits):
                self.given[call_id] += 1
                assert self.given[call_id] <= self.asked_for[call_id], "digits given twice"
                assert MASK not in digits or self.secrets[call_id]
            case do.AddMessage(_, _, text):
                assert MASK not in text, "a secret in a message"

    def _redirects(self) -> None:
        """A redirect to other TwiML: one at a time, and none after a hang-up."""
        assert not self.hung_up, "a redirect after the hang-up"
        under_way = self.redirect_ms is not None and self.now_ms < self.redirect_ms + ORDER_MS
        assert not under_way, "two redirects under way"
        self.redirect_ms = self.now_ms

    def _heard_to_end(self, answer: list[do.Command]) -> None:
        """All audio sent and not interrupted was heard to its end, unless it never ends."""
        begun_ms, self.leaving_ms = self.leaving_ms, None
        assert begun_ms is not None, "a transfer that was not requested"
        if not self.forged and self.now_ms < begun_ms + LONGEST_MS:
            before = takewhile(lambda each: not isinstance(each, do.TransferCall), answer)
            sent = self._sent + sum(isinstance(each, do.PlayAudio) for each in before)
            assert len(self.line.item_ids) == sent, "still on its way"
            assert self.line.clock.plays_until_ms <= self.now_ms, "still playing"
            self.checked += 1

    def belongs(self, item_id: str) -> bool:
        """Whether the current session knows this item."""
        return item_id.removeprefix("item_").startswith(f"{self.session}.")

    def _voice_times_out(self) -> None:
        """The bridge ends every utterance, with success or not."""
        if not self.speaking:
            return
        if self.now_ms >= self.sounded_ms + VOICE_MS:
            self.feed(ev.VoiceFailed(self.speaking, "silent for too long"))
        else:
            self.later(self.sounded_ms + VOICE_MS - self.now_ms, self._voice_times_out)

    # --- what can happen ------------------------------------------------------------------------

    def tell(self, step: Step) -> None:
        gap_ms, what, number, size = step
        self.run(gap_ms)
        if what == "leg opened again" and self.machine.over:
            return  # another leg has a machine of its own
        if what in ("answer", "answer in full", "caller turn") and number < 3:
            self.turn += 1  # else an id that came already
        turn = self.turn - number // 2
        response_id = f"{self.session}.resp_{turn}"
        item_id = f"{self.session}.item_{turn}{'ab'[number % 2]}"
        user_id = f"{self.session}.user_{turn}"
        if self.records:  # from now on no response id comes twice
            response_id, item_id = (f"{of}.{next(self._calls)}" for of in (response_id, item_id))
        match what:
            case "answer in full":
                self.answer(min(size, 30_000) // 8 + 1, item_id, response_id, "one two three")
            case "answer":
                self.begin(item_id, response_id)
                self.feed(ev.AudioReceived(response_id, item_id, "", size))
            case "caller turn":
                self.speak(user_id)
                self.run(size / 8)
                self.fall_silent(user_id, "Well.")
            case "tool" | "end call" | "press keys" | "press many keys":
                self._call(what, number, size, response_id)
            case "transfer" | "unknown destination":
                self._call(what, number, size, response_id)
                if number > 1:  # the response is over, and still plays
                    self.feed(ev.ResponseDone(self.active or response_id, "completed"))
                    self.run(size / 8)
            case "zero":
                self.feed(ev.DigitPressed(self._masked("0")))
                self.run(2500)
            case "written":
                self.begin(f"{item_id}t", response_id)
                for text in TEXTS[number:]:
                    self.feed(ev.TextReceived(f"{item_id}t", text))
                self.finish(f"{item_id}t", response_id)
            case "addition refused":
                for added in [each for each in self.all(do.AddMessage) if each.after][-1:]:
                    if added.event_id not in self._faulted:
                        self._faulted.add(added.event_id)
                        self.feed(ev.ModelFaulted("item_not_found", "no", added.event_id))
            case "broken tool":
                kind, item_id = "function_call", f"{self.session}.item_f{number}"
                self.feed(
                    ev.OutputItemAdded(response_id, item_id, kind),
                    ev.OutputItemDone(response_id, item_id, kind, "incomplete", "c", "n"),
                )
            case "session comes":
                self.configure()
            case "mark":
                mark = f"{number}:{size % 9}"
                self.forged |= do.SendMark(mark) in self.all(do.SendMark)
                self.feed(ev.MarkEchoed(mark))
            case "truncation refused":
                self._refuse_truncation()
            case _:
                self.feed(self._event(what, number, size, response_id, item_id, user_id))

    def _call(self, what: str, number: int, size: int, response_id: str) -> None:
        name, arguments = CALLED.get(what, (f"tool_{next(self._calls)}", "{}"))
        if not self.active:
            self.feed(ev.ResponseCreated(response_id))
        call_id = f"{self.session}.call_{number if size < 800 else next(self._calls)}"
        self.call_tool(call_id, name, self.active or response_id, arguments)

    def _masked(self, key: str) -> str:
        """A key as the bridge passes it on."""
        return MASK if key != "#" and self.machine.masks_keys(self.now_ms) else key

    def _refuse_truncation(self) -> None:
        """Each is refused at most once, at a length that the item has."""
        for truncation in self.all(do.TruncateItem)[-1:]:
            if truncation.event_id not in self._faulted and self.belongs(truncation.item_id):
                self._faulted.add(truncation.event_id)
                shorter = truncation.audio_end_ms // 2
                cause = truncation.event_id
                self.feed(ev.ModelFaulted("invalid_value", "no", cause, "too_short", shorter))

    def _event(
        self, what: str, number: int, size: int, response_id: str, item_id: str, user_id: str
    ) -> ev.Event:
        calls = list(self.tool_calls)
        call_id = calls[-1 - number] if number < len(calls) else "call_unknown"
        said = self.speaking or "utterance_1"
        events: dict[str, ev.Event] = {
            "text": ev.TextReceived(f"{item_id}t", TEXTS[number]),
            "text item done": ev.OutputItemDone(response_id, f"{item_id}t", "message", "completed"),
            "voice sounds": ev.VoiceReceived(said, "", size),
            "voice pauses": ev.VoicePaused(said, size, size + 800),
            "voice is done": ev.VoiceFinished(said),
            "voice fails": ev.VoiceFailed(said, "it broke"),
            "voice fails for good": ev.VoiceFailed(said, "it broke", "fatal"),
            "voice cannot say it": ev.VoiceFailed(said, "no", "text"),
            "response created": ev.ResponseCreated(response_id),
            "item added": ev.OutputItemAdded(response_id, item_id, "message"),
            "audio": ev.AudioReceived(response_id, item_id, "", size),
            "transcript": ev.TranscriptReceived(item_id, "and so on "),
            "item done": ev.OutputItemDone(response_id, item_id, "message", "completed"),
            "response done": ev.ResponseDone(self.active or response_id, "completed"),
            "cancelled": ev.ResponseDone(self.active or response_id, "cancelled"),
            "failed": ev.ResponseDone(self.active or response_id, "failed", "server_error"),
            "speech started": ev.SpeechStarted(user_id, 0),
            "speech stopped": ev.SpeechStopped(user_id, 0),
            "committed": ev.CallerTurnCommitted(user_id, item_id),
            "transcribed": ev.CallerTranscribed(user_id, "Well."),
            "no words": ev.CallerTranscribed(user_id, ""),
            "backchannel": ev.CallerTranscribed(user_id, "Okay."),
            "voiced": ev.CallerVoiced(),
            "quieted": ev.CallerQuieted(),
            "tool returns": ev.ToolReturned(call_id, f"result of {call_id}"),
            "tool fails": ev.ToolFailed(call_id, f"result of {call_id}"),
            "tool taken": ev.ToolOutputTaken(call_id),
            "unknown tool": ev.ToolReturned("call_unknown", "42"),
            "request busy": ev.ModelFaulted(BUSY, "busy", self.requested or None, "busy"),
            "request refused": ev.ModelFaulted("server_error", "no", self.requested or None),
            "error": ev.ModelFaulted("server_error", "no", f"bridge_{number}"),
            "model opened": ev.ModelOpened(),
            "configured": ev.SessionConfigured(),
            "model lost": ev.ModelLost("gone"),
            "model lost for good": ev.ModelLost("gone", fatal=True),
            "blocked": ev.StreamBlocked(),
            "unblocked": ev.StreamUnblocked(),
            "digit": ev.DigitPressed(self._masked(KEYS[number])),
            "entry asked": ev.EntryAsked(call_id, size % 5, size > 500, "Your PIN.", 20_000),
            "keys taken": ev.MessageTaken(f"bridge_keys_0_{number}"),
            "say": ev.SayRequested("The taxi is there."),
            "operator transfers": ev.TransferRequested(NAMES[number]),
            "redirected": ev.CallRedirected(),
            "redirect failed": ev.RedirectFailed("status 503"),
            "voicemail": ev.VoicemailReached("Goodbye."),
            "voicemail in vain": ev.VoicemailReached(),
            "detected": ev.CalleeDetected(VERDICTS[number], "Goodbye."),
            "timer": ev.TimerFired(),
            "hang up": ev.HangUpRequested("operator"),
            "hung up": ev.HangUpConfirmed(),
            "hang up failed": ev.HangUpFailed("no"),
            "stream started again": ev.StreamStarted("MZ1"),
            "stream ended": ev.StreamEnded("stop"),
            "leg opened again": ev.LegOpened(),
        }
        return events[what]

    # --- invariants of the whole call -----------------------------------------------------------

    def check_tools(self) -> None:
        """Each call was answered once: to its own session, or as a message to a later one."""
        outputs = Counter(answer.call_id for answer in self.all(do.AddToolOutput))
        assert all(times == 1 for times in outputs.values())
        said = " ".join(message.text for message in self.all(do.AddMessage))
        for call_id, session in self.tool_calls.items():
            answers = [t for t in self.machine.conversation if t.item_id == call_id]
            assert len(answers) <= 1
            if self.machine.over or not answers:
                continue
            if session == self.session:
                assert outputs[call_id] == 1, "its own session has no answer"
            elif self.machine.hears_caller and not outputs[call_id]:
                name, text = answers[0].detail["name"], answers[0].text
                assert f"Result of {name}: {text}" in said, "no session has the answer"
