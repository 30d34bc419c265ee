"""What all calls share: opened once, closed once."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.call.agent import Agent
from app.call.exits.attempts import NOT_TAKEN, TAKEN
from app.call.usage import Usage
from app.call.words.pause_alignment import Pace
from app.call.words.word_times import UNKNOWN
from app.config.agent.file import LoadedAgent, load_agent
from app.config.prices import Prices, load_prices
from app.config.settings import EMBEDDED, Settings
from app.errors import ConfigError
from app.records.recorder import Past, Recorder, Watcher
from app.records.recording import Recording, check_folder
from app.records.schema import Transfers
from app.records.store import Store
from app.records.webhook import signing_key
from app.wires.twilio.call import CallInfo
from app.wires.twilio.rest import TwilioRest
from app.wires.voices.providers import VoiceSecrets, open_voices
from app.wires.voices.voice import Voice


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """Where Realtime sessions are opened."""

    url: str
    model: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Services:
    """The shared things. `rest`: None without Twilio credentials; calls then end by their TwiML.
    `recordings`: the folder of the calls' sound. `phone_number`: our own at Twilio, or empty.
    `voices`: the external ones that speak for the agent, in the order of `agent.voices`;
    `paces`: how each of them speaks, as far as calls told."""

    agent: LoadedAgent
    model: ModelAddress
    store: Store
    rest: TwilioRest | None
    prices: Prices
    recordings: Path
    phone_number: str = ""
    voices: tuple[Voice, ...] = ()
    paces: list[Pace] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)

    @classmethod
    async def open(cls, settings: Settings, agent: LoadedAgent | None = None) -> "Services":
        """Open what the settings name.

        Raises:
            ConfigError: the agent file, the prices file or a secret is wrong, or calls are to be
                recorded where nothing can be written.
            StoreUnavailable: the database cannot be opened.
        """
        loaded = agent or load_agent(settings.agent_file, settings.transfer_number)
        key = settings.openai_api_key
        model = ModelAddress(
            settings.realtime_url,
            settings.openai_realtime_model,
            key.get_secret_value() if key else "",
        )
        prices = load_prices(settings.prices_file)
        voices = open_voices(loaded.voices, voice_secrets(settings))
        if settings.call_webhook_secret is not None:
            signing_key(settings.call_webhook_secret.get_secret_value())
        if loaded.recording.enabled:
            await _check_recordings(settings.recordings_dir)
        store = await Store.open(settings.database_url.get_secret_value())
        return cls(
            loaded,
            model,
            store,
            _rest(settings),
            prices,
            settings.recordings_dir,
            settings.twilio_phone_number or "",
            voices,
            [UNKNOWN] * len(voices),
        )

    def recorder(self, call: CallInfo, agent: Agent, past: Past | None = None) -> Recorder:
        """The call's recorder, with its sound if the agent's calls are recorded.

        Args:
            agent: of the call's first leg.
            past: of a call that another process had.
        """
        name = f"{call.call_sid}-{past.turns}" if past else call.call_sid  # the first part is kept
        sound = Recording(self.recordings, name) if self.agent.recording.enabled else None
        return Recorder(self.store, call, agent, self.cost, sound, self.watchers, past)

    def cost(
        self, usage: Usage, seconds: float, direction: str, transfers: Transfers = ()
    ) -> dict[str, Any]:
        """What a call cost: by its usage, its seconds on the line, its direction, and the humans
        whom it was handed to. What a conference costs is not known."""
        answered = [each for each in transfers if each.get("outcome") in (TAKEN, NOT_TAKEN)]
        model = self.model.model
        told = usage.transcribed_ms > 0 or not usage.transcripts
        return self.prices.of(
            usage,
            model=model,
            seconds=seconds,
            direction=direction,
            transcription="" if model == EMBEDDED else self.agent.agent.transcription.model,
            transcribed_seconds=usage.transcribed_ms / 1000 if told else None,
            voice=next(iter(self.agent.agent.voices), ""),
            dialed_seconds=[None if each.get("warm") else each.get("seconds") for each in answered],
        )

    async def aclose(self) -> None:
        if self.rest is not None:
            await self.rest.aclose()
        for voice in self.voices:
            await voice.aclose()
        await self.store.aclose()


async def _check_recordings(folder: Path) -> None:
    try:
        await asyncio.to_thread(check_folder, folder)
    except OSError as error:
        raise ConfigError(
            f"RECORDINGS_DIR: cannot write to {folder}: {error.strerror}; name a directory for the "
            "recordings, or set enabled = false under [recording] in the agent file"
        ) from None


def voice_secrets(settings: Settings) -> VoiceSecrets:
    """What the settings say about the providers of voices."""

    def said(secret: SecretStr | None) -> str:
        return secret.get_secret_value() if secret else ""

    return VoiceSecrets(
        said(settings.dashscope_api_key),
        said(settings.volcengine_app_id),
        said(settings.volcengine_access_token),
        said(settings.volcengine_api_key),
        said(settings.http_voice_token),
        said(settings.http_voice_headers),
    )


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
