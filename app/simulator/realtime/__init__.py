"""A scripted OpenAI Realtime server on the loopback, strict about client events."""

from app.simulator.realtime.items import Item, Truncation
from app.simulator.realtime.refusing import refusing
from app.simulator.realtime.script import (
    Brain,
    Options,
    Reply,
    Script,
    ToolOutput,
    Transcribe,
    Transcript,
    TranscriptionFailed,
    Turn,
)
from app.simulator.realtime.server import Handshake, RealtimeServer
from app.simulator.realtime.session import Fault, Interceptor, Session
from app.simulator.realtime.vad import Detector, Loudness

__all__ = [
    "Brain",
    "Detector",
    "Fault",
    "Handshake",
    "Interceptor",
    "Item",
    "Loudness",
    "Options",
    "RealtimeServer",
    "Reply",
    "Script",
    "Session",
    "ToolOutput",
    "Transcribe",
    "Transcript",
    "TranscriptionFailed",
    "Truncation",
    "Turn",
    "refusing",
]
