"""Serves a FastAPI application on the loopback during a test."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

PUBLIC_HOST = "phone.example.com"
"""The application's public host; the phone line connects to the loopback all the same."""

LIMIT_S = 20
"""The longest conversation. Some clients swallow cancellation, so an outer timeout would hang: each
test has this timeout inside, and hangs up."""

_GRACE_S = 2


@asynccontextmanager
async def hosted(app: FastAPI) -> AsyncIterator[str]:
    """Serve `app`, and yield its base URL. Leaving waits until its connections are closed."""
    # The socket listens before uvicorn starts: clients can connect at once.
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
