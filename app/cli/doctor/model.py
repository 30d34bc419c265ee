"""Checks of the model: a real session, configured as a call's is."""

import asyncio

from app.cli.doctor.check import Check, Subject, fault, ok, warning
from app.cli.doctor.model_address import better_base_url
from app.cli.embedded_model import embedded_model
from app.errors import ConfigError, ModelError
from app.wires.realtime.probe import Probed, probe
from app.wires.realtime.socket import HandshakeRefused

_SLOW_MS = 2000


async def check_model(subject: Subject) -> list[Check]:
    """Key, model, audio format, settings and transcription."""
    settings, agent = subject.settings, subject.agent.agent
    if not settings.has_model_key:
        return [await _embedded(subject)]
    endpoint = settings.endpoint
    try:
        found = await probe(endpoint, agent, speaks=not agent.voices)
    except ModelError as error:
        detail = str(error).partition("; ")[0]
        return [fault("model", detail, await better_base_url(settings, error) or _fix(error))]
    name = endpoint.model_name or "the deployment"
    took = f"{name} accepted a session within {found.opened_ms:.0f} ms"
    slow = found.opened_ms > _SLOW_MS
    fix = "see https://status.openai.com, and the network of this machine"
    return [
        warning("model", f"{took}, which callers notice", fix) if slow else ok("model", took),
        _audio(found),
        *_settings(found, subject.agent_file),
        _transcription(found, agent.transcription.model, subject.agent_file),
    ]


async def _embedded(subject: Subject) -> Check:
    key = "put a key from https://platform.openai.com/api-keys into .env as OPENAI_API_KEY"
    try:
        await asyncio.to_thread(embedded_model, subject.agent, remembers=False)
    except ConfigError as error:
        return fault("model", str(error), f"{key}, or install the extra `demo`")
    detail = "OPENAI_API_KEY is not set, so the embedded model answers: it knows a few phrases"
    return warning("model", detail, key)


def _fix(error: ModelError) -> str:
    text = str(error).lower()
    if isinstance(error, HandshakeRefused):
        if error.status in (401, 403):
            return "copy OPENAI_API_KEY again from https://platform.openai.com/api-keys"
        if error.status == 404:
            return (
                "OPENAI_BASE_URL is https://api.openai.com/v1 for OpenAI; see that "
                "OPENAI_REALTIME_MODEL is a Realtime model that the key may use"
            )
        if error.status == 429:
            return "add credit: https://platform.openai.com/settings/organization/billing"
        return "see https://status.openai.com, and check OPENAI_BASE_URL"
    if "quota" in text or "billing" in text:
        return "add credit: https://platform.openai.com/settings/organization/billing"
    if "api key" in text:
        return "copy OPENAI_API_KEY again from https://platform.openai.com/api-keys"
    if "model" in text and ("exist" in text or "access" in text or "not found" in text):
        return "set OPENAI_REALTIME_MODEL to a Realtime model that the key may use"
    if any(each in text for each in ("reached", "within", "handshake", "websocket")):
        return "check OPENAI_BASE_URL, and that this machine may connect to it"
    return "see the text, and https://status.openai.com"


def _audio(found: Probed) -> Check:
    if not found.format_fault:
        return ok("audio format", "audio/pcmu both ways, as telephones have it")
    return fault(
        "audio format",
        f"the model takes no audio/pcmu: {found.format_fault}",
        "set OPENAI_REALTIME_MODEL and OPENAI_BASE_URL to a server that takes audio/pcmu",
    )


def _settings(found: Probed, path: str) -> list[Check]:
    """One line for each setting of the agent file that the model refuses."""
    return [
        warning(
            "model settings",
            f"the model refuses {setting}, and calls go on without it: {words}",
            f"remove or correct {setting} in {path}",
        )
        for setting, words in found.refused.items()
        if setting != "transcription"
    ]


def _transcription(found: Probed, model: str, path: str) -> Check:
    name, key = "transcription", f"[transcription] model in {path}"
    if not model:
        return ok(name, "is switched off in the agent file")
    refused = found.refused.get("transcription") or found.transcription_fault
    if refused:
        fix = f"set {key} to one that the key may use, such as gpt-transcribe"
        return fault(name, f"{model} does not work: {refused}", fix)
    if found.transcription_silent:
        fix = f"try again; if it stays so, set {key} to another one"
        return warning(name, f"{model} sent no transcript in time", fix)
    if found.format_fault:
        return warning(name, f"{model} was not tried", "mend the audio format first")
    return ok(name, f"{model} transcribes")
