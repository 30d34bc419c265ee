"""Succession: another session takes over before the present one expires, and no one hears it.

The successor is opened ahead. It is swapped in while no one speaks and nothing is awaited; as the
end comes near, at a less good moment. It is seeded at the swap, with all that was said by then.
"""

from app.call import events as ev
from app.call.commands import CloseSuccessor, ConfigureSuccessor, OpenSuccessor
from app.call.deadlines import NEVER, next_after
from app.call.model.successor import Moment
from app.call.outbox import Outbox
from app.call.wiring import Parts

#: The caller's frames have this long to show that they hold no voice. Noise may hold one for ever:
#: then turn detection decides, which reports speech within this time.
SETTLE_MS = 2000.0


class Succession:
    """Opens the successor, and chooses the moment of the swap."""

    def __init__(
        self, outbox: Outbox[OpenSuccessor | ConfigureSuccessor | CloseSuccessor], parts: Parts
    ) -> None:
        #: The moment is good as soon as the caller's frames are quiet: pass `CallerQuieted` then.
        self.awaits_quiet = False
        self._outbox = outbox
        self._ids = parts.ids
        self._settings = parts.model.settings
        self._successor = parts.model.successor
        self._link = parts.model.link
        self._responses = parts.model.responses
        self._tools = parts.model.tools
        self._caller_audio = parts.model.caller_audio
        self._speech = parts.speech
        self._exits = parts.exits
        self._floor = parts.floor
        self._session = parts.session
        self._good_since_ms = NEVER  # since when the moment is good but for the caller's frames
        self._quiet = False

    def take(self, event: ev.Event, now_ms: float, *, at_s: float) -> None:
        """Take every event that is no delta, before the other parts. `at_s`: Unix time, in
        seconds."""
        self._caller_audio.take(event, now_ms)
        match event:
            case ev.CallerQuieted():
                self._quiet = self.awaits_quiet
            case ev.SessionCreated(_, expires_at_s):
                self._successor.session_created(_left_s(expires_at_s, at_s), now_ms)
            case ev.SuccessorOpened() if self._successor.open:
                speaks = self._speech.synthesis.model_speaks
                settings = ConfigureSuccessor(self._ids.event(), speaks, self._settings.of_next)
                self._outbox.put(settings)
                self._successor.opened(settings, now_ms)
            case ev.SuccessorCreated(_, expires_at_s):
                self._successor.created(_left_s(expires_at_s, at_s), now_ms)
            case ev.SuccessorConfigured() if self._successor.open:
                self._successor.configured()
            case ev.SuccessorLost() if self._successor.open:
                if event.refused:
                    self._refused(event)
                self._successor.lost(now_ms)

    def _refused(self, event: ev.SuccessorLost) -> None:
        """The successor refuses its settings: the next one gets fewer of them. A first refusal that
        names none may have passed by then."""
        successor = self._successor
        if event.setting or (successor.tries > 1 and not successor.ready):
            without = successor.settings.without
            self._settings.successor_refused(event.setting, event.reason, without)

    def settle(self, now_ms: float) -> None:
        """Do what is due: open the successor, give it up, or swap it in."""
        successor, quiet = self._successor, self._quiet
        self.awaits_quiet = self._quiet = False
        if not self._link.ready or self._exits.ordered:
            self._good_since_ms = NEVER
            return
        if successor.is_stuck(now_ms):
            self._outbox.put(CloseSuccessor())
            successor.lost(now_ms)
        if successor.must_open(now_ms):
            successor.opening()
            self._outbox.put(OpenSuccessor())
        if not successor.ready:
            self._good_since_ms = NEVER
            return
        moment = successor.moment(now_ms)
        if moment is not Moment.ANY:
            if not self._is_good(moment, now_ms):
                self._good_since_ms = NEVER
                return
            self._good_since_ms = min(self._good_since_ms, now_ms)
            if not quiet and now_ms < self._good_since_ms + SETTLE_MS:
                self.awaits_quiet = True
                return
        self._good_since_ms = NEVER
        good = self._is_good(Moment.SPEAKING, now_ms)  # then nothing of the caller's is open
        self._session.swap(now_ms, carries=not good)

    def _is_good(self, moment: Moment, now_ms: float) -> bool:
        if (
            self._floor.caller_acts
            or self._floor.answer_by_ms != NEVER
            or self._floor.pause.active
            or self._responses.in_flight
            or self._caller_audio.awaits_words(now_ms)
        ):
            return False
        return moment is Moment.SPEAKING or not (
            self._exits.caller_waits
            or not self._responses.idle
            or self._tools.working()
            or self._floor.keypad.asked
            or self._speech.speaks(now_ms)
        )

    def next_ms(self, now_ms: float) -> float:
        """When `settle` has something to do next."""
        next_ms = self._successor.next_ms(now_ms)
        if not self._successor.ready:
            return next_ms
        return next_after(
            now_ms,
            next_ms,
            self._good_since_ms + SETTLE_MS,
            self._caller_audio.next_ms(now_ms),
            self._speech.plays_until_ms + 1,
        )


def _left_s(expires_at_s: float | None, at_s: float) -> float | None:
    """The seconds until a session expires; None: its model did not say when."""
    return None if expires_at_s is None else expires_at_s - at_s
