"""What the two protocols of Volcengine have in common.

A `Transport` opens connections and makes a `Synthesis` for each text: `v1_requests` and
`v3_sessions` extend both.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from app.wires.voices.voice import SpokenWord
from app.wires.voices.volcengine.connections import Connection, Connections
from app.wires.voices.volcengine.settings import VolcengineSettings


class Synthesis(ABC):
    """One text on one connection: `start`, then `next_audio` until it returns None, or `cancel`."""

    def __init__(
        self, settings: VolcengineSettings, connection: Connection, text: str, uid: str
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._text = text
        #: The user id in Volcengine's logs.
        self._uid = uid
        #: What no error message may quote.
        self._private = (text, *settings.secrets)

    @abstractmethod
    async def start(self) -> None:
        """Send the text. Raises VoiceError."""

    @abstractmethod
    async def next_audio(self) -> bytes | None:
        """The next sound, which may be empty or end within a sample; None at the end of the text.
        Raises VoiceError."""

    def take_words(self) -> tuple[SpokenWord, ...]:
        """The times of words that came since the last call; none if the protocol sends none."""
        return ()

    @abstractmethod
    async def cancel(self) -> bool:
        """Drop the rest of the text. Returns whether the connection can be reused."""


class Transport(ABC):
    """One of the protocols, for a voice. `connections`: of the voice."""

    def __init__(self, settings: VolcengineSettings, connections: Connections) -> None:
        self._settings = settings
        self._connections = connections

    @abstractmethod
    async def open(self) -> Connection:
        """Open a connection that is ready for a text. Raises VoiceError."""

    @abstractmethod
    def synthesis(self, connection: Connection, text: str, uid: str) -> Synthesis:
        """A text to say on this connection. Call its `start` next."""

    async def _connect(
        self, path: str, headers: Mapping[str, str], *, has_session_ids: bool
    ) -> Connection:
        """Open a connection to the path of the protocol. Raises VoiceError."""
        return await self._connections.open(
            self._settings.address(path),
            headers,
            has_session_ids=has_session_ids,
            private=self._settings.secrets,
            label=self._settings.label,
        )
