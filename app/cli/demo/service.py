"""The demo's service: the real one, between a simulated model and a simulated phone line."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from app.bridge.services import Services
from app.call.destinations import Destination
from app.cli.demo.voices import DemoVoice, speaker, with_voices_of
from app.cli.embedded_model import embedded_model
from app.config.agent.file import load_agent
from app.config.agent.forms import RecordingRules
from app.config.settings import Settings
from app.main import create_app
from app.simulator.twilio import Network, PhoneLine
from app.web.server import Server, bind

ACCOUNT_SID = "AC" + "0" * 32
HUMAN = "+15550100042"  # for an agent file without destinations
NETWORK = Network(delay_ms=40, jitter_ms=5, seed=1)  # a typical path to Twilio's edge
RING_MS = 2000.0  # in place of the agent file's ring time
SENTENCE_MS = 700.0  # how long Twilio's <Say> takes for a sentence


@dataclass(frozen=True, slots=True)
class DemoService:
    """The service, running."""

    #: Its address.
    url: str
    api_token: str
    services: Services
    line: PhoneLine
    #: The first of the agent's destinations.
    human: Destination
    agent_name: str
    #: A sentence about the voices.
    note: str


@asynccontextmanager
async def demo_service(
    agent_file: Path, folder: Path, voice: DemoVoice | None = None, voices_of: Path | None = None
) -> AsyncIterator[DemoService]:
    """Run the service as long as the context is open. It records calls.

    `folder`: for the database and the recordings. `voices_of`: another agent file, whose voices
    replace the agent's own.

    Raises:
        ConfigError: the agent file or its voices cannot be used, or the extra `demo` is missing.
    """
    loaded = replace(load_agent(agent_file, HUMAN), recording=RecordingRules(enabled=True))
    if voices_of is not None:
        loaded = with_voices_of(loaded, voices_of)
    human = loaded.agent.destinations[0]
    embedded = embedded_model(loaded)
    auth_token, api_token = secrets.token_hex(16), secrets.token_hex(16)
    with bind("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            embedded as model,
            speaker(loaded, voice) as speaking,
            PhoneLine(
                f"{url}/incoming-call",
                account_sid=ACCOUNT_SID,
                auth_token=auth_token,
                network=NETWORK,
                status_callback_url="/call-status",
                ring_scale=RING_MS / human.ring_ms,
                say_ms=SENTENCE_MS,
            ) as line,
        ):
            settings = _settings(model.base_url, line.rest_url, auth_token, api_token, folder)
            settings = settings.model_copy(update=speaking.secrets)
            services = await Services.open(settings, speaking.agent)
            bridge = Server(create_app(settings, services), drain_s=5)
            running = asyncio.create_task(bridge.serve(sockets=[listener]))
            try:
                name, note = loaded.agent.name, speaking.note
                yield DemoService(url, api_token, services, line, human, name, note)
            finally:
                bridge.should_exit = True
                await running


def _settings(
    model_url: str, rest_url: str, auth_token: str, api_token: str, folder: Path
) -> Settings:
    """The settings of a service whose model and Twilio are simulated on this machine."""
    return Settings(
        openai_api_key=SecretStr("demo"),
        openai_base_url=model_url,
        openai_api_headers=None,
        openai_api_query=None,
        twilio_account_sid=ACCOUNT_SID,
        twilio_auth_token=SecretStr(auth_token),
        twilio_api_key=None,
        twilio_api_secret=None,
        twilio_api_base_url=rest_url,
        public_url=None,
        api_token=SecretStr(api_token),
        database_url=SecretStr(f"sqlite:///{folder}/demo.db"),
        recordings_dir=folder,
        max_calls=0,
    )
