"""Connects to the servers of voice providers: the one place for deadlines, proxies, TLS, redirects,
headers, and for what a failure means.

Every connection follows these rules:
- It has a deadline, and so has each wait for the server. `with_deadlines` interrupts a text sooner.
- It uses no proxy of the environment: a proxy adds latency that the caller hears.
- It verifies the server's certificate by the system's authorities.
- It follows no redirect, which would send the credentials to another host.
- The library logs nothing below WARNING: at DEBUG it logs headers and texts.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.http11 import Response

from app.errors import VoiceError, VoiceErrorKind
from app.wires.voices.waits import Waits

#: Deadline for a connection, the WebSocket handshake included.
CONNECT_S = 5.0
#: Deadline for the next bytes from a server, and for sending to it: the connection is lost then.
SILENCE_S = 8.0
#: Deadline for closing a connection.
CLOSE_S = 1.0
#: How long an idle HTTP connection is kept. A caller may speak for so long between two answers.
KEEP_ALIVE_S = 60.0
#: No provider documents how large a message with sound may be.
LARGEST_MESSAGE_BYTES = 16 << 20

# 4xx statuses after which a retry may succeed.
_PASSING = frozenset({408, 425, 429})
_TLS_FAILED = "TLS failed; check the server's certificate"

_library_logger = logging.getLogger(f"{__name__}.websockets")
_library_logger.setLevel(logging.WARNING)


def kind_of_status(status: int) -> VoiceErrorKind:
    """The kind of the VoiceError for an HTTP status that is no success."""
    return "passing" if status in _PASSING or status >= 500 else "fatal"


# --- WebSocket ------------------------------------------------------------------------------------


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def open_websocket(
    provider: str,
    url: str,
    headers: Mapping[str, str],
    refused: Callable[[Response], VoiceError],
) -> ClientConnection:
    """Connect to a provider's WebSocket within `CONNECT_S`.

    Args:
        provider: Its name, for messages.
        url: A ws or wss address.
        headers: Of the handshake.
        refused: The error for the HTTP response that refused the handshake.

    Raises:
        VoiceError: fatal for an invalid url or header and for what `refused` makes fatal, passing
            if the server is unreachable. No message quotes a header.
    """
    try:
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise ValueError
        return await _Connect(
            url,
            additional_headers=headers,
            compression=None,  # sound does not get smaller, and compressing it takes time
            proxy=None,
            open_timeout=CONNECT_S,
            ping_interval=None,  # no provider documents whether it answers pings
            close_timeout=CLOSE_S,
            max_size=LARGEST_MESSAGE_BYTES,
            logger=_library_logger,
        )
    except TimeoutError:
        raise VoiceError(f"{provider} did not answer within {CONNECT_S:g} s") from None
    except InvalidStatus as error:
        raise refused(error.response) from None
    except InvalidHandshake:
        raise VoiceError(
            f"the server at {provider}'s url does not speak WebSocket; check url"
        ) from None
    except (InvalidURI, ValueError) as error:
        what = "url is invalid; check url: expected wss:// and a host"
        if not isinstance(error, InvalidURI):
            what = "url or credentials have characters that HTTP does not allow; check them"
        raise VoiceError(f"{provider}'s {what}", kind="fatal") from None
    except OSError as error:
        reason = error.strerror or "no connection"
        if isinstance(error, ssl.SSLError):
            reason = _TLS_FAILED
        raise VoiceError(
            f"{provider} cannot be reached at {urlsplit(url).hostname}: {reason}; check url"
        ) from None
    except WebSocketException:
        raise VoiceError(f"{provider} ended the handshake early") from None


def websocket_lost(provider: str, closed: ConnectionClosed, ids: str = "") -> VoiceError:
    """The error for a connection that ends before its text does. `ids`: appended, such as
    ` (logid …)`."""
    if closed.rcvd is None:
        return VoiceError(f"the connection to {provider} was lost{ids}")
    # The close frame's reason is omitted: it may quote the request.
    return VoiceError(f"{provider} closed the connection with code {closed.rcvd.code}{ids}")


# --- HTTP -----------------------------------------------------------------------------------------


def http_session(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """A pool of connections to a provider. `headers`: of every request. Send each request with
    `allow_redirects=False`, wait for its response and for each part of its body within
    `http_deadline`, describe its errors by `http_failure`, and close the pool at the end.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        trust_env=False,
        # No `total`: it would count the whole body, however long the speech is. No `sock_read`:
        # aiohttp restarts its timer when it resumes reading, also when the body has ended, and the
        # timer then fails a connection of the pool and the text that uses it.
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S),
    )


def http_deadline() -> asyncio.Timeout:
    """The deadline for one wait for an HTTP server: for a response, or for more of its body."""
    return asyncio.timeout(SILENCE_S)


def http_wait(waits: Waits) -> Waits:
    """As `http_deadline`, for one of the many waits for a body."""
    return waits.within(SILENCE_S)


def http_failure(error: aiohttp.ClientError | TimeoutError) -> str:
    """A network error as text. aiohttp's own text shows the URL, whose query may be secret."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {CONNECT_S:g} s"
        case TimeoutError():
            return f"nothing came for {SILENCE_S:g} s"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return _TLS_FAILED
        case aiohttp.ClientConnectorError():
            return "the server cannot be reached"
        case aiohttp.ClientPayloadError():
            return "the server ended the sound early"
        case _:
            return f"the connection failed ({type(error).__name__})"
