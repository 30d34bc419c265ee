"""A scene in which silences are reported, and the caller's frames are measured."""

from typing import Any, TypeVar

from app.call import commands as do
from app.call import events as ev
from tests.call.scene import Scene

S = TypeVar("S", bound=Scene)

LONGEST_WAIT_MS = 8000


def connected(scene: S) -> S:
    """The caller is connected and the session configured; silences are reported."""
    scene.feed(ev.LegOpened(reports_silences=True))
    scene.configure()
    scene.feed(ev.StreamStarted("MZ1"))
    scene.run(1000)
    return scene


def asking(scene: S) -> S:
    """The caller has just asked something."""
    connected(scene)
    scene.speak()
    scene.run(1000)
    scene.fall_silent(text="What day is it?")
    return scene


def silences(scene: Scene) -> list[tuple[str, Any]]:
    """(cause, length in ms) of each report."""
    return [(each.cause, each.length_ms) for each in scene.all(do.ReportSilence)]


def longest_ms(scene: Scene, from_ms: float) -> float:
    """The longest time in which the line played nothing."""
    return max(scene.line.silences_ms(from_ms, scene.now_ms))


class Measured(Scene):
    """The caller's frames are counted before the events that need it."""

    #: When they last held voice; None: they hold it now.
    voice_ended_ms: float | None = 0.0

    def feed(self, *events: ev.Event) -> list[do.Command]:
        if isinstance(events[0], ev.TimerFired | ev.SpeechStarted | ev.SpeechStopped):
            quiet_ms = 0.0 if self.voice_ended_ms is None else self.now_ms - self.voice_ended_ms
            super().feed(ev.CallerAudioForwarded(1, 160, round(quiet_ms)))
        return super().feed(*events)

    def voice(self, ms: float) -> None:
        """The caller's frames hold so much voice."""
        self.voice_ended_ms = None
        self.run(ms)
        self.voice_ended_ms = self.now_ms
