"""What the agent says, item by item: played, finished, cut.

Three books are kept of it, and here they are kept in step: the ledger (what was heard), the
session's items (what the model is told), and the conversation (what is written down).
"""

from app.call.conversation import Conversation, Turn
from app.call.events import AudioReceived
from app.call.output import AgentAudio
from app.call.playback import Cut
from app.call.session_items import SessionItems


class AgentSpeech:
    """Told what the model makes of its items, and when the caller or the end of the leg cuts it."""

    def __init__(self, audio: AgentAudio, items: SessionItems, conversation: Conversation) -> None:
        self._audio = audio
        self._items = items
        self._conversation = conversation
        self._spoke: set[str] = set()  # responses that had audio

    def begin(self, response_id: str, item_id: str, now_ms: float) -> Turn:
        """A response began to say this, or goes on with it. What a muted one begins is deleted:
        it may go on for a while, until it hears that it was cancelled."""
        turn = self._conversation.turn("assistant", item_id, now_ms)
        self._items.added(item_id)
        if not turn.finished and self._items.is_news(response_id, item_id):
            self._cut([Cut(item_id, 0, 0)])
        return turn

    def play(self, event: AudioReceived, now_ms: float) -> None:
        turn = self.begin(event.response_id, event.item_id, now_ms)
        if self._items.is_cut(event.response_id, event.item_id):
            turn.generated_bytes += event.size_bytes  # keeps the share of the text true
            return
        self._spoke.add(event.response_id)
        self._audio.play(event.item_id, event.payload, event.size_bytes, now_ms)

    def says(self, item_id: str, text: str, now_ms: float) -> None:
        """More of an item's transcript."""
        turn = self._conversation.turn("assistant", item_id, now_ms)
        generated = turn.generated_bytes or self._audio.ledger.generated_bytes(item_id)
        turn.says(text, generated)

    def spoke(self, response_id: str) -> bool:
        """Whether anything of this response was played, or will be."""
        return response_id in self._spoke

    def heard_anything(self, now_ms: float) -> bool:
        """Whether anything was said by now, by either side."""
        turns = self._conversation.heard(self._audio.ledger, now_ms)
        return any(turn.role != "tool" for turn in turns)

    def finish(self, item_id: str, now_ms: float) -> None:
        """Nothing is added to this item any more."""
        self._audio.finish(item_id, now_ms)
        self._conversation.was_finished(item_id, self._audio.ledger.generated_bytes(item_id))

    def finish_all(self, now_ms: float) -> None:
        """Nothing comes of the active response any more."""
        for item_id in self._unfinished():
            self.finish(item_id, now_ms)

    def interrupt(self, active_id: str | None, now_ms: float) -> None:
        """Stop at once, and mute the active response."""
        cuts = self._audio.interrupt(now_ms)
        if active_id is not None:
            self._items.mute_response(active_id)
            cut_ids = {cut.item_id for cut in cuts}
            # Begun, but no audio of it came yet:
            cuts += [Cut(item_id, 0, 0) for item_id in self._unfinished() if item_id not in cut_ids]
        self._cut(cuts)

    def end(self, now_ms: float) -> int:
        """The leg is over: what still plays was heard up to here. Returns how many bytes that were
        sent were not."""
        unplayed_bytes = self._audio.ledger.unplayed_bytes(now_ms)
        for cut in self._audio.ledger.cleared(now_ms):
            self._conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)
        return unplayed_bytes

    def _cut(self, cuts: list[Cut]) -> None:
        self._items.cut(cuts)
        for cut in cuts:
            self._conversation.was_cut(cut.item_id, cut.heard_bytes, cut.generated_bytes)

    def _unfinished(self) -> list[str]:
        """The spoken items of the active response, or of the last one, that are not complete."""
        turns = [(item_id, self._conversation.find(item_id)) for item_id in self._items.of_active]
        return [item_id for item_id, turn in turns if turn is not None and not turn.finished]
