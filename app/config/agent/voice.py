"""The agent file's [voice]: who speaks, the model or an external voice, and who takes over."""

from typing import Annotated, Any

from pydantic import (
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from app.call.agent import Voice as OwnVoice
from app.config.agent.forms import Form, fault
from app.config.agent.voice_providers import (
    EXPECTED_PROVIDER,
    OWN_VOICE,
    PROVIDERS,
    ExternalForm,
    HttpForm,
    OpenAIForm,
    QwenForm,
    VolcengineV1Form,
    VolcengineV3Form,
)
from app.wires.voices.providers import VoiceSettings

_FORMS: dict[str, type[Form]] = {
    "openai": OpenAIForm,
    "qwen": QwenForm,
    "volcengine": VolcengineV1Form,
    "volcengine v3": VolcengineV3Form,
    "http": HttpForm,
}
_TRANSPORTS = {"volcengine": "v1", "volcengine v3": "v3"}


def _tag(table: Any) -> str | None:
    """The form for a table of the file; None: it is no table, or its provider does not exist."""
    if isinstance(table, Form):
        return next(tag for tag, form in _FORMS.items() if isinstance(table, form))
    if not isinstance(table, dict):
        return None
    provider = table.get("provider", "openai")
    if provider == "volcengine" and table.get("transport") == "v3":
        return "volcengine v3"
    return provider if provider in PROVIDERS else None


AnyVoice = Annotated[
    Annotated[OpenAIForm, Tag("openai")]
    | Annotated[QwenForm, Tag("qwen")]
    | Annotated[VolcengineV1Form, Tag("volcengine")]
    | Annotated[VolcengineV3Form, Tag("volcengine v3")]
    | Annotated[HttpForm, Tag("http")],
    Discriminator(
        _tag, custom_error_type="provider", custom_error_message=f"expected {EXPECTED_PROVIDER}"
    ),
]
"""A voice by its provider; each provider takes keys of its own."""


class VoiceForm(Form):
    """The table [voice]: the keys of the voice that speaks first, and `fallback`."""

    #: The voice that speaks. Its keys are those of the table itself.
    first: AnyVoice = OpenAIForm()
    #: The voices that take over, in this order, when the one before fails.
    fallback: list[AnyVoice] = Field(
        default=[], description="an array of providers' names or tables: [[voice.fallback]]"
    )

    @model_validator(mode="wrap")
    @classmethod
    def _is_one_table(
        cls, table: Any, validate: "ModelWrapValidatorHandler[VoiceForm]"
    ) -> "VoiceForm":
        if not isinstance(table, dict):
            return validate(table)
        first = {key: value for key, value in table.items() if key != "fallback"}
        others = table.get("fallback", [])
        if isinstance(others, list):
            others = [{"provider": each} if isinstance(each, str) else each for each in others]
        try:
            form = validate({"first": first, "fallback": others})
        except ValidationError as error:
            details = [_in_the_file(each) for each in error.errors()]
            raise ValidationError.from_exception_data("voice", details) from None
        voices = [form.first, *form.fallback]
        if any(isinstance(each, OpenAIForm) for each in voices[:-1]):
            raise fault("no voice takes over from provider = 'openai'; put it last, or remove it")
        return form

    def own_voice(self) -> OwnVoice:
        """The model's own voice, which speaks where no external one does."""
        voices = (self.first, *self.fallback)
        return next((each.own() for each in voices if isinstance(each, OpenAIForm)), OWN_VOICE)

    def external(self, language: str) -> tuple[VoiceSettings, ...]:
        """The external voices in their order, without their secrets. `language`: of the agent, ISO
        639-1."""
        voices = (self.first, *self.fallback)
        return tuple(each.settings(language) for each in voices if isinstance(each, ExternalForm))


VOICE_KEYS = {key: field for form in _FORMS.values() for key, field in form.model_fields.items()}
"""Every key that some provider takes."""


# --- faults, as the file's author sees them -------------------------------------------------------


def _in_the_file(error: ErrorDetails) -> InitErrorDetails:
    """A fault of a form as a fault at its place in the file."""
    place, tag, key = _place(error["loc"])
    whole, found = (*place, key) if key else place, error["input"]
    said: PydanticCustomError | str
    match error["type"]:
        case "fault" | "expected":
            said = PydanticCustomError(error["type"], "{said}", {"said": error["msg"]})
        case "provider" if isinstance(found, dict):
            whole, found = (*place, "provider"), found["provider"]
            said = PydanticCustomError("expected", "{said}", {"said": EXPECTED_PROVIDER})
        case "missing":
            whole, provider = place, tag.split()[0]
            expected = _FORMS[tag].model_fields[key].description or ""
            said = fault(
                "provider = '{provider}' needs a {key}: {expected}",
                provider=provider, key=key, expected=expected,
            )  # fmt: skip
        case "extra_forbidden" if owner := _owner_of(key, tag):
            said = fault("belongs to {owner}; remove it or change {what}", **owner)
        case "extra_forbidden":
            said = "extra_forbidden"
        case _:
            fields = _FORMS[tag].model_fields if tag else VoiceForm.model_fields
            field = fields.get(key) or VoiceForm.model_fields["fallback"]
            said = PydanticCustomError("expected", "{said}", {"said": field.description})
    return InitErrorDetails(type=said, loc=whole, input=found)


def _place(loc: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], str, str]:
    """The place of a table below [voice], the tag of its form, and the key; empty: none."""
    place, rest = ((), loc[1:]) if loc[:1] == ("first",) else (loc[:2], loc[2:])
    tag, key, *_ = (*map(str, rest), "", "")
    return place, tag, key


def _owner_of(key: str, tag: str) -> dict[str, str] | None:
    """The providers that take a key which the form `tag` does not take; None: there is none."""
    tags = [each for each, form in _FORMS.items() if key in form.model_fields]
    if tag in _TRANSPORTS and (others := [each for each in tags if each in _TRANSPORTS]):
        return {"owner": f"transport = '{_TRANSPORTS[others[0]]}'", "what": "transport"}
    providers = dict.fromkeys(each.split()[0] for each in tags)
    names = " or ".join(f"'{each}'" for each in providers)
    return {"owner": f"provider = {names}", "what": "provider"} if providers else None
