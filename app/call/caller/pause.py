"""The pause: the caller makes a sound while the agent speaks, and it is not known yet whether they
mean to interrupt.

The agent is silent from the caller's first sound on. The sound is an interruption if it holds
enough voice, or words; it is none if its transcript has no words, or when the time for them is up.
"""

from dataclasses import dataclass

from app.call.agent import TurnTaking
from app.call.deadlines import NEVER
from app.call.model.responses import Wanted

#: This much voice in the caller's frames is an interruption, whatever it says.
CONFIRMED_MS = 600
#: Quiet for this long, the caller's frames hold no more of the sound.
QUIET_MS = 500
#: The longest pause.
LONGEST_MS = 3000.0
#: Reasons of a verdict that reports distinguish: the sound was a "mm-hm", ...
BACKCHANNEL = "a backchannel"
#: ... and it was an interruption after all, because words came after the agent had gone on.
LATE_WORDS = "late words"
#: ... or enough voice, in a turn that was still open.
LATE_VOICE = "late voice"
#: How many sounds are remembered whose words may still come.
MOST_LATE = 8


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A response that turn detection cancelled during the pause."""

    response_id: str
    #: What it was for.
    was: Wanted
    #: It said something.
    spoke: bool


class Pause:
    """Keeps what is known of the sound, and the deadline of its words. `BargeIn` acts on it."""

    def __init__(self, turns: TurnTaking) -> None:
        #: The agent is paused.
        self.active = False
        #: How many sounds of the caller paused the agent, or came during a pause.
        self.sounds = 0
        #: When it was paused.
        self.since_ms = 0.0
        #: The caller's turn is committed; None: not yet. True: turn detection answers it itself.
        self.committed_automatic: bool | None = None
        #: None: no response.
        self.cancelled: Cancelled | None = None
        self._wait_ms = float(turns.false_interruption_ms)
        self._answered = False  # turn detection answers the sound, and was not seen to
        self._by_ms = NEVER
        self._wordless: dict[str, bool] = {}  # the sounds of this pause, by item
        # Judged before their words came; whether a question was heard before them.
        self._late: dict[str, bool] = {}
        self._last_id = ""  # the last sound of this pause, or of the last one
        self._goes_on = False  # it was judged, and its turn is not over

    def begin(self, item_id: str, now_ms: float) -> None:
        """The agent was paused. `item_id`: of the caller's sound."""
        self.active, self.since_ms = True, now_ms
        self._wordless.clear()
        self.sounded(item_id)

    def sounded(self, item_id: str) -> None:
        """The caller makes another sound."""
        self.sounds += 1
        self._wordless[item_id] = False
        self._last_id, self._goes_on = item_id, False
        self._by_ms, self.committed_automatic, self._answered = NEVER, None, False

    def committed(self, now_ms: float, *, automatic: bool) -> None:
        """The caller's turn is over. `automatic`: turn detection answers it itself."""
        self.committed_automatic = self._answered = automatic
        self._by_ms = now_ms + self._wait_ms

    def answered_by_detection(self) -> bool:
        """A response began that was not requested. Whether it answers the sound of this pause, or
        of the last one, which was none to be answered. True once."""
        answered, self._answered = self._answered, False
        if answered:
            self.committed_automatic = False  # that response is cancelled
        return answered

    def quieted(self, now_ms: float) -> None:
        """The caller's frames have been quiet for `QUIET_MS`. Turn detection may take seconds to
        end the turn, so from now on words are awaited."""
        if self.committed_automatic is None:
            self._by_ms = min(self._by_ms, now_ms + self._wait_ms)

    def awaits(self, item_id: str) -> bool:
        """Whether this sound's words decide about the pause."""
        return self.active and item_id in self._wordless

    def wordless(self, item_id: str) -> bool:
        """The transcript of this sound has no words. Returns whether that holds for all of them."""
        self._wordless[item_id] = True
        return all(self._wordless.values())

    @property
    def untranscribed(self) -> list[str]:
        """The sounds of this pause whose transcripts have not come."""
        return [item_id for item_id, wordless in self._wordless.items() if not wordless]

    def end(self) -> None:
        """The pause is over, because the caller interrupts the agent. They are answered, also by
        turn detection."""
        self.active, self._by_ms, self._answered = False, NEVER, False
        self.cancelled = None
        self._goes_on = False
        self._wordless.clear()

    def end_false(self, *, asked: bool) -> None:
        """The pause is over, and the agent goes on: words that come later interrupt it then, and
        so does enough voice while the turn goes on. `asked`: a question was heard before it."""
        self._late.update(dict.fromkeys(self.untranscribed, asked))
        while len(self._late) > MOST_LATE:
            del self._late[next(iter(self._late))]
        answered, goes_on = self._answered, self.committed_automatic is None
        self.end()
        self._answered, self._goes_on = answered, goes_on

    def turn_over(self) -> None:
        """The caller's present turn is over, or the session that heard it is lost."""
        self._goes_on = False

    def take_open(self) -> str:
        """The sound that was judged and whose turn goes on: the caller interrupts after all. Empty:
        there is none."""
        if not self._goes_on:
            return ""
        self._goes_on = False
        self._late.pop(self._last_id, None)
        return self._last_id

    def take_late(self, item_id: str) -> bool:
        """Whether the words of this sound come after its pause. True once."""
        return self._late.pop(item_id, None) is not None

    def is_late(self, item_id: str) -> bool:
        """Whether this sound was judged before its words came."""
        return item_id in self._late

    def late_asked(self, item_id: str) -> bool:
        """Whether a question was heard before this sound, whose words come after its pause."""
        return self._late.get(item_id, False)

    @property
    def awaited_sound(self) -> int:
        """The number of the sound whose voice may interrupt the agent; 0: there is none."""
        return self.sounds if self.active or self._goes_on else 0

    @property
    def due_ms(self) -> float:
        """When the pause ends because no words came."""
        return min(self._by_ms, self.since_ms + LONGEST_MS) if self.active else NEVER
