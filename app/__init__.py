"""A phone-agent bridge: Twilio Media Streams on one side, OpenAI Realtime on the other."""

__version__ = "0.1.0"
