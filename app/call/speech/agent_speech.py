"""What the agent says, item by item: played or synthesized, finished, cut.

Three books are kept of it, and here they are kept in step: the ledger (what was heard), the
session's items (what the model is told), and the conversation (what is written down).
"""

from app.call import prompts
from app.call.commands import Command, ConfigureSession
from app.call.events import AudioReceived
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation, Turn
from app.call.heard.ledger import HeardPart
from app.call.ids import Ids
from app.call.model.responses import Responses, Wish
from app.call.model.session_items import SessionItems
from app.call.speech.synthesis import Synthesis

MOST_RESPONSES = 8  # whose items are remembered: those that may still be at it
MOST_RESTS = 3  # how often in a row the model is asked to say itself what no voice could


class AgentSpeech:
    """Told what the model makes of its items, and when the caller or the end of the leg cuts it."""

    def __init__(
        self,
        out: list[Command],
        audio: AgentAudio,
        items: SessionItems,
        conversation: Conversation,
        responses: Responses,
        ids: Ids,
        *,
        voices: tuple[str, ...],
    ) -> None:
        self._out = out
        self._audio = audio
        self._items = items
        self._conversation = conversation
        self._responses = responses
        self._ids = ids
        self._spoke: set[str] = set()  # responses that had audio, or will have
        self._items_of: dict[str, dict[str, None]] = {}  # by response, in their order
        self._rests = 0
        self.synthesis = Synthesis(
            out, audio, voices, self._was_said, self._was_unsaid, self._model_speaks
        )

    def begin(self, response_id: str, item_id: str, now_ms: float) -> Turn:
        """A response began to say this, or goes on with it. What a muted one begins is deleted:
        it may go on for a while, until it hears that it was cancelled."""
        turn = self._conversation.turn("assistant", item_id, now_ms)
        self._items_of.setdefault(response_id, {})[item_id] = None
        if len(self._items_of) > MOST_RESPONSES:
            del self._items_of[next(iter(self._items_of))]
        self._items.added(item_id)
        if not turn.finished and self._items.needs_deletion(response_id, item_id):
            self._cut([HeardPart(item_id, 0, 0)], now_ms)
        return turn

    def play(self, event: AudioReceived, now_ms: float) -> None:
        turn = self.begin(event.response_id, event.item_id, now_ms)
        if self._items.is_cut(event.response_id, event.item_id):
            turn.generated_bytes += event.size_bytes  # keeps the share of the text true
            return
        self._spoke.add(event.response_id)
        self._audio.play(event.item_id, event.payload, event.size_bytes, now_ms)

    def heard(self) -> None:
        """The caller hears the agent: what could not be said before is behind them."""
        self._rests = 0

    def transcript_completed(self, item_id: str, text: str, now_ms: float) -> None:
        """All that an item says, cut or not. Servers may leave out the pieces of a text."""
        self._begin_unannounced(item_id, now_ms)
        turn = self._conversation.turn("assistant", item_id, now_ms)
        if not self.synthesis.model_speaks and turn.utterances is None:
            self.text_delta(item_id, text, now_ms)
        turn.complete(text)

    def text_delta(self, item_id: str, text: str, now_ms: float) -> None:
        """More of an item that is text alone, for a voice to say."""
        self._begin_unannounced(item_id, now_ms)
        if not self.synthesis.voices:
            self.transcript_delta(item_id, text, now_ms)
        elif not self._items.is_cut("", item_id):
            self.synthesis.text(self._conversation.turn("assistant", item_id, now_ms), text, now_ms)
            if not self._responses.in_flight:  # nobody will say that it is over
                self.synthesis.text_over(item_id, now_ms)

    def transcript_delta(self, item_id: str, text: str, now_ms: float) -> None:
        """More of an item's transcript."""
        self._begin_unannounced(item_id, now_ms)
        turn = self._conversation.turn("assistant", item_id, now_ms)
        generated = turn.generated_bytes or self._audio.ledger.generated_bytes(item_id)
        turn.append(text, generated)

    def _begin_unannounced(self, item_id: str, now_ms: float) -> None:
        """Servers may leave out that a response began an item."""
        active_id = self._responses.active_id
        if active_id is not None and self._conversation.find(item_id) is None:
            self.begin(active_id, item_id, now_ms)

    def message_listed(self, response_id: str, item_id: str, now_ms: float) -> None:
        """The end of a response names an item. One that is new can only be unheard."""
        if self._conversation.find(item_id) is None:
            self.begin(response_id, item_id, now_ms)

    def spoke(self, response_id: str) -> bool:
        """Whether anything of this response was played, or will be."""
        return response_id in self._spoke or any(
            turn.utterances for turn in self._turns_of(response_id)
        )

    def drop_unheard(self, response_id: str, now_ms: float) -> None:
        """A response ended, or is given up: what it wrote and no caller can hear leaves the
        session."""
        unheard = [
            turn.item_id
            for turn in self._turns_of(response_id)
            if not turn.cut
            and not turn.utterances
            and not self._audio.ledger.generated_bytes(turn.item_id)
            and not turn.heard_bytes
        ]
        self._cut([HeardPart(item_id, 0, 0) for item_id in unheard], now_ms)

    def _turns_of(self, response_id: str) -> list[Turn]:
        """What this response says."""
        item_ids = self._items_of.get(response_id, ())
        return [turn for item_id in item_ids if (turn := self._conversation.find(item_id))]

    def heard_anything(self, now_ms: float) -> bool:
        """Whether anything was said by now, by either side."""
        turns = self._conversation.heard(self._audio.ledger, now_ms)
        return any(turn.role != "tool" for turn in turns)

    def finish(self, item_id: str, now_ms: float) -> None:
        """Nothing is added to this item any more."""
        if self.synthesis.has(item_id):
            self.synthesis.text_over(item_id, now_ms)
        else:
            self._was_said(item_id, now_ms)

    def finish_all(self, now_ms: float) -> None:
        """Nothing comes of the active response any more."""
        for item_id in dict.fromkeys([*self._unfinished(), *self.synthesis.open_items]):
            self.finish(item_id, now_ms)

    def session_lost(self, now_ms: float, *, amid_answer: bool) -> None:
        """Nothing more comes of what the session was at. `amid_answer`: it was at an answer, which
        the next one goes on with."""
        if amid_answer:
            self.synthesis.leave_open_items()
        self.finish_all(now_ms)

    def session_history(self, now_ms: float) -> list[tuple[str, str, str]]:
        """What a new session is told of this leg: (role, text, id of ours or empty). Of what a
        voice is still saying it is told all, for that is on its way to the caller; what is not
        heard after all is taken back when it is cut."""
        heard = {
            turn.item_id: turn for turn in self._conversation.heard(self._audio.ledger, now_ms)
        }
        told = []
        for turn in self._conversation:
            as_heard = heard.get(turn.item_id)
            if turn.utterances and not turn.cut and (as_heard is None or as_heard.cut):
                told.append(("assistant", turn.text, self._items.restate(turn.item_id)))
            elif as_heard is not None:
                told += [(role, text, "") for role, text in prompts.as_messages([as_heard])]
        return told

    def interrupt(self, active_id: str | None, now_ms: float) -> None:
        """Stop at once, and mute the active response."""
        unsaid = self.synthesis.interrupt(now_ms)
        cuts = self._audio.interrupt(now_ms)
        if active_id is not None:
            self._items.mute_response(active_id)
            unsaid += self._unfinished()
        cut_ids = {cut.item_id for cut in cuts}
        # Begun, but no audio of it came yet:
        unheard = [item_id for item_id in dict.fromkeys(unsaid) if item_id not in cut_ids]
        self._cut([*cuts, *(HeardPart(item_id, 0, 0) for item_id in unheard)], now_ms)
        self._responses.unwant(Wish.UNSPOKEN)

    def end(self, now_ms: float) -> int:
        """The leg is over: what still plays was heard up to here. Returns how many bytes that were
        sent were not."""
        unplayed_bytes = self._audio.ledger.unplayed_bytes(now_ms)
        for cut in self._audio.ledger.cleared(now_ms):
            self._conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)
        return unplayed_bytes

    def _cut(self, cuts: list[HeardPart], now_ms: float) -> None:
        for cut in cuts:
            self.synthesis.drop(cut.item_id, now_ms)
            self._conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)
            turn = self._conversation.find(cut.item_id)
            if turn is not None and turn.utterances is not None:
                self._items.replace(cut.item_id, turn.heard_text)
            else:
                self._items.cut(cut)

    def _was_said(self, item_id: str, now_ms: float) -> None:
        """All that will be heard of an item is there."""
        self._audio.finish(item_id, now_ms)
        self._conversation.was_finished(item_id, self._audio.ledger.generated_bytes(item_id))

    def _was_unsaid(self, item_id: str, text: str, now_ms: float) -> None:
        """No voice said all of an item. The model is to know that, and to say `text` itself."""
        turn = self._conversation.turn("assistant", item_id, now_ms)
        self._items.replace(item_id, turn.text)
        if text and self._rests < MOST_RESTS:
            self._rests += 1
            self._responses.want(Wish.UNSPOKEN, prompts.say(text))
            self._spoke.update(of for of, ids in self._items_of.items() if item_id in ids)
        elif text:
            self._responses.give_up()

    def _model_speaks(self) -> None:
        """No voice is left, so the session is to speak from now on."""
        self._out.append(ConfigureSession(self._ids.event(), speaks=True))

    def _unfinished(self) -> list[str]:
        """The spoken items of the active response, or of the last one, that are not complete."""
        turns = [
            (item_id, self._conversation.find(item_id)) for item_id in self._items.active_item_ids
        ]
        return [item_id for item_id, turn in turns if turn is not None and not turn.finished]
