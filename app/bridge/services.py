"""What all calls share, opened and closed once: agent, store, REST client, voices, prices."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from socket import gethostname
from typing import Any

from pydantic import SecretStr

from app.bridge.bus.bus import Bus
from app.bridge.bus.local_bus import LocalBus
from app.bridge.signed_tickets import TicketSigner, ticket_key
from app.bridge.softphone_line import SOFTPHONE, CallControl, SoftphoneLine
from app.bridge.voice_paces import VoicePaces
from app.call.agent import Agent
from app.call.destinations import Destination
from app.call.exits.attempts import NOT_TAKEN, TAKEN
from app.call.optional_settings import Setting
from app.call.usage import Usage
from app.config.agent.file import LoadedAgent, load_agent
from app.config.prices import Prices, load_prices
from app.config.redis_url import parse_redis_url
from app.config.settings import EMBEDDED, Settings
from app.errors import ConfigError
from app.records.record import Transfers
from app.records.recorder import Recorder
from app.records.recording import Recording, check_folder
from app.records.store import Store
from app.records.stored_call import StoredCall
from app.records.watching import Watched, Watcher
from app.records.webhook import signing_key
from app.tools.registry import ToolRegistry
from app.wires.model import OpenWire
from app.wires.open_model import open_model
from app.wires.realtime.endpoint import Endpoint
from app.wires.twilio.call import CallInfo
from app.wires.twilio.rest import TwilioRest
from app.wires.voices.provider import Credentials
from app.wires.voices.providers import CREDENTIALS, open_voices
from app.wires.voices.voice import Voice

WRITTEN_S = 1.0  # for the last records

# Secrets that all replicas need: signatures, tickets and tokens are judged by any of them.
_SAME_EVERYWHERE = ("twilio_auth_token", "api_token", "call_webhook_secret")


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the agent of a call works with, from the call's first leg to its last."""

    tools: ToolRegistry
    #: In the order of `Agent.voices`.
    voices: tuple[Voice, ...] = ()


