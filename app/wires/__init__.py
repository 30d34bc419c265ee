"""Twilio, OpenAI Realtime and external voices: sockets and codecs. Decisions are the call's."""
