"""What can go wrong, named for where it went wrong. Imports nothing of ours."""

from typing import Literal


class BridgeError(Exception):
    """The parent of every error this project raises on purpose. The message names the fix."""


class ConfigError(BridgeError):
    """A setting or the agent file is wrong. `problems` holds one line per fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ProtocolError(BridgeError):
    """A peer sent a message that its own protocol does not allow."""


class TwilioError(BridgeError):
    """Twilio refused a REST request or could not be reached.

    `status`: HTTP status, or None when no answer came. `code`: Twilio's error code, or None.
    `unsure`: Twilio may have done it all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        unsure: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.unsure = unsure

    @property
    def call_is_over(self) -> bool:
        """Whether the call that it was about is not there to act on: ended, or not answered yet."""
        return self.status == 404 or self.code in (20404, 21220)


class ModelError(BridgeError):
    """The Realtime session could not be opened or was lost."""


class VoiceError(BridgeError):
    """An external voice failed.

    `kind`: passing (another try may help), late (it did not answer in time, which another try would
    only add to), text (this text cannot be said by it, another one can), or fatal (its credentials
    or its settings are wrong: it is of no use in this call).
    """

    def __init__(
        self, message: str, *, kind: Literal["passing", "late", "text", "fatal"] = "passing"
    ) -> None:
        super().__init__(message)
        self.kind = kind


class ToolError(BridgeError):
    """A tool cannot be run as asked. The message is shown to the model: a tool that wants to tell
    it something raises this."""


class ToolFault(ToolError):
    """A tool raised something else. The model learns only that it failed: the exception was
    not worded for it. `trace`: its traceback, for the log."""

    def __init__(self, trace: str) -> None:
        super().__init__("The tool failed.")
        self.trace = trace
