"""Checks of the external voices: each one says a word."""

import asyncio
from contextlib import aclosing

from app.bridge.services import voice_secrets
from app.cli.doctor.check import Check, Subject, fault, ok
from app.errors import ConfigError, VoiceError
from app.wires.voices.provider import VoiceSettings
from app.wires.voices.providers import open_voices

_WORD = "Hello."
_DEADLINE_S = 8.0


async def check_voices(subject: Subject) -> list[Check]:
    """A line for each voice of the agent file, or one for the model's own."""
    voices = subject.agent.voices
    if not voices:
        own = subject.agent.agent.voice.name
        return [ok("voices", f"the model speaks itself, as {own}")]
    return list(await asyncio.gather(*(_check(subject, each) for each in voices)))


async def _check(subject: Subject, wanted: VoiceSettings) -> Check:
    name = f"voice {wanted.label}"
    try:
        (voice,) = open_voices((wanted,), voice_secrets(subject.settings))
    except ConfigError as error:
        return fault(
            name, error.problems[0], f"set what is missing, or change {subject.agent_file}"
        )
    started = asyncio.get_running_loop().time()
    line = voice.line()
    try:
        async with asyncio.timeout(_DEADLINE_S), aclosing(line.say(_WORD)) as sounds:
            async for _ in sounds:
                break
            else:
                raise VoiceError("it sent no sound")
    except TimeoutError:
        fix = "see the status page of its provider, and the network of this machine"
        return fault(name, f"no sound within {_DEADLINE_S:g} s", fix)
    except VoiceError as error:
        detail, _, hint = str(error).partition("; ")
        credentials = ", ".join(wanted.credentials)
        fix = hint or (f"check {credentials or 'its server'}, and [voice] in {subject.agent_file}")
        return fault(name, detail, fix)
    finally:
        await line.aclose()
        await voice.aclose()
    took_ms = (asyncio.get_running_loop().time() - started) * 1000
    return ok(name, f"its first sound came after {took_ms:.0f} ms")
