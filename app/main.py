"""The ASGI application: routes, and what they need, opened and closed with it."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import __version__
from app.services import Services
from app.settings import Settings, load_settings
from app.switchboard import Switchboard
from app.telephony.signature import SignatureChecker
from app.web import calls, health, phone, problems


def create_app(settings: Settings | None = None, services: Services | None = None) -> FastAPI:
    """The service as an ASGI application. What is not given is read and opened at its start;
    services are closed at its end in any case."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        chosen = settings or load_settings()
        shared = services or await Services.open(chosen)
        switchboard = Switchboard(shared, chosen.max_calls)
        secret = chosen.twilio_auth_token
        token = chosen.api_token.get_secret_value() if chosen.api_token else None
        app.state.api_token = token or secrets.token_urlsafe(24)
        app.state.store = shared.store
        app.state.switchboard = switchboard
        app.state.draining = lambda: switchboard.draining
        recording = shared.agent.recording
        app.state.phone = phone.Phone(
            switchboard,
            SignatureChecker(
                secret.get_secret_value() if secret else "",
                chosen.public_url,
                chosen.trusted_proxies,
            ),
            api_token=app.state.api_token,
            signed=secret is not None,
            stream_signature=chosen.twilio_stream_signature,
            transfer_number=chosen.transfer_number,
            announcement=recording.announcement if recording.enabled else "",
            language=shared.agent.agent.language,
        )
        try:
            yield
        finally:
            await switchboard.close()
            await shared.aclose()

    app = FastAPI(
        title="Phone agent bridge",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    problems.install(app)
    app.include_router(phone.router)
    app.include_router(calls.router)
    app.include_router(health.router)
    return app


app = create_app()