@dataclass(slots=True)
class Services:
    """Open them with `Services.open`, close them with `aclose`. `use` replaces the agent; nothing
    else changes."""

    #: Of the calls that begin now.
    agent: LoadedAgent
    #: For prices and the summary; calls reach the model with `open_wire`.
    model: Endpoint
    #: Makes the wire for each session of a call.
    open_wire: OpenWire
    store: Store
    #: None without Twilio credentials: then calls end by their TwiML, and are not transferred.
    rest: TwilioRest | None
    prices: Prices
    #: The folder of the recordings.
    recordings: Path
    #: TWILIO_PHONE_NUMBER; empty: not set.
    phone_number: str = ""
    #: External voices in the order of `agent.voices`. Empty: the model speaks itself.
    voices: tuple[Voice, ...] = ()
    #: How these voices speak, as measured in the calls so far.
    paces: VoicePaces = field(default_factory=lambda: VoicePaces(0))
    #: Called with the events and commands of every call, and with its end.
    watchers: list[Watcher] = field(default_factory=list)
    #: Settings that the model refused on a call: later calls do not send them.
    refused_settings: set[Setting] = field(default_factory=set)
    #: What this process shares with other replicas.
    bus: Bus = field(default_factory=LocalBus)
    #: The epochs with which this process adopted calls, by SID: see `Store.adopt`.
    epochs: dict[str, int] = field(default_factory=dict)
    #: REPLICA_URL: media streams come to this address of the process; empty: not set.
    replica_url: str = ""
    #: Signs the tickets of media streams.
    tickets: TicketSigner = field(default_factory=lambda: TicketSigner(token_bytes()), repr=False)
    #: In place of `rest` for the calls of softphones.
    softphone: SoftphoneLine = field(
        default_factory=lambda: SoftphoneLine(token_bytes()), repr=False
    )
    #: Why the agent file cannot be read anew, while calls go on with the agent of before. Empty: it
    #: can, or is not read anew.
    agent_fault: str = ""
    #: What earlier agents worked with: live calls may use it.
    _earlier: list[Equipment] = field(default_factory=list, repr=False)

    @classmethod
    async def open(cls, settings: Settings, agent: LoadedAgent | None = None) -> "Services":
        """Open what the settings name.

        Raises:
            ConfigError: the agent file, the prices file or a secret is wrong, the folder of the
                recordings or of the spool is not writable, or Redis refuses the connection.
            StoreUnavailable: the database cannot be opened.
        """
        loaded = agent or load_agent(
            settings.agent_file, settings.transfer_number, model=settings.endpoint.model_name
        )
        prices = load_prices(settings.prices_file)
        voices = open_voices(loaded.voices, voice_secrets(settings))
        if settings.call_webhook_secret is not None:
            signing_key(settings.call_webhook_secret.get_secret_value())
        if loaded.recording.enabled:
            await _check_recordings(settings.recordings_dir)
        bus, key = await _bus(settings), _ticket_key(settings)
        try:
            store = await Store.open(
                settings.database_url.get_secret_value(), spool_dir=settings.spool_dir
            )
        except BaseException:
            await bus.aclose()
            raise
        return cls(
            loaded,
            settings.endpoint,
            open_model(settings.endpoint),
            store,
            _rest(settings),
            prices,
            settings.recordings_dir,
            settings.twilio_phone_number or "",
            voices,
            VoicePaces(len(voices)),
            replica_url=settings.replica_url or "",
            tickets=TicketSigner(key),
            softphone=SoftphoneLine(key),
            bus=bus,
        )

    def control(self, call_sid: str) -> CallControl | None:
        """Where orders about this call go. None: there are no Twilio credentials."""
        return self.softphone if self.softphone.has(call_sid) else self.rest

    def destinations(self, call_sid: str) -> tuple[Destination, ...]:
        """To which humans this call can be transferred."""
        return self.agent_of(call_sid).destinations

    @property
    def embedded(self) -> bool:
        """Whether the embedded model answers, because OPENAI_API_KEY is not set."""
        return self.model.model == EMBEDDED

    def agent_of(self, call_sid: str) -> Agent:
        """The agent of the agent file, for this call."""
        loaded = self.agent
        at_softphone = loaded.at_softphone if self.softphone.has(call_sid) else None
        return at_softphone or loaded.agent

    @property
    def equipment(self) -> Equipment:
        """What the agent of a call that begins now works with."""
        return Equipment(self.agent.tools, self.voices)

    def use(self, agent: LoadedAgent, voices: tuple[Voice, ...]) -> None:
        """Give another agent to the calls that begin from now on; live calls keep theirs.

        `voices`: of `agent.voices`. What speaks for earlier calls is closed with the services.
        """
        self._earlier.append(self.equipment)
        if voices != self.voices:
            self.voices, self.paces = voices, VoicePaces(len(voices))
        self.agent, self.agent_fault = agent, ""
        self.refused_settings.clear()

    def tools_call_ended(self, call_sid: str) -> None:
        """A call has ended: its tools that still run count no more among those of live calls."""
        for each in (self.equipment, *self._earlier):
            each.tools.call_ended(call_sid)

    def recorder(self, call: CallInfo, agent: Agent, stored: StoredCall | None = None) -> Recorder:
        """The recorder of a call, with a recording if the agent file enables it.

        Args:
            agent: of the call's first leg in this process.
            stored: what another process recorded of the call.
        """
        # The file that the other process wrote is kept: this one gets another name.
        name = f"{call.call_sid}-{stored.turns}" if stored else call.call_sid
        if stored and self.bus.shared:  # no replica's file has the name of another's
            name = f"{name}-{self.bus.replica[:6]}"
        recorded, at = self.agent.recording.enabled, self.bus.place
        recording = Recording(self.recordings, name, at) if recorded else None
        return Recorder(self.store, call, agent, self.cost, recording, self.watchers, stored)

    def cost(
        self, usage: Usage, seconds: float, direction: str, transfers: Transfers = ()
    ) -> dict[str, Any]:
        """The price of a call, see `Prices.of`. `seconds`: on the line. `transfers`: those that a
        human answered are priced; the price of a conference is not known."""
        answered = [each for each in transfers if each.get("outcome") in (TAKEN, NOT_TAKEN)]
        dialed = answered if direction != SOFTPHONE else []
        model = self.model.model
        has_length = usage.transcribed_ms > 0 or not usage.transcripts
        return self.prices.of(
            usage,
            model=model,
            seconds=seconds,
            direction=direction,
            transcription="" if model == EMBEDDED else self.agent.agent.transcription.model,
            transcribed_seconds=usage.transcribed_ms / 1000 if has_length else None,
            voice=next(iter(self.agent.agent.voices), ""),
            dialed_seconds=[None if each.get("warm") else each.get("seconds") for each in dialed],
        )

    def tell_watchers(self, call: CallInfo, message: Watched) -> None:
        """For what happens to a call that has no recorder in this process."""
        for watch in self.watchers:
            watch(call, message, 0.0)

    async def aclose(self) -> None:
        """Close all of them, the store last."""
        if self.rest is not None:
            await self.rest.aclose()
        equipment = (self.equipment, *self._earlier)
        for voice in {id(each): each for every in equipment for each in every.voices}.values():
            await voice.aclose()
        for tools in {id(each.tools): each.tools for each in equipment}.values():
            await tools.aclose()
        if self.bus.shared and self.store.available:
            await self.store.flush(WRITTEN_S)  # as the calls' owner: the next one reads it
        await self.bus.aclose()
        await self.store.aclose()


