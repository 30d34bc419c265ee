"""The ASGI application: its routes, and the services that open and close with it."""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from app import __version__
from app.bridge.hung_replicas import HungReplicas
from app.bridge.leg.leg import Leg
from app.bridge.listening import Listening
from app.bridge.open_records import OpenRecords
from app.bridge.operator_orders import OperatorOrders
from app.bridge.outbound import Outbound
from app.bridge.reconnects import Reconnects
from app.bridge.recordings import Recordings
from app.bridge.requests import Requests
from app.bridge.services import Services
from app.bridge.softphone.calls import SoftphoneCalls
from app.bridge.switchboard import Switchboard
from app.bridge.transfers.transfers import Transfers
from app.call.commands import PlayDigits, TransferCall
from app.call.words.sentences import sentences
from app.config.settings import EMBEDDED, Settings, load_settings
from app.records.after_call import AfterCall
from app.records.digest_writer import DigestWriter
from app.records.summary import Summariser
from app.web import health, problems
from app.web.api import (
    agent,
    call_actions,
    call_page,
    calls,
    events,
    listen,
    metrics_page,
    openapi,
    recordings,
    report,
    statistics,
)
from app.web.api import stream_audio as speech
from app.web.app_state import AppState, set_state
from app.web.console import pages
from app.web.gate import Gate
from app.web.live.board import Board
from app.web.live.calls import LiveCalls
from app.web.live.exchange import LiveExchange
from app.web.metrics import Metrics
from app.web.paths import KnownPaths, NormalizePath
from app.web.softphone import routes as softphone_routes
from app.web.stream_voices import StreamAudio
from app.web.twilio import call_webhooks, outbound_webhooks, transfer_webhooks
from app.wires.twilio.signature import SignatureChecker

logger = logging.getLogger(__name__)

#: The modules with routes; a request goes to the first route that matches it.
_WITH_ROUTES = (
    call_webhooks,
    transfer_webhooks,
    outbound_webhooks,
    agent,
    calls,
    call_actions,
    call_page,
    softphone_routes,
    recordings,
    report,
    statistics,
    events,
    listen,
    speech,
    health,
    metrics_page,
    openapi,
    pages,
)


