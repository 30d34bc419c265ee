"""Digit entries: given to the tool that asked for them, or added to the conversation."""

from app.call import prompts
from app.call.caller.keypad import DigitEntry, Keypad
from app.call.commands import GiveDigits, MuteCaller, UnmuteCaller
from app.call.deadlines import NEVER, next_after
from app.call.events import EntryAsked, LegOpened
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
        self._last_id = ""  # the item of the last entry that was added
        self._prompt: Wanted | None = None
        self._prompt_by_ms = -NEVER  # until then the prompt may be heard

    def leg_begins(self, opened: LegOpened, now_ms: float) -> None:
        """The caller is on the line: an entry that a lost stream cut goes on."""
        if opened.secret_entry_open:
            self.keypad.drop_rest(now_ms)
        if opened.entry is not None and self.keypad.open_entry() is None:
            self.keypad.resume(opened.entry, now_ms)

    def asked(self, event: EntryAsked, now_ms: float) -> None:
        """A tool asks for digits. One entry at a time: a second tool gets none."""
        if self.keypad.asked or event.call_id not in self._tools.open():
            self._outbox.put(GiveDigits(event.call_id, ""))
            return
        self._tools.drop_deadline(event.call_id)
        self._set_apart(event, now_ms)
        self.keypad.ask(
            event.call_id, event.length, now_ms, secret=event.secret, timeout_ms=event.timeout_ms
        )
        self._prompt_by_ms, self._prompt = now_ms + PROMPT_MS, None
        if event.prompt:
            self._prompt = Wanted(Wish.SAY, prompts.say(event.prompt))
            self._responses.want(self._prompt.wish, self._prompt.direction)

    def _set_apart(self, event: EntryAsked, now_ms: float) -> None:
        """Take the keys off the keypad that are no part of the entry that the tool asks for.

        Where the agent has asked for it already (no prompt), they are its first digits. But keys of
        a secret would have been masked: those before it reach neither the tool nor the model.
        """
        begun = self.keypad.begun
        if begun is None or not (event.prompt or event.secret or begun.replaces):
            return
        self.keypad.drop_begun()
        if not event.secret:
            self.add(begun, prompts.keys_pressed(begun.digits), now_ms, reply=False)

    def tool_ended(self, call_id: str, now_ms: float) -> None:
        """The tool ended, so its entry does too, if it had one."""
        self.keypad.drop(call_id, now_ms)
        self._forget_prompt()

    def complete(self, now_ms: float) -> DigitEntry | None:
        """The entry that is complete by now, returned once; None: none is. Then call `give` for a
        tool's, `add` for another, or `close` when it is for a human."""
        if self.keypad.asked and now_ms < self._prompt_by_ms:
            self.keypad.prompt_ends(
                min(max(now_ms, self._audio.ledger.ends_ms), self._prompt_by_ms)
            )
            if self._responses.idle and self._audio.heard_to_end_ms(now_ms) <= now_ms:
                self._prompt_by_ms = now_ms
        return self.keypad.take_complete(now_ms)

    def next_ms(self, now_ms: float) -> float:
        """When to call `complete` next: the prompt counts as heard, or the keypad is due."""
        keypad_ms = self.keypad.next_ms(now_ms)
        if not self.keypad.asked or now_ms >= self._prompt_by_ms:
            return keypad_ms
        heard_ms = self._audio.heard_to_end_ms(now_ms)
        return next_after(now_ms, keypad_ms, heard_ms, self._prompt_by_ms)

    def give(self, call_id: str, digits: str, now_ms: float) -> None:
        """Give these digits to the tool that asked for an entry, which is complete."""
        self._forget_prompt()
        self._tools.resume(call_id, now_ms)
        self._outbox.put(GiveDigits(call_id, digits))

    def add(self, entry: DigitEntry, text: str, now_ms: float, *, reply: bool = True) -> None:
        """Add an entry to the conversation, in place of the one that it replaces.

        Args:
            text: What the model learns of it.
            reply: Request a reply.
        """
        if entry.replaces and entry.replaces == entry.digits:
            return  # it has all the keys that an entry can have
        replaced = self._last_id if entry.replaces else ""
        if entry.replaces and not replaced:  # it was added on the call's earlier leg
            text = f"{text} {prompts.replaces_keys(entry.replaces)}"
        self._last_id = self._ids.own("keys")
        self._conversation.typed(self._last_id, text, now_ms, replaced)
        self._answers.add_caller_text(self._last_id, text, replaced)
        if reply:
            self._answers.want_reply_to_caller()

    def close(self) -> None:
        """The last entry reaches a human: no keys continue it."""
        self.keypad.close()

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
