"""The settings of the present session: what was sent, what is in force, who acts on speech.

While the agent listens, turn detection acts by itself: it requests the response to each turn, so
that no answer waits for another message. While the agent speaks it only reports, because the
caller's sound may be a cough. Changes are answered in the order in which they were sent: what turn
detection does at a commit follows from the last `SessionConfigured` before it.

The model takes or refuses the agent's settings as a whole. An optional one that it refuses is left
out, and the rest is sent again: no such setting costs the call.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import get_args

from app.call.agent import Agent
from app.call.commands import ConfigureSuccessor, ReportDecision
from app.call.events import ModelFaulted
from app.call.ids import OURS
from app.call.model.requests import ModelRequests
from app.call.optional_settings import GROUPS, PART_OF, Setting, set_by
from app.call.outbox import Outbox

_OPTIONAL: tuple[Setting, ...] = get_args(Setting)
_NONE: frozenset[Setting] = frozenset()


class Refused(Enum):
    """What the model refused."""

    #: The agent's settings, and none is left to be left out: the session cannot be used.
    SETTINGS = "settings"
    #: Optional settings, which are left out from now on: the others are sent again.
    OPTIONAL = "optional"
    #: The mode of turn detection: the session goes on as it is.
    DETECTION = "detection"


@dataclass(frozen=True, slots=True)
class _Change:
    """A change without an answer."""

    event_id: str
    what: Refused
    #: Turn detection acts by itself once it is in force.
    automatic: bool
    #: Of the agent's settings: what was left out.
    without: frozenset[Setting] = _NONE


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
        self._pending: deque[_Change] = deque()
        self._in_force: set[str] = set()  # the agent's settings that were taken, by event id
        self._speaks = True
        self._detection_refused = False

    def session_lost(self) -> None:
        """Nothing that was sent is answered any more, and the next session acts by itself."""
        self.automatic, self._detection_refused = True, False
        self._pending.clear()
        self._in_force.clear()

    def leave_out(self, settings: Iterable[Setting]) -> None:
        """An earlier session refused these: leave them out of all that follow."""
        self.left_out |= frozenset(settings)

    def configure(self, *, speaks: bool) -> None:
        """Send the agent's settings; turn detection acts by itself then. `speaks`: the model's
        output is audio."""
        self._speaks = speaks
        event_id = self._requests.configure(speaks=speaks, without=self.without)
        change = _Change(event_id, Refused.SETTINGS, automatic=True, without=self.left_out)
        self._pending.append(change)

    def swapped(self, got: ConfigureSuccessor, *, speaks: bool) -> None:
        """The successor takes over with the settings that it got: send those that changed since.
        `speaks`: see `configure`."""
        self._speaks = speaks
        self._in_force.add(got.event_id)
        if got.speaks is not speaks or got.without != self.without:
            self.configure(speaks=speaks)

    @property
    def without(self) -> tuple[Setting, ...]:
        """What is left out, in the order of `Setting`."""
        return tuple(name for name in _OPTIONAL if name in self.left_out)

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
            change = self._pending.popleft()
            self.automatic = change.automatic
            if change.what is Refused.SETTINGS:
                self._in_force.add(change.event_id)

    def refused(self, event: ModelFaulted) -> Refused | None:
        """The model refused something. Returns what it was; None: no change of the settings.

        A session that refuses a mode of turn detection gets no other one. When the model refuses an
        optional setting, also one that it took before, the settings are sent again without it. A
        refusal that names no setting counts as one of all optional settings, unless the session has
        taken them before.
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
        blamed = self._blamed(event)
        if not blamed:
            return None if change is None else Refused.SETTINGS
        self._leave_out(blamed, event.message or event.code)
        return Refused.OPTIONAL

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
        return event.setting in _OPTIONAL and event.setting not in self.left_out

    def _blamed(self, event: ModelFaulted) -> frozenset[Setting]:
        """What to leave out; empty: there is nothing that could help."""
        if event.setting == "required":
            return _NONE
        named = event.setting or None
        while named is not None and named in self.left_out:
            named = PART_OF.get(named)
        if named is not None:
            if named != "voice" or not self._in_force:  # a voice may be fixed once it has spoken
                self.named |= {named}
            return frozenset({named})
        if self._in_force:
            return _NONE
        groups = (frozenset(group) - self.left_out for group in GROUPS)
        return next(filter(None, groups), _NONE)

    def _leave_out(self, blamed: frozenset[Setting], why: str) -> None:
        """Send the settings again without these."""
        self.left_out |= blamed
        said = blamed & self._set if len(blamed) > 1 else blamed
        names = ", ".join(name for name in _OPTIONAL if name in said) or "optional settings"
        self._outbox.put(ReportDecision(f"go on without {names}", why))
        self.configure(speaks=self._speaks)