def create_app(settings: Settings | None = None, services: Services | None = None) -> FastAPI:
    """Make the ASGI application.

    Its lifespan loads `settings` and opens `services` if they are not given. It closes the services
    in both cases.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        _build_routes(app)
        async with AsyncExitStack() as parts:
            await open_parts(app, parts)
            yield

    async def open_parts(app: FastAPI, parts: AsyncExitStack) -> None:
        chosen = settings or load_settings()
        shared = services or await Services.open(chosen)
        parts.push_async_callback(_close, "services", shared.aclose)

        async def redirect(leg: Leg, command: TransferCall | PlayDigits) -> None:
            await transfers.redirect(leg, command)  # which needs the switchboard itself

        switchboard = Switchboard(shared, redirect, chosen.max_calls)
        switchboard.on_call_ended.append(shared.tools_call_ended)
        reconnects = Reconnects(switchboard, shared)
        transfers = Transfers(switchboard, reconnects, shared)
        orders = OperatorOrders(shared, switchboard)
        reconnects.owners.on_operators_order = orders.carry_out
        outbound = _outbound(chosen, shared, switchboard)
        switchboard.on_call_left.append(transfers.call_left)
        switchboard.on_call_left.append(lambda call_sid, _: outbound.left(call_sid))
        switchboard.on_outbound_leg.append(outbound.adopted)
        hung = HungReplicas(shared, switchboard, reconnects, lambda: chosen.public_url or "")
        open_records = OpenRecords(shared, switchboard)
        after_call = _after_call(chosen, shared, switchboard)
        if after_call is not None:
            switchboard.on_call_ended.append(after_call.call_ended)
            after_call.start()
            parts.push_async_callback(_close, "reports", after_call.aclose)
        parts.push_async_callback(_close, "transfers", transfers.aclose)
        parts.push_async_callback(_close, "calls", switchboard.close)
        parts.push_async_callback(_close, "watch of other replicas", hung.aclose)
        parts.push_async_callback(_close, "look for open records", open_records.aclose)
        softphone = SoftphoneCalls(shared, switchboard, transfers)
        parts.push_async_callback(_close, "softphones", softphone.aclose)
        hung.start()
        requests = Requests(shared.bus)
        open_records.start()
        metrics = Metrics(shared.agent.agent, lambda: switchboard.live_calls)
        board = Board()
        own = Board(board) if shared.bus.shared else board
        digests = DigestWriter(shared.store)
        digests.start()
        parts.push_async_callback(_close, "digests", digests.aclose)
        live = LiveCalls(own, shared.agent.agent.name)
        switchboard.on_call_left.append(live.left)
        exchange = LiveExchange(shared.bus, shared.store, own, board, live)
        exchange.start(requests)
        parts.push_async_callback(_close, "exchange of live calls", exchange.aclose)
        for watch in (metrics.watcher, live.watcher, digests.watcher):
            shared.watchers.append(watch)
            parts.callback(shared.watchers.remove, watch)
        token = chosen.api_token.get_secret_value() if chosen.api_token else None
        api_token = token or secrets.token_urlsafe(24)
        state = AppState(
            api_token,
            shared,
            switchboard,
            reconnects,
            transfers,
            outbound,
            orders,
            Recordings(shared, requests),
            Listening(shared, switchboard, requests, allowed=chosen.listen_in == "on"),
            softphone,
            _gate(chosen, api_token),
            _stream_audio(chosen, shared, api_token),
            metrics,
            board,
            chosen.metrics_token.get_secret_value() if chosen.metrics_token else "",
        )
        set_state(app, state)
        shared.bus.count_calls = lambda: switchboard.live_calls
        shared.bus.ready(True)

    app = FastAPI(
        title="Phone agent bridge",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    known = KnownPaths(*(each.router for each in _WITH_ROUTES))
    app.add_middleware(NormalizePath, heads=known.heads)
    problems.install(app, known.check_access)
    app.router.routes += _routes()
    app.router.routes.append(known.unknown_websocket())
    return app


@cache
def _routes() -> list[BaseRoute]:
    """The routes of every application in this process. They keep nothing of an application, and
    FastAPI takes a tenth of a second to build them."""
    router = APIRouter()
    for each in _WITH_ROUTES:
        router.include_router(each.router)
    return router.routes


def _build_routes(app: FastAPI) -> None:
    """Match a request once, so that FastAPI builds its routers now. Left to the first request, that
    would block the event loop, and so every call, for a tenth of a second."""
    request = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(request)


async def _close(part: str, closing: Callable[[], Awaitable[None]]) -> None:
    """Close a part of the service; log a failure, so that the other parts are closed too."""
    try:
        await closing()
    except Exception as error:
        logger.error("part of the service was not closed", exc_info=error, extra={"part": part})


def _outbound(settings: Settings, services: Services, switchboard: Switchboard) -> Outbound:
    outbound = Outbound(
        services.rest,
        services.store,
        from_number=settings.twilio_phone_number,
        prefixes=settings.outbound_prefixes,
        most_calls=settings.outbound_max_calls,
        repeat_s=settings.outbound_repeat_seconds,
        detects_machines=services.agent.agent.outbound.answering_machine == "detect",
        draining=lambda: switchboard.draining,
        bus=services.bus,
    )
    switchboard.on_call_ended.append(outbound.ended)
    switchboard.on_slot_freed.append(outbound.ended)
    outbound.is_here = switchboard.is_live
    outbound.on_decision = switchboard.note_decision
    switchboard.also_live.append(lambda: outbound.bound_calls)
    outbound.on_unbound = switchboard.update_empty
    return outbound


def _stream_audio(settings: Settings, services: Services, api_token: str) -> StreamAudio:
    token = settings.stream_audio_token
    return StreamAudio(
        services.voices,
        token=token.get_secret_value() if token else api_token,
        cut=sentences,
    )


def _gate(settings: Settings, api_token: str) -> Gate:
    secret = settings.twilio_auth_token
    return Gate(
        SignatureChecker(
            secret.get_secret_value() if secret else "",
            settings.public_url,
            settings.trusted_proxies,
            settings.replica_url,
        ),
        api_token=api_token,
        signed=secret is not None,
        stream_signature=settings.twilio_stream_signature,
        rest_url=settings.twilio_api_base_url,
    )


def _after_call(
    settings: Settings, services: Services, switchboard: Switchboard
) -> AfterCall | None:
    """Reports and summaries of ended calls; None if neither is configured."""
    agent, secret = services.agent, settings.call_webhook_secret
    summarises = agent.summary and services.model.model != EMBEDDED
    if not settings.call_webhook_url and not summarises:
        return None
    return AfterCall(
        services.store,
        settings.call_webhook_url,
        secret.get_secret_value() if secret else None,
        is_live=switchboard.is_live,
        summarise=Summariser(services.model, agent.agent.language) if summarises else None,
        cost=services.cost,
    )


app = create_app()
