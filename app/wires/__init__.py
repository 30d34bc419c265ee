"""The wires: Twilio, OpenAI Realtime, external voices; each carries and decides nothing."""
