"""The HTTP API for people and programs, and the agent's voices as a text-to-speech server."""
