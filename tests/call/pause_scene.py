"""A scene whose agent the caller's sounds pause. Its audio has bytes of its own, so that what the
caller heard is read from the line, byte by byte."""

import base64
from dataclasses import replace
from random import Random

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from tests.call.scene import BYTES_PER_MS, Scene, agent

BACKCHANNELS = ("m hm", "okay", "yes", "嗯")


def pausing(base: Agent | None = None) -> Agent:
    """This agent, with `resume_false_interruptions`."""
    base = base or agent()
    turns = replace(base.turns, resume_false_interruptions=True, backchannels=BACKCHANNELS)
    return replace(base, turns=turns)


def spoken(item_id: str, ms: int) -> bytes:
    """The first `ms` of an item's audio: no two stretches of it are alike."""
    return Random(item_id).randbytes(ms * BYTES_PER_MS)


class PauseScene(Scene):
    """The model confirms changes of its settings after `round_trip_ms`, or never."""

    def __init__(
        self,
        agent: Agent | None = None,
        *,
        up_ms: float = 20.0,
        down_ms: float = 20.0,
        round_trip_ms: float | None = 40.0,
    ) -> None:
        super().__init__(agent or pausing(), up_ms=up_ms, down_ms=down_ms)
        self.round_trip_ms = round_trip_ms
        self._sounds: list[tuple[str, bytes]] = []  # of each of the line's media
        self._generated: dict[str, int] = {}

    def feed(self, *events: ev.Event) -> list[do.Command]:
        commands = super().feed(*events)
        for command in commands:
            if isinstance(command, do.PlayAudio):
                self._sounds.append((command.item_id, base64.b64decode(command.payload)))
            elif isinstance(command, do.SetTurnDetection) and self.round_trip_ms is not None:
                self.later(self.round_trip_ms, lambda: self.feed(ev.SessionConfigured()))
        return commands

    def audio(
        self, ms: int, item_id: str = "item_1", response_id: str = "resp_1"
    ) -> list[do.Command]:
        """So much speech comes at once, in deltas of 100 ms."""
        begin = self._generated.get(item_id, 0)
        end = self._generated[item_id] = begin + ms * BYTES_PER_MS
        sound = spoken(item_id, end // BYTES_PER_MS)
        deltas = [sound[at : min(at + 800, end)] for at in range(begin, end, 800)]
        return self.feed(
            *(
                ev.AudioReceived(response_id, item_id, base64.b64encode(d).decode(), len(d))
                for d in deltas
            )
        )

    def played(self, item_id: str = "item_1") -> bytes:
        """What the caller heard of an item by now."""
        heard = [
            sound[: media.heard_bytes(self.now_ms)]
            for (whose, sound), media in zip(self._sounds, self.line.clock.media, strict=False)
            if whose == item_id
        ]
        return b"".join(heard)

    def cough(self, ms: float = 200.0, item_id: str = "user_1", text: str | None = None) -> None:
        """The caller makes a sound of this length, and turn detection commits it. `text`: its
        transcript, which comes at once; None: none comes."""
        self.speak(item_id)
        self.run(ms)
        self.fall_silent(item_id)
        if text is not None:
            self.feed(ev.CallerTranscribed(item_id, text))

    def verdicts(self) -> list[tuple[str, str]]:
        """Every interruption: (verdict, reason)."""
        return [(each.verdict, each.reason) for each in self.all(do.ReportInterruption)]
