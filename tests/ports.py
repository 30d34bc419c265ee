"""Ports on which nothing listens, and nothing else will."""

import socket
import sys

_HELD: list[socket.socket] = []


def free_port() -> int:
    """A port for a service of the test's. It stays bound, and on Linux no other program, and no
    connection, is given it meanwhile: who listens there has to name it."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        _HELD.append(holder)
    else:
        holder.close()
    return port
