"""Tools that report that they run, and block until the test releases them.

A test calls `arm` first, then `running`, and sets `release`.
"""

import asyncio
import threading

cancelled: set[str] = set()
release = threading.Event()
_running: dict[str, asyncio.Event] = {}
_loop: asyncio.AbstractEventLoop | None = None

TOOLS = '''
import asyncio

from app.tools import CallContext, tool
from tests.service import tool_gate


@tool
async def wait_for_ever(call: CallContext) -> str:
    """Never returns."""
    tool_gate.begun(call.call_sid)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        tool_gate.cancelled.add(call.call_sid)
        raise
    return "never"


@tool
def hang_in_a_thread(call: CallContext) -> str:
    """Blocks its thread until the release."""
    tool_gate.begun(call.call_sid)
    tool_gate.release.wait()
    return "late"


@tool
async def hold_on(call: CallContext) -> str:
    """Ignores its cancellation until the release."""
    tool_gate.begun(call.call_sid)
    opened = asyncio.ensure_future(asyncio.to_thread(tool_gate.release.wait))
    while not opened.done():
        try:
            await asyncio.shield(opened)
        except asyncio.CancelledError:
            tool_gate.cancelled.add(call.call_sid)
    return "late"
'''


def arm() -> None:
    """Reset everything before a test."""
    global _loop
    _loop = asyncio.get_running_loop()
    _running.clear()
    cancelled.clear()
    release.clear()


def begun(call_sid: str) -> None:
    """A tool runs for this call. From any thread."""
    assert _loop is not None
    _loop.call_soon_threadsafe(lambda: _event(call_sid).set())


async def running(call_sid: str) -> None:
    """Wait until a tool runs for this call."""
    await _event(call_sid).wait()


def _event(call_sid: str) -> asyncio.Event:
    return _running.setdefault(call_sid, asyncio.Event())
