"""Digit entries: they go to the tool that asked, reach a human (a lone 0), or go to the model."""

from app.call import prompts
from app.call.caller.keypad import DigitEntry, Keypad
from app.call.commands import GiveDigits, MuteCaller, UnmuteCaller
from app.call.deadlines import NEVER, next_after
from app.call.events import EntryAsked
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.model import Model
from app.call.model.responses import Wanted, Wish
from app.call.outbox import Outbox

#: Deadline for the prompt of an entry to be heard; then the caller's time to type begins.
PROMPT_MS = 30_000.0


class DigitEntries:
    """Passes on the entries that the keypad completes, and mutes the caller for secret ones."""

    def __init__(
        self,
        outbox: Outbox[GiveDigits | MuteCaller | UnmuteCaller],
        audio: AgentAudio,
        model: Model,
        conversation: Conversation,
        ids: Ids,
    ) -> None:
        self.keypad = Keypad()
        self._outbox = outbox
        self._audio = audio
        self._tools = model.tools
        self._answers = model.answers
        self._responses = model.responses
        self._conversation = conversation
        self._ids = ids
        self._muted = False
        self._prompt: Wanted | None = None
        self._prompt_by_ms = -NEVER  # until then the prompt may be heard

    def asked(self, event: EntryAsked, now_ms: float) -> None:
        """A tool asks for digits. One entry at a time: a second tool gets none."""
        if self.keypad.asked or event.call_id not in self._tools.open():
            self._outbox.put(GiveDigits(event.call_id, ""))
            return
        self._tools.drop_deadline(event.call_id)
        self.keypad.ask(
            event.call_id, event.length, now_ms, secret=event.secret, timeout_ms=event.timeout_ms
        )
        self._prompt_by_ms, self._prompt = now_ms + PROMPT_MS, None
        if event.prompt:
            self._prompt = Wanted(Wish.SAY, prompts.say(event.prompt))
            self._responses.want(self._prompt.wish, self._prompt.direction)

    def tool_ended(self, call_id: str, now_ms: float) -> None:
        """The tool ended, so its entry does too, if it had one."""
        self.keypad.drop(call_id, now_ms)
        self._forget_prompt()

    def complete(self, now_ms: float) -> DigitEntry | None:
        """Give the entry that is complete to the tool that asked for it.

        Returns:
            An entry that no tool asked for. It is for a human or for the model: see `add_text`.
        """
        if self.keypad.asked and now_ms < self._prompt_by_ms:
            self.keypad.prompt_ends(
                min(max(now_ms, self._audio.ledger.ends_ms), self._prompt_by_ms)
            )
            if self._responses.idle and self._audio.heard_to_end_ms(now_ms) <= now_ms:
                self._prompt_by_ms = now_ms
        entry = self.keypad.take_complete(now_ms)
        if entry is None or not entry.call_id:
            return entry
        self._forget_prompt()
        self._tools.resume(entry.call_id, now_ms)
        self._outbox.put(GiveDigits(entry.call_id, entry.digits))
        return None

    def next_ms(self, now_ms: float) -> float:
        """When to call `complete` next: the prompt counts as heard, or the keypad is due."""
        keypad_ms = self.keypad.next_ms(now_ms)
        if not self.keypad.asked or now_ms >= self._prompt_by_ms:
            return keypad_ms
        heard_ms = self._audio.heard_to_end_ms(now_ms)
        return next_after(now_ms, keypad_ms, heard_ms, self._prompt_by_ms)

    def add_text(self, text: str, now_ms: float) -> None:
        """Add to the conversation what the caller typed, and request a reply."""
        item_id = self._ids.own("keys")
        self._conversation.typed(item_id, text, now_ms)
        self._answers.add_caller_text(item_id, text)

    def mute(self, now_ms: float, *, voicemail: bool) -> None:
        """Mute the caller while a secret entry's tones may sound, and unmute them after it.

        Args:
            voicemail: An answering machine records: it is muted as well.
        """
        muted = voicemail or self.keypad.muted(now_ms)
        if muted != self._muted:
            self._muted = muted
            self._outbox.put(MuteCaller() if muted else UnmuteCaller())

    def _forget_prompt(self) -> None:
        """Withdraw the prompt of an entry that is over."""
        if self._prompt is not None and not self.keypad.asked:
            self._responses.withdraw(self._prompt)
            self._prompt = None
