"""The OpenAI Realtime API over WebSocket: socket, codec, server events, session.update, usage."""
