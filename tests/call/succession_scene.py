"""A call whose session is about to expire, and whose successor the tests open."""

from dataclasses import replace

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Transcription, TurnTaking
from tests.call.scene import AGENT, Scene

EXPIRES_MS = 3_600_000
OPENS_MS, SPEAKING_MS, ANY_MS = EXPIRES_MS - 300_000, EXPIRES_MS - 60_000, EXPIRES_MS - 10_000
RESUMED = ("system", prompts.SESSION_RESUMED)
CREATED = ev.SessionCreated("sess_1", EXPIRES_MS // 1000)


def connected(
    created: ev.SessionCreated | None = CREATED,
    turns: TurnTaking = AGENT.turns,
    transcription: Transcription = AGENT.transcription,
) -> Scene:
    """A call, one second old, whose session says when it expires."""
    agent = replace(AGENT, turns=turns, transcription=transcription)
    scene = Scene(agent, up_ms=0, down_ms=0)
    scene.feed(ev.LegOpened(), ev.ModelOpened())
    if created is not None:
        scene.feed(created)
    scene.feed(ev.SessionConfigured(), ev.StreamStarted("MZ1"))
    scene.run(1000)
    scene.take()
    return scene


def opens(scene: Scene, at_ms: float = OPENS_MS) -> None:
    """The successor is opened."""
    scene.run_until(at_ms)
    scene.feed(ev.SuccessorOpened(), ev.SuccessorCreated("sess_2", 2 * EXPIRES_MS // 1000))


def configured(scene: Scene) -> list[do.Command]:
    """It takes the settings."""
    return scene.feed(ev.SuccessorConfigured())


def swaps(scene: Scene) -> list[do.SwapModel]:
    return scene.all(do.SwapModel)


def turn(scene: Scene, item_id: str = "user_1", start_ms: int = 400, end_ms: int = 900) -> None:
    """The caller says something; its words follow."""
    scene.feed(ev.SpeechStarted(item_id, start_ms))
    scene.run(end_ms - start_ms)
    scene.feed(ev.SpeechStopped(item_id, end_ms), ev.CallerTurnCommitted(item_id, None))


def added(commands: list[do.Command]) -> list[tuple[str, str]]:
    return [(c.role, c.text) for c in commands if isinstance(c, do.AddMessage)]
