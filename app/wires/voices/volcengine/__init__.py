"""Volcengine's text-to-speech over WebSocket: the v1 and v3 protocols."""