async def _bus(settings: Settings) -> Bus:
    place = settings.replica_url or f"{gethostname()}:{settings.recordings_dir.resolve()}"
    if settings.redis_url is None:
        bus = LocalBus()
        bus.place = place
        return bus
    from app.bridge.bus.redis_bus import RedisBus  # a tenth of a second, for who has Redis

    secrets = {name.upper(): getattr(settings, name) for name in _SAME_EVERYWHERE}
    return await RedisBus.open(
        parse_redis_url(settings.redis_url.get_secret_value()),
        settings.replica_url or "",
        {name: secret.get_secret_value() if secret else "" for name, secret in secrets.items()},
        place=place,
    )


async def _check_recordings(folder: Path) -> None:
    try:
        await asyncio.to_thread(check_folder, folder)
    except OSError as error:
        raise ConfigError(
            f"RECORDINGS_DIR: cannot write to {folder}: {error.strerror}; name a directory for the "
            "recordings, or set enabled = false under [recording] in the agent file"
        ) from None


def voice_secrets(settings: Settings) -> Credentials:
    """The credentials of voice providers from the settings."""
    secrets: dict[str, SecretStr | None]
    secrets = {name: getattr(settings, name.lower()) for name in CREDENTIALS}
    return Credentials(
        {name: secret.get_secret_value() for name, secret in secrets.items() if secret}
    )


def _ticket_key(settings: Settings) -> bytes:
    """The key of tickets; a random one if no secret is set."""
    secret = settings.twilio_auth_token or settings.api_token
    return ticket_key(secret.get_secret_value()) if secret is not None else token_bytes()


def _rest(settings: Settings) -> TwilioRest | None:
    if settings.twilio_account_sid is None or settings.twilio_auth_token is None:
        return None
    username, password = settings.twilio_account_sid, settings.twilio_auth_token
    if settings.twilio_api_key is not None and settings.twilio_api_secret is not None:
        username, password = settings.twilio_api_key, settings.twilio_api_secret
    return TwilioRest(
        settings.twilio_account_sid,
        username,
        password.get_secret_value(),
        settings.twilio_api_base_url,
    )
