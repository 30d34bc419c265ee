"""Reads the agent file anew when it changes, for the calls that begin then."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from app.bridge.services import Services, voice_secrets
from app.cli.embedded_model import receptionist
from app.config.agent.file import LoadedAgent, load_agent
from app.config.settings import Settings
from app.errors import BridgeError, ConfigError
from app.simulator.realtime import RealtimeServer
from app.wires.voices.providers import open_voices

_EVERY_S = 0.5

Stamp = tuple[tuple[str, int, int], ...]
"""Path, time of the last change in ns, and bytes of each file."""


class AgentReload:
    """Watches the agent file, and the Python files beside it if it has tools. Run `watch` in a
    task.

    A file that is wrong changes nothing: calls go on with the agent of before, and
    `Services.agent_fault` says why.

    Args:
        settings: as the service has them.
        embedded: the embedded model, which knows the phrases of the file; None: another model.
        tell: prints a line for the owner.
    """

    def __init__(
        self,
        settings: Settings,
        services: Services,
        embedded: RealtimeServer | None,
        tell: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._services = services
        self._embedded = embedded
        self._tell = tell
        self._has_tools = bool(services.agent.tools.specs)
        self._read = self._stamp()

    async def watch(self, every_s: float = _EVERY_S) -> None:
        """Look at the files until the task is cancelled. A file is read once it has been the same
        for `every_s` seconds: an editor may write it in pieces."""
        before = self._read
        while True:
            await asyncio.sleep(every_s)
            now = await asyncio.to_thread(self._stamp)
            if now == before and now != self._read:
                self._read = now
                await self.read()
            before = now

    async def read(self) -> None:
        """Read the file now."""
        path = self._services.agent.path
        try:
            loaded = await asyncio.to_thread(self._load, path)
            voices = self._services.voices
            if loaded.voices != self._services.agent.voices:
                voices = open_voices(loaded.voices, voice_secrets(self._settings))
            if self._embedded is not None:
                model = await asyncio.to_thread(receptionist, loaded)
                self._embedded.answer_with(model.brain, model.transcribe)
        except BridgeError as error:
            problems = error.problems if isinstance(error, ConfigError) else (str(error),)
            self._services.agent_fault = "\n".join(problems)
            self._tell(f"{path} is wrong; calls go on with the agent of before:")
            for problem in problems:
                self._tell(f"  {problem}")
            return
        self._has_tools = bool(loaded.tools.specs)
        before = self._services.agent
        self._services.use(loaded, voices)
        self._tell(f"{path} is read anew: the next call has it.")
        if later := _at_the_next_start(before, loaded):
            self._tell(f"  Takes effect at the next start: {', '.join(later)}.")
        for each in loaded.warnings:
            self._tell(f"  Warning: {each}")

    def _load(self, path: Path) -> LoadedAgent:
        settings = self._settings
        model = settings.endpoint.model_name
        return load_agent(path, settings.transfer_number, model=model)

    def _stamp(self) -> Stamp:
        path = self._services.agent.path
        found = [path]
        # A wrong file has no tools now, and may have had some in mind.
        if self._has_tools or self._services.agent_fault:
            found += sorted(path.parent.glob("*.py"))
        stamps = []
        for each in found:
            try:
                stat = each.stat()
            except OSError:
                continue  # between two writes, or gone: then there is nothing to read
            stamps.append((str(each), stat.st_mtime_ns, stat.st_size))
        return tuple(stamps)


def _at_the_next_start(before: LoadedAgent, now: LoadedAgent) -> list[str]:
    """The keys that changed and that are read once."""
    changed = {
        "[after_call] summary": before.summary != now.summary,
        "[outbound] answering_machine": before.agent.outbound.answering_machine
        != now.agent.outbound.answering_machine,
        "the names of tools in the metrics": {each.name for each in before.agent.tools}
        != {each.name for each in now.agent.tools},
    }
    return [name for name, is_changed in changed.items() if is_changed]
