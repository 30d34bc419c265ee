"""An item of the model's that external voices speak: its text as it streams in, in utterances."""

from dataclasses import dataclass, field

from app.call.heard.conversation import Turn
from app.call.words.sentences import SentenceCutter
from app.call.words.speakable import Cleaner
from app.call.words.utterance import Utterance, text_of


@dataclass(slots=True)
class SpokenItem:
    """One text of the model's. Its `turn` holds the utterances and their text.

    Cut the text with `cutter`, then `clean` each piece, in order, and `append` an utterance for
    it. Count an utterance off `unfinished` when it is complete.
    """

    #: The item's turn in the conversation.
    turn: Turn
    #: Cuts the text into sentences.
    cutter: SentenceCutter = field(default_factory=SentenceCutter)
    #: The model adds no more text.
    over: bool = False
    #: How many utterances are neither complete nor removed.
    unfinished: int = 0
    #: The texts that every voice refused, each with the space before it.
    left_out: list[str] = field(default_factory=list)
    #: The texts for which no voice was left, each with the space before it.
    unspoken: list[str] = field(default_factory=list)
    _cleaner: Cleaner = field(default_factory=Cleaner)
    _ends_in_space: bool = False

    def __post_init__(self) -> None:
        self.turn.utterances = []

    @property
    def id(self) -> str:
        """The id of the model's item."""
        return self.turn.item_id

    @property
    def utterances(self) -> list[Utterance]:
        """The utterances so far, in the order of the text."""
        assert self.turn.utterances is not None, "set when the item began"
        return self.turn.utterances

    @property
    def done(self) -> bool:
        """Whether nothing more of this item will be played."""
        return self.over and not self.unfinished

    def clean(self, piece: str) -> tuple[str, str]:
        """What a voice can speak of the next piece of the text; empty if nothing. The first part
        is the space that separates it from the text before."""
        text = self._cleaner.clean(piece)
        spaced = self._ends_in_space or piece[:1].isspace()
        self._ends_in_space = piece[-1:].isspace() or (spaced and not text)
        return " " if spaced and (self.utterances or self.unspoken) else "", text

    def append(self, utterance: Utterance) -> None:
        """Add an utterance at the end."""
        self.utterances.append(utterance)
        self.turn.text = text_of(self.utterances)
        self.unfinished += 1

    def insert(self, rest: Utterance, *, after: Utterance) -> None:
        """Put the rest of an utterance that was cut behind it. The cut one is complete, so
        `unfinished` stays."""
        self.utterances.insert(self.utterances.index(after) + 1, rest)

    def remove(self, utterance: Utterance) -> None:
        """Take out an utterance that no voice will speak."""
        self.utterances.remove(utterance)
        self.turn.text = text_of(self.utterances)
        self.unfinished -= 1

    def shorten(self) -> None:
        """The utterance that was being synthesized was cut and has no rest: it is complete."""
        self.turn.text = text_of(self.utterances)
        self.unfinished -= 1
