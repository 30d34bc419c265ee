"""What makes a provider of external voices: its forms, its settings, and its entry in the table.

`providers.py` holds the table. A provider's folder holds its form, its settings, and its `Voice`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from app.wires.form import Form, Text, fault
from app.wires.voices.voice import Voice, is_here


class Credentials:
    """Credentials by the name of their environment variable; empty if a variable is not set."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, "")

    def __repr__(self) -> str:
        """Without the values."""
        return f"Credentials({', '.join(self._values)})"


class Facts(NamedTuple):
    """What `python -m app voices` lists about a voice."""

    #: The provider's model and protocol.
    model: str
    #: The sample rate in a call, Hz.
    hz: int
    #: The server. Only its host is shown.
    url: str


class VoiceSettings(ABC):
    """How to connect to a voice, and how it speaks. A provider extends it by a frozen dataclass."""

    __slots__ = ()

    #: Every environment variable that the provider reads; each is a field of `Settings`.
    credentials: ClassVar[tuple[str, ...]] = ()
    #: Those of them that most servers require, although the voice opens without them.
    suggested: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def label(self) -> str:
        """The voice's name as people see it, such as `qwen/Cherry`: the provider's name, a slash,
        and the voice. Contains no secret."""

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """What `python -m app voices` lists about the voice."""

    def needs(self, given: Credentials) -> tuple[str, ...]:
        """The environment variables without which the voice cannot be opened. `given`: what is
        set, because one variable may take the place of others."""
        return ()

    def with_credentials(self, given: Credentials) -> Self:
        """The same settings, with the credentials in them.

        Raises:
            ConfigError: a credential is malformed.
        """
        return self


S = TypeVar("S", bound=VoiceSettings)


# --- the forms ------------------------------------------------------------------------------------


class ProviderForm(Form):
    """The keys of one provider in a table [voice] of the agent file.

    A form has `provider: Literal["name"]`. Forms of one provider differ in another key that has a
    single value, such as `transport`. A key whose name differs from its field in the provider's
    settings has that field's name as serialization alias.
    """

    @abstractmethod
    def settings(self, language: str) -> VoiceSettings:
        """The voice, without its credentials. `language`: of the agent, ISO 639-1.

        Raises:
            ConfigError: keys that are valid one by one do not go together.
        """

    def given(self) -> dict[str, Any]:
        """The keys that were set, under the names of the provider's settings."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude={"provider"})


def _web_socket(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError
    if parts.scheme == "ws" and not is_here(parts.hostname):
        raise fault("expected wss, because the credentials go there")
    return value


# Types of keys. None: the provider decides.
ModelName = Annotated[Text | None, Field(description="a model's name")]
Ratio = Annotated[float | None, Field(ge=0.5, le=2)]
SampleRate = Literal[8000, 16000, 24000, 48000] | None
WebSocketUrl = Annotated[
    Annotated[str, AfterValidator(_web_socket)] | None,
    Field(description="an address such as wss://example.com/path"),
]


# --- the table's entries --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Provider(Generic[S]):
    """A provider: an entry of `PROVIDERS`."""

    #: The value of `provider` in the agent file, and the first part of its voices' labels.
    name: str
    #: The forms of its table [voice]; which of them is chosen by the keys with a single value. The
    #: first one if none matches.
    forms: tuple[type[ProviderForm], ...]
    #: What its forms make.
    settings: type[S]
    #: Opens a voice. It does not connect; see `Voice`.
    voice: Callable[[S], Voice]
    #: The unit of its prices: a price of PRICES_FILE is for this many characters.
    priced_characters: int = 10_000
