"""What the agent says, item by item: played or synthesized, finished, interrupted.

It keeps three records in step: the playback ledger (what the caller heard), the session's items
(what the model knows), and the conversation (what is stored).
"""

from collections.abc import Iterable

from app.call import prompts
from app.call.commands import DropSynthesis, Synthesize
from app.call.events import AudioReceived
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation, Turn
from app.call.heard.ledger import HeardPart
from app.call.model.model import Model
from app.call.model.responses import Wish
from app.call.outbox import Outbox
from app.call.speech.quiet_audio import QuietAudio
from app.call.speech.synthesis import Synthesis
from app.call.words.backchannels import asks

MOST_RESPONSES = 8  # whose items are remembered: the latest ones, which may still add to them
MOST_UNSPOKEN = 3  # how often in a row the model is asked to speak what no voice could
_NOTHING = "", Turn("assistant", "", 0.0, finished=True)


class AgentSpeech:
    """The agent's items. Tell it what the model adds to them, and when a barge-in (`interrupt`),
    the loss of the session or the end of the leg cuts them."""

    def __init__(
        self,
        outbox: Outbox[Synthesize | DropSynthesis],
        audio: AgentAudio,
        model: Model,
        conversation: Conversation,
        voices: tuple[str, ...],
    ) -> None:
        """
        Args:
            voices: The labels of the external voices; empty if the model speaks itself.
        """
        self._audio = audio
        self._model = model
        self._items = model.items
        self._responses = model.responses
        self._conversation = conversation
        self._spoke: dict[str, None] = {}  # responses that had audio, or will have
        self._items_of: dict[str, dict[str, None]] = {}  # by response, in their order
        self._unspoken = 0
        self._quiet = QuietAudio()
        # The response and the turn that `play` was given last, until `begin` is called again.
        self._plays = _NOTHING
        #: The text that external voices speak, and how far they are.
        self.synthesis = Synthesis(outbox, audio, voices, self)

    def begin(self, response_id: str, item_id: str, now_ms: float) -> Turn:
        """A response began this item, or adds to it. An item of a muted response is deleted: the
        server may still begin some before it handles the cancellation."""
        self._plays = _NOTHING
        turn = self._conversation.turn("assistant", item_id, now_ms)
        items = self._items_of.get(response_id)
        if items is None:
            items = self._items_of[response_id] = {}
            if len(self._items_of) > MOST_RESPONSES:
                del self._items_of[next(iter(self._items_of))]
        items[item_id] = None
        self._items.added(item_id)
        if not turn.finished and self._items.needs_deletion(response_id, item_id):
            self._cut([HeardPart(item_id, 0, 0)], now_ms)
        return turn

    def play(self, event: AudioReceived, now_ms: float) -> None:
        """Play the model's own audio, unless its item or its response was interrupted."""
        response_id, item_id = event.response_id, event.item_id
        is_cut = self._items.is_cut(response_id, item_id)
        of, turn = self._plays
        if is_cut or turn.finished or item_id != turn.item_id or response_id != of:
            turn = self.begin(response_id, item_id, now_ms)
            self._plays = response_id, turn
        if is_cut:
            turn.generated_bytes += event.size_bytes  # keeps the heard share of the text right
            return
        if event.quiet or self._quiet.is_open:
            before_bytes = self._audio.ledger.generated_bytes(item_id)
            for piece in self._quiet.take(event, before_bytes):
                self._audio.play(
                    piece.item_id, piece.payload, piece.size_bytes, now_ms, quiet=piece.quiet
                )
        else:
            self._audio.play(item_id, event.payload, event.size_bytes, now_ms)
        if not event.quiet:
            self._spoke[response_id] = None
        if turn.finished:  # some servers send more audio after the item was done
            turn.generated_bytes += event.size_bytes
            turn.heard_bytes = turn.generated_bytes
            self._audio.finish(item_id, now_ms)

    def heard(self) -> None:
        """The caller hears the agent: `MOST_UNSPOKEN` is counted anew."""
        self._unspoken = 0

    def transcript_completed(self, item_id: str, text: str, now_ms: float) -> None:
        """The whole text of an item, interrupted or not. Some servers send no deltas before it."""
        self._begin_unannounced(item_id, now_ms)
        turn = self._conversation.turn("assistant", item_id, now_ms)
        if not self.synthesis.model_speaks and turn.utterances is None:
            self.text_delta(item_id, text, now_ms)
        turn.complete(text)

    def text_delta(self, item_id: str, text: str, now_ms: float) -> None:
        """More of an item that is text alone: an external voice speaks it."""
        self._begin_unannounced(item_id, now_ms)
        if not self.synthesis.voices:
            self.transcript_delta(item_id, text, now_ms)
        elif not self._items.is_cut("", item_id):
            self.synthesis.text(self._conversation.turn("assistant", item_id, now_ms), text, now_ms)
            if not self._responses.in_flight:  # no `ResponseDone` will end this item
                self.synthesis.text_over(item_id, now_ms)

    def transcript_delta(self, item_id: str, text: str, now_ms: float) -> None:
        """More of the transcript of an audio item."""
        self._begin_unannounced(item_id, now_ms)
        turn = self._conversation.turn("assistant", item_id, now_ms)
        generated = turn.generated_bytes or self._audio.ledger.generated_bytes(item_id)
        turn.append(text, generated)

    def _begin_unannounced(self, item_id: str, now_ms: float) -> None:
        """Begin an item that the active response did not announce: some servers leave it out."""
        active_id = self._responses.active_id
        if active_id is not None and self._conversation.find(item_id) is None:
            self.begin(active_id, item_id, now_ms)

    def message_listed(self, response_id: str, item_id: str, now_ms: float) -> None:
        """`ResponseDone` lists this message. If it is new, it had no audio: call `drop_unheard`
        next, which deletes it."""
        if self._conversation.find(item_id) is None:
            self.begin(response_id, item_id, now_ms)

    def spoke(self, response_id: str) -> bool:
        """Whether anything of this response was played, or will be."""
        return response_id in self._spoke or any(
            turn.utterances for turn in self.turns_of(response_id)
        )

    def drop_unheard(self, response_id: str, now_ms: float) -> None:
        """A response ended, or was abandoned: delete its items that have no audio, since the caller
        cannot hear them."""
        self._quiet.drop()
        unheard = [
            turn.item_id
            for turn in self.turns_of(response_id)
            if not turn.cut
            and not turn.utterances
            and not self._audio.ledger.generated_bytes(turn.item_id)
            and not turn.heard_bytes
        ]
        self._cut([HeardPart(item_id, 0, 0) for item_id in unheard], now_ms)

    def turns_of(self, response_id: str) -> list[Turn]:
        """The turns of a response, in order."""
        item_ids = self._items_of.get(response_id, ())
        return [turn for item_id in item_ids if (turn := self._conversation.find(item_id))]

    def heard_anything(self, now_ms: float) -> bool:
        """Whether the caller or the agent has said anything so far."""
        return self._conversation.anything_heard(self._audio.ledger, now_ms)

    def finish(self, item_id: str, now_ms: float) -> None:
        """The model adds nothing more to this item."""
        if self.synthesis.has(item_id):
            self.synthesis.text_over(item_id, now_ms)
        else:
            self.item_done(item_id, now_ms)

    def finish_all(self, now_ms: float) -> None:
        """The active response adds nothing more to any item."""
        for item_id in dict.fromkeys([*self._unfinished(), *self.synthesis.open_items]):
            self.finish(item_id, now_ms)

    def session_lost(self, now_ms: float, *, amid_answer: bool) -> None:
        """The session is lost, so its items are complete. `amid_answer`: a response was active; the
        next session continues it, so no voice speaks more of it."""
        self._plays = _NOTHING
        if amid_answer:
            self.synthesis.leave_open_items()
        self.finish_all(now_ms)

    def session_history(self, now_ms: float, *, whole: bool = False) -> list[tuple[str, str, str]]:
        """The leg so far, for a new session: (role, text, item id or empty).

        An item that a voice still speaks is given whole and with an id, because the caller is about
        to hear it; a barge-in replaces it by what was heard. So is what the caller typed: more keys
        may replace it.

        Args:
            whole: Give what still plays of the model's own audio in the same way: all of it came.
        """
        heard = {
            turn.item_id: turn for turn in self._conversation.heard(self._audio.ledger, now_ms)
        }
        history = []
        for turn in self._conversation:
            as_heard = heard.get(turn.item_id)
            to_be_heard = turn.utterances or (whole and turn.role == "assistant" and turn.text)
            if to_be_heard and not turn.cut and (as_heard is None or as_heard.cut):
                history.append(("assistant", turn.text, self._items.restate(turn.item_id)))
            elif as_heard is not None:
                item_id = turn.item_id if turn.detail.get("by") == "keypad" else ""
                history += [(*each, item_id) for each in prompts.as_messages([as_heard])]
        return history

    def speaks(self, now_ms: float) -> bool:
        """Whether the caller hears the agent, or is about to: more is sent, made or generated."""
        active_id = self._responses.active_id
        generates = active_id is not None and not self._items.is_muted(active_id)
        return generates or self._audio.speaks(now_ms)

    @property
    def sends_quiet_audio(self) -> bool:
        """Whether audio comes that is too quiet to be heard, from the model or from a voice."""
        return self._quiet.holds or self.synthesis.quiet

    @property
    def plays_until_ms(self) -> float:
        """When what was sent has been played."""
        return self._audio.ledger.ends_ms

    def pause(self, now_ms: float) -> None:
        """Stop playback at once, and keep all that was not heard, and that still comes. Then call
        `resume` or `interrupt`."""
        self._audio.pause(now_ms)

    def resume(self, now_ms: float) -> None:
        """Go on where the caller stopped hearing the agent."""
        self._audio.resume(now_ms)

    def false_interruption(self, item_id: str) -> None:
        """The caller's sound was no interruption: the model forgets it."""
        self._model.requests.delete(item_id)
        self.judged(item_id, interrupts=False)

    def judged(self, item_id: str, *, interrupts: bool) -> None:
        """Keep in the transcript whether the caller's sound was an interruption. The model keeps
        the sound."""
        self._conversation.judged(item_id, interrupts=interrupts)

    def heard_again(self, item_ids: Iterable[str]) -> None:
        """Another session hears these sounds of the caller: its own items take their place."""
        for item_id in item_ids:
            self._conversation.withdraw(item_id)

    def asked(self, now_ms: float) -> bool:
        """Whether the caller has just heard a question."""
        turn = self._conversation.latest_heard("assistant", self._audio.ledger, now_ms)
        return turn is not None and asks(turn.heard_text, turn.text)

    def interrupt(self, active_id: str | None, now_ms: float) -> None:
        """Barge-in: stop playback and synthesis at once, mute the active response, and truncate or
        replace each item that the caller did not hear to its end.

        It does not cancel the response: turn detection or `Floor` does.
        """
        unfinished = self.synthesis.interrupt(now_ms)
        self._quiet.drop()
        cuts = self._audio.interrupt(now_ms)
        if active_id is not None:
            self._items.mute_response(active_id)
            unfinished += self._unfinished()
        cut_ids = {cut.item_id for cut in cuts}
        # Begun, but without any audio so far:
        unheard = [item_id for item_id in dict.fromkeys(unfinished) if item_id not in cut_ids]
        self._cut([*cuts, *(HeardPart(item_id, 0, 0) for item_id in unheard)], now_ms)
        if cuts or unheard or self._responses.pending(Wish.UNSPOKEN):
            self._audio.drops += 1
        self._responses.unwant(Wish.UNSPOKEN)

    def cut_short(self, response_id: str) -> None:
        """The caller interrupted this response after turn detection had cancelled it: what was
        heard to its end is not all that the agent was about to say."""
        for turn in self.turns_of(response_id):
            if turn.generated_bytes and not turn.cut:
                self._conversation.was_cut(turn.item_id, turn.heard_bytes, turn.generated_bytes)

    def end(self, now_ms: float) -> int:
        """The leg is over: what still plays counts as heard up to now. Returns how many bytes were
        sent and not heard."""
        unplayed_bytes = self._audio.ledger.unplayed_bytes(now_ms)
        for cut in self._audio.ledger.cleared(now_ms):
            self._conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)
        return unplayed_bytes

    def _cut(self, cuts: list[HeardPart], now_ms: float) -> None:
        for cut in cuts:
            self.synthesis.drop(cut.item_id, now_ms)
            self._conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)
            turn = self._conversation.find(cut.item_id)
            if turn is not None and (
                turn.utterances is not None or self._items.is_restated(cut.item_id)
            ):
                self._items.replace(cut.item_id, turn.heard_text)
            else:
                self._items.cut(self._quiet.with_left_out(cut))

    def item_done(self, item_id: str, now_ms: float) -> None:
        """All audio of an item has arrived: mark its end."""
        self._quiet.drop()
        self._audio.finish(item_id, now_ms)
        self._conversation.was_finished(item_id, self._audio.ledger.generated_bytes(item_id))

    def item_unspoken(self, item_id: str, text: str, now_ms: float) -> None:
        """The voices could not speak all of an item: replace it by what they spoke, and ask the
        model to speak `text`, if there is any."""
        turn = self._conversation.turn("assistant", item_id, now_ms)
        self._items.replace(item_id, turn.text)
        if text and self._unspoken < MOST_UNSPOKEN:
            self._unspoken += 1
            self._responses.want(Wish.UNSPOKEN, prompts.say(text))
            self._spoke |= {of: None for of, ids in self._items_of.items() if item_id in ids}
            return
        self._audio.drops += 1
        if text:
            self._responses.give_up()

    def voices_gave_up(self) -> None:
        """No external voice is left: the session has to produce audio from now on."""
        self._model.settings.configure(speaks=True)

    def _unfinished(self) -> list[str]:
        """The messages of the active response, or of the last one, that are not complete."""
        turns = [
            (item_id, self._conversation.find(item_id)) for item_id in self._items.active_item_ids
        ]
        return [item_id for item_id, turn in turns if turn is not None and not turn.finished]
