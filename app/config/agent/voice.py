"""The agent file's [voice]: who speaks, the model or an external voice, and who takes over."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

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
from app.wires.form import Form, Text, fault, one_of
from app.wires.voices.provider import ProviderForm, VoiceSettings
from app.wires.voices.providers import PROVIDERS

_OWN = OwnVoice()


class OpenAIForm(Form):
    """The model's own voice."""

    #: Who speaks.
    provider: Literal["openai"] = "openai"
    #: Which of the model's voices.
    name: Text = Field(default=_OWN.name, description="a voice's name, such as 'marin'")
    #: How fast it speaks.
    speed: float = Field(default=_OWN.speed, ge=0.25, le=1.5)

    def own(self) -> OwnVoice:
        return OwnVoice(self.name, self.speed)


# --- one form for each table, by its provider -----------------------------------------------------

_BY_PROVIDER: dict[str, tuple[type[Form], ...]] = {
    "openai": (OpenAIForm,),
    **{each.name: each.forms for each in PROVIDERS},
}
# By its tag: the provider's name, and the form's number among the provider's.
_FORMS = {
    f"{provider} {number}": form
    for provider, forms in _BY_PROVIDER.items()
    for number, form in enumerate(forms)
}
_EXPECTED = one_of(tuple(_BY_PROVIDER))


def _choosing(form: type[Form]) -> dict[str, str]:
    """The keys of a form that have a single value, and that value: they choose the form."""
    return {
        key: get_args(field.annotation)[0]
        for key, field in form.model_fields.items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    }


def _tag(table: Any) -> str | None:
    """The form for a table of the file; None: it is no table, or its provider does not exist."""
    if isinstance(table, Form):
        return next(tag for tag, form in _FORMS.items() if type(table) is form)
    provider = table.get("provider", "openai") if isinstance(table, dict) else None
    forms = _BY_PROVIDER.get(provider, ()) if isinstance(provider, str) else ()
    fitting = [
        number
        for number, form in enumerate(forms)
        if all(
            table.get(key, form.model_fields[key].default) == value
            for key, value in _choosing(form).items()
        )
    ]
    return f"{provider} {next(iter(fitting), 0)}" if forms else None


if TYPE_CHECKING:
    AnyVoice = OpenAIForm | ProviderForm
else:
    AnyVoice = Annotated[
        Union[tuple(Annotated[form, Tag(tag)] for tag, form in _FORMS.items())],  # noqa: UP007
        Discriminator(
            _tag, custom_error_type="provider", custom_error_message=f"expected {_EXPECTED}"
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
        return next((each.own() for each in voices if isinstance(each, OpenAIForm)), _OWN)

    def external(self, language: str) -> tuple[VoiceSettings, ...]:
        """The external voices in their order, without their secrets. `language`: of the agent, ISO
        639-1."""
        voices = (self.first, *self.fallback)
        return tuple(each.settings(language) for each in voices if isinstance(each, ProviderForm))


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
            said = PydanticCustomError("expected", "{said}", {"said": _EXPECTED})
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
    """The forms that take a key which the form `tag` does not take, by what chooses them; None:
    there is none."""
    owners = [each for each, form in _FORMS.items() if key in form.model_fields]
    provider = tag.split()[0]
    what, values = "provider", [each.split()[0] for each in owners]
    if provider in values:
        chosen = _choosing(_FORMS[owners[values.index(provider)]])
        what, value = next(each for each in chosen.items() if each[0] != "provider")
        values = [value]
    names = " or ".join(f"'{each}'" for each in dict.fromkeys(values))
    return {"owner": f"{what} = {names}", "what": what} if values else None
