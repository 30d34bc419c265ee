"""What a run of a tool ends with: text for the model, or an error that the model may see."""

import traceback
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from app.errors import ToolError, ToolFault
from app.tools.context import ToolRun
from app.tools.schema import FunctionTool

#: The longest result that the model receives; a longer one is truncated, with a note.
MAX_RESULT_BYTES = 32 * 1024
_MAX_ERROR_CHARACTERS = 500
_MAX_CHAINED_EXCEPTIONS = 10

Outcome = tuple[Any, BaseException | None]
"""The result of a tool, or what it raised."""


def validated(chosen: FunctionTool, arguments: str) -> dict[str, Any]:
    """The arguments of a call as the types of the function's signature.

    Args:
        arguments: JSON text from the model.

    Raises:
        ToolError: they are invalid. The message is worded for the model.
    """
    try:
        model = chosen.arguments.model_validate_json(arguments.strip() or "{}")
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"])))
            for each in error.errors(include_url=False, include_context=False)
        )
        raise ToolError(
            f"{chosen.spec.name}: wrong arguments: {_shortened(faults)}. "
            "Correct them and call it again."
        ) from error
    # Arguments that the model omits keep the function's defaults.
    return {chosen.parameters[field]: getattr(model, field) for field in model.model_fields_set}


def as_text(result: object, run: ToolRun | None = None) -> str:
    """A result as text for the model, without the run's secrets."""
    text = result if type(result) is str else to_json(result).decode()
    data = (run.redacted(text) if run else text).encode(errors="replace")
    if len(data) <= MAX_RESULT_BYTES:
        return data.decode()
    note = f"\n[cut: the result has {len(data)} bytes, these are the first of them]"
    return data[: MAX_RESULT_BYTES - len(note)].decode(errors="ignore") + note


def as_tool_error(error: BaseException, run: ToolRun | None = None) -> ToolError:
    """What to raise for anything that a tool raised: its own ToolError without the run's secrets,
    shortened like a result; or a ToolFault with the traceback."""
    if not isinstance(error, ToolError):
        return fault(error, run)
    try:
        text = str(error)
        shown = as_text(text, run)
    except BaseException as unreadable:  # it is of a class of the tool's own
        return fault(unreadable, run)
    return error if shown == text else ToolError(shown)


def fault(error: BaseException, run: ToolRun | None = None) -> ToolFault:
    """The ToolFault for an exception, with its traceback."""
    if run is None or not run.secrets:
        return ToolFault("".join(traceback.format_exception(error)))
    # An exception's message may quote a secret in any form. Its type and traceback do not.
    parts: list[str] = []
    each: BaseException | None = error
    while each is not None and len(parts) < _MAX_CHAINED_EXCEPTIONS:
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"{frames}{type(each).__name__}: …\n")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return ToolFault("\n".join(reversed(parts)))


def busy(tool: str) -> str:
    """What the model gets when a tool cannot be started because too many others run."""
    return (
        f"{tool} was not run: it is busy, because tools that were called before still run. Tell "
        "the caller that it does not work now, and offer what else you can do."
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_CHARACTERS else text[:_MAX_ERROR_CHARACTERS] + "…"
