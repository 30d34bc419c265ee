"""The exceptions of this project, named for where the fault is. Imports nothing of the project."""

from typing import Literal


class BridgeError(Exception):
    """The base class of the errors that this project raises. Their messages name the fix."""


class ConfigError(BridgeError):
    """A setting or the agent file is wrong."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        #: One text for each fault.
        self.problems = problems


class ProtocolError(BridgeError):
    """A peer sent a message that its own protocol does not allow."""


class TwilioError(BridgeError):
    """Twilio refused a REST request, or could not be reached."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        unsure: bool = False,
    ) -> None:
        super().__init__(message)
        #: The HTTP status; None without an answer from Twilio.
        self.status = status
        #: Twilio's error code (https://www.twilio.com/docs/api/errors); None if there was none.
        self.code = code
        #: The request may have taken effect all the same.
        self.unsure = unsure

    @property
    def call_is_over(self) -> bool:
        """Whether the request failed because its call is not in progress: ended, not answered yet,
        or unknown to Twilio (errors 20404 and 21220)."""
        return self.status == 404 or self.code in (20404, 21220)


class ModelError(BridgeError):
    """The Realtime session could not be opened or was lost."""

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        #: A retry cannot help: key, model or URL is wrong, or the account has no credit.
        self.fatal = fatal


#: What to do after a VoiceError. passing: retry. late: the voice missed a deadline, so prefer
#: another one. text: it refuses this text and may speak others. fatal: its credentials or its
#: settings are wrong, so do not use it again in this call.
VoiceErrorKind = Literal["passing", "late", "text", "fatal"]


class VoiceError(BridgeError):
    """An external voice failed."""

    def __init__(self, message: str, *, kind: VoiceErrorKind = "passing") -> None:
        super().__init__(message)
        self.kind = kind


class ToolError(BridgeError):
    """A tool cannot do what the model asked for. The model gets the message: raise this in a tool
    to tell it why."""


class ToolFault(ToolError):
    """A tool raised another exception. The model learns only that the tool failed, because that
    exception's text was not written for it."""

    def __init__(self, trace: str) -> None:
        super().__init__("The tool failed.")
        #: The traceback, for the log.
        self.trace = trace
