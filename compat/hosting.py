"""Serves somebody's FastAPI application on the loopback for as long as a test needs it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

PUBLIC_HOST = "phone.example.com"
"""What the application takes for its public host; the phone line sends everything home."""

LIMIT_S = 20
"""What a conversation may take. Some clients swallow a cancelled task, so that a test which just
breaks off would hang: it gives up inside, and hangs up."""

_GRACE_S = 2


@asynccontextmanager
async def hosted(app: FastAPI) -> AsyncIterator[str]:
    """Serve `app`; gives its base URL. Leaving waits until its connections are closed."""
    # Listening before uvicorn starts: nobody needs to wait for it.
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
