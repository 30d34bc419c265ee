"""How an exit answers its tool call."""

from collections.abc import Callable

AnswerTool = Callable[[str, str, float], None]
"""Answers a tool call: takes its `call_id`, its output, and `now_ms`."""
