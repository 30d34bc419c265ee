"""The TCP socket of a media stream."""

import asyncio
import socket
from contextlib import suppress

from picows.url import WSParsedURL


class StreamSocket(socket.socket):
    """A socket that the event loop does not watch any more when it is closed.

    When the first write fails, because either side has ended the connection, the transport of
    picows (aiofastnet 1.2) gives the connection up, then has the loop watch it, then closes it. The
    loop would go on watching the number of a closed file descriptor, and the next connection with
    that number would hang.
    """

    def close(self) -> None:
        if self.fileno() != -1:
            # RuntimeError: the loop has ended. NotImplementedError: the loop of Windows.
            with suppress(RuntimeError, NotImplementedError):
                asyncio.get_running_loop().remove_reader(self)
        super().close()


def new_socket(url: WSParsedURL) -> StreamSocket:
    """A socket for picows, which connects it."""
    family = socket.AF_INET6 if ":" in url.host else socket.AF_INET
    made = StreamSocket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made
