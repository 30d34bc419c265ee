"""A server that refuses some settings, as those do that are older, smaller, or not OpenAI's."""

import asyncio
from functools import partial
from typing import Any, Literal

from app.simulator.realtime.session import Interceptor, Session


def refusing(
    *paths: str,
    names: Literal["param", "message", "nothing"] = "param",
    repeats_id: bool = True,
    late: bool = False,
) -> Interceptor:
    """An interceptor of `session.update`, which refuses each one that holds one of these fields.

    Args:
        paths: Of fields in `session`, such as `audio.input.transcription.keywords`.
        names: Where the error names the field.
        repeats_id: The error repeats the `event_id` of the update.
        late: The update is accepted first: the error comes after `session.updated`.
    """

    def intercept(session: Session, event: dict[str, Any]) -> bool:
        path = next((each for each in paths if _holds(event["session"], each)), None)
        if path is None:
            return False
        message = f"Unknown parameter: 'session.{path}'." if names == "message" else "Not today."
        refuse = partial(
            session.send_error,
            "invalid_value",
            message,
            event.get("event_id") if repeats_id else None,
            param=f"session.{path}" if names == "param" else None,
            error_type="invalid_request_error",
        )
        if late:
            asyncio.get_running_loop().call_soon(refuse)
        else:
            refuse()
        return not late

    return intercept


def _holds(part: Any, path: str) -> bool:
    """Whether a JSON object holds this field, be it null."""
    for key in path.split("."):
        if not isinstance(part, dict) or key not in part:
            return False
        part = part[key]
    return True
