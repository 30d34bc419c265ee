"""The settings of the present session: what was sent, what is in force, who acts on speech.

While the agent listens, turn detection acts by itself: it requests the response to each turn, so
that no answer waits for another message. While the agent speaks it only reports, because the
caller's sound may be a cough. Changes are answered in the order in which they were sent: what turn
detection does at a commit follows from the last `SessionConfigured` before it.

The model takes or refuses the agent's settings as a whole. An optional one that it refuses is left
out, and the rest is sent again: no such setting costs the call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

from app.call.agent import Agent
from app.call.commands import ConfigureSuccessor, ReportDecision
from app.call.events import ModelFaulted
from app.call.ids import OURS
from app.call.model.requests import ModelRequests
from app.call.optional_settings import GROUPS, PART_OF, Setting, set_by
from app.call.outbox import Outbox

_OPTIONAL: tuple[Setting, ...] = get_args(Setting)
_NONE: frozenset[Setting] = frozenset()
_Named = Setting | Literal["", "required"]  # `ModelFaulted.setting`


class Refused(Enum):
    """What the model refused."""

    #: The agent's settings, and none is left to be left out: the session cannot be used.
    SETTINGS = "settings"
    #: Optional settings, which are left out from now on: the others are sent again.
    OPTIONAL = "optional"
    #: Newer settings than those in force, with which the session goes on.
    NEWER = "newer"
    #: The mode of turn detection: the session goes on as it is.
    DETECTION = "detection"


@dataclass(frozen=True, slots=True)
class _Change:
    """A change without an answer."""

    event_id: str
    what: Refused
    #: Turn detection acts by itself once it is in force.
    automatic: bool
    #: Of the agent's settings: what was left out, and whether the model's output is audio.
    without: frozenset[Setting] = _NONE
    speaks: bool = True


def _names_cause(event: ModelFaulted) -> bool:
    """Whether the refusal names the command that it answers. Some servers name none, or an id of
    their own."""
    return (event.cause_event_id or "").startswith(OURS)


class SessionSettings:
    """Report every answer of the session: `taken` or `refused`."""

    def __init__(
        self, requests: ModelRequests, outbox: Outbox[ReportDecision], agent: Agent
    ) -> None:
        #: Turn detection acts by itself now.
        self.automatic = True
        #: What the sessions of this leg do not get.
        self.left_out = _NONE
        #: Of these, what the model itself named when it refused it.
        self.named = _NONE
        self._requests = requests
        self._outbox = outbox
        self._set = set_by(agent)
        self._pending: list[_Change] = []
        self._in_force: set[str] = set()  # the agent's settings that were taken, by event id
        self._speaks = True
        self._speaks_now = True  # as `_speaks`, of what is in force
        self._without_now = _NONE  # what the present session does not get, as sent last
        self._detection_refused = False
        self._voice_fixed = False  # this session has spoken, and refuses the voice since then

    @property
    def transcribes(self) -> bool:
        """Whether the caller's turns are transcribed."""
        return "transcription" in self._set and "transcription" not in self._without_now

    def session_lost(self) -> None:
        """Nothing that was sent is answered any more, and the next session acts by itself."""
        self.automatic, self._detection_refused, self._voice_fixed = True, False, False
        self._pending.clear()
        self._in_force.clear()

    def leave_out(self, settings: Iterable[Setting]) -> None:
        """An earlier session refused these: leave them out of all that follow."""
        self.left_out |= frozenset(settings)

    def configure(self, *, speaks: bool) -> None:
        """Send the agent's settings; turn detection acts by itself then. `speaks`: the model's
        output is audio."""
        self._speaks = speaks
        without = self._without_now = self._without
        event_id = self._requests.configure(speaks=speaks, without=_in_order(without))
        self._pending.append(_Change(event_id, Refused.SETTINGS, True, without, speaks))

    def swapped(self, got: ConfigureSuccessor, *, speaks: bool) -> None:
        """The successor takes over with the settings that it got: send those that changed since.
        `speaks`: see `configure`."""
        self._speaks, self._speaks_now = speaks, got.speaks
        self._without_now = frozenset(got.without)
        self._in_force.add(got.event_id)
        if got.speaks is not speaks or got.without != self.of_next:
            self.configure(speaks=speaks)

    @property
    def of_next(self) -> tuple[Setting, ...]:
        """What the next session does not get, in the order of `Setting`."""
        return _in_order(self.left_out)

    @property
    def _without(self) -> frozenset[Setting]:
        """What the present session does not get."""
        return self.left_out | {"voice"} if self._voice_fixed else self.left_out

    def detect(self, *, automatic: bool) -> None:
        """Change who acts on the caller's speech, unless the latest change did."""
        fixed = self._detection_refused or "detection" in self.left_out
        if automatic != self.asked_automatic and not fixed:
            event_id = self._requests.set_turn_detection(automatic=automatic)
            self._pending.append(_Change(event_id, Refused.DETECTION, automatic))

    @property
    def asked_automatic(self) -> bool:
        """Whether turn detection acts by itself once all changes are in force."""
        return self._pending[-1].automatic if self._pending else self.automatic

    def taken(self) -> None:
        """The oldest change without an answer is in force."""
        if self._pending:
            change = self._pending.pop(0)
            self.automatic = change.automatic
            if change.what is Refused.SETTINGS:
                self._in_force.add(change.event_id)
                self._speaks_now = change.speaks

    def refused(self, event: ModelFaulted) -> Refused | None:
        """The model refused something. Returns what it was; None: no change of the settings.

        A session that refuses a mode of turn detection gets no other one. When the model refuses an
        optional setting, also one that it took before, the settings are sent again without it. A
        refusal that names no setting counts as one of all optional settings, unless the session has
        taken them before: then it goes on with those, if its output is what it has to be.
        """
        change = self._change(event)
        if change is not None:
            self._pending.remove(change)
            if change.what is Refused.DETECTION:
                self._detection_refused = True
                return Refused.DETECTION
            if any(change.without < later.without for later in self._pending):
                return Refused.OPTIONAL  # they are sent again already
        elif not self._refused_late(event):
            return None
        blamed = self._blamed(event.setting, self._without, guess=not self._in_force)
        if not blamed:
            if change is None:
                return None
            goes_on = self._in_force and change.speaks is self._speaks_now
            return Refused.NEWER if goes_on else Refused.SETTINGS
        if self._in_force and blamed == {"voice"}:
            self._voice_fixed = True
        else:
            self._leave_out(blamed, event.setting)
        self._report(blamed, event.message or event.code)
        self.configure(speaks=self._speaks)
        return Refused.OPTIONAL

    def successor_refused(self, setting: _Named, why: str, got: Iterable[Setting]) -> None:
        """The successor refused its settings: the next one gets fewer. The present session goes on.

        Args:
            setting: What it named, see `ModelFaulted`.
            got: What was left out of its settings.
        """
        blamed = self._blamed(setting, frozenset(got), guess=True)
        news = blamed - self.left_out
        self._leave_out(blamed, setting)
        if news:
            self._report(blamed, why)

    def _change(self, event: ModelFaulted) -> _Change | None:
        """The change that the model refused."""
        if _names_cause(event):
            ids = (each for each in self._pending if each.event_id == event.cause_event_id)
            return next(ids, None)
        # A server that does not repeat the id: before the settings are in force, only they are
        # there to be refused. Afterwards the refusal has to name a setting that is in force.
        if event.refusal or (self._in_force and not self._may_be_in_force(event)):
            return None
        any_kind = event.setting == "detection"
        found = (each for each in self._pending if any_kind or each.what is Refused.SETTINGS)
        return next(found, None)

    def _refused_late(self, event: ModelFaulted) -> bool:
        """Whether the model refuses an optional setting that it took before."""
        if _names_cause(event) and event.cause_event_id not in self._in_force:
            return False
        return bool(self._in_force) and self._may_be_in_force(event)

    def _may_be_in_force(self, event: ModelFaulted) -> bool:
        """Whether the refusal names an optional setting that was sent."""
        return event.setting in _OPTIONAL and event.setting not in self._without

    def _blamed(
        self,
        setting: _Named,
        without: frozenset[Setting],
        *,
        guess: bool,
    ) -> frozenset[Setting]:
        """What to leave out; empty: there is nothing that could help.

        Args:
            without: What is left out already.
            guess: Blame all optional settings if none is named.
        """
        if setting == "required":
            return _NONE
        named = setting or None
        while named is not None and named in without:
            named = PART_OF.get(named)
        if named is not None:
            return frozenset({named})
        if not guess:
            return _NONE
        groups = (frozenset(group) - without for group in GROUPS)
        return next(filter(None, groups), _NONE)

    def _leave_out(self, blamed: frozenset[Setting], setting: _Named) -> None:
        """No session of this leg gets these from now on. `setting`: what the model named."""
        self.left_out |= blamed
        parts = {part for part, whole in PART_OF.items() if whole in blamed}
        if setting in blamed | parts:  # else they are a guess
            self.named |= blamed

    def _report(self, blamed: frozenset[Setting], why: str) -> None:
        said = blamed & self._set if len(blamed) > 1 else blamed
        names = ", ".join(_in_order(said)) or "optional settings"
        self._outbox.put(ReportDecision(f"go on without {names}", why))


def _in_order(settings: frozenset[Setting]) -> tuple[Setting, ...]:
    return tuple(name for name in _OPTIONAL if name in settings)
