"""The built-in receptionist's tools."""

from datetime import datetime

from app.tools import tool


@tool
def current_time() -> str:
    """Tell today's date and the time at this business."""
    return datetime.now().astimezone().strftime("%A, %d %B %Y, %H:%M %Z")
