"""Checks of what is written down: settings, agent file, prices, models that are switched off."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from app.cli.doctor.check import Check, Subject, fault, from_message, ok, warning
from app.config.agent.file import load_agent
from app.config.prices import load_prices
from app.config.settings import EMBEDDED, Settings, load_settings
from app.config.settings_warnings import settings_warnings
from app.config.shutdowns import shutdown_warnings
from app.errors import ConfigError
from app.records.webhook import signing_key

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+(?=: )")


@dataclass(slots=True)
class Configured:
    """What could be read, and the checks so far."""

    checks: list[Check]
    #: None: the settings or the agent file are wrong.
    subject: Subject | None = None


def read_configuration(today: date) -> Configured:
    """Read settings and agent file, and check them."""
    try:
        settings = load_settings()
    except ConfigError as error:
        return Configured([_setting_fault(each) for each in error.problems])
    checks = [*_more_settings(settings)]
    model = settings.endpoint.model_name if settings.has_model_key else EMBEDDED
    try:
        agent = load_agent(settings.agent_file, settings.transfer_number, model=model)
    except ConfigError as error:
        found = [from_message("agent file", "fault", each) for each in error.problems]
        return Configured([*_settings_line(checks), *checks, *found])
    warned = settings_warnings(settings, agent.agent.destinations, str(agent.path))
    checks += [from_message("settings", "warning", each) for each in warned]
    checks = [*_settings_line(checks), *checks]
    if agent.warnings:
        checks += [from_message("agent file", "warning", each) for each in agent.warnings]
    else:
        checks.append(ok("agent file", f"{agent.agent.name}, {agent.path}"))
    subject = Subject(settings, agent, settings.public_url or "")
    return Configured([*checks, *_shutdowns(subject, today)], subject)


def _settings_line(checks: list[Check]) -> list[Check]:
    """A line that says that the settings are right, if none says otherwise."""
    return [] if checks else [ok("settings", "every value is valid")]


def _more_settings(settings: Settings) -> Iterator[Check]:
    """Faults that the start of the service would find as well."""
    try:
        load_prices(settings.prices_file)
        if settings.call_webhook_secret is not None:
            signing_key(settings.call_webhook_secret.get_secret_value())
    except ConfigError as error:
        yield from map(_setting_fault, error.problems)


def _setting_fault(problem: str) -> Check:
    named = _VARIABLE.match(problem)
    if named is None:
        return from_message("settings", "fault", problem)
    name = named[0]
    inherited = any(each.upper() == name for each in os.environ)
    where = "the environment, which takes precedence over .env" if inherited else ".env"
    return fault("settings", problem, f"correct {name} in {where}")


def _shutdowns(subject: Subject, today: date) -> list[Check]:
    settings, agent = subject.settings, subject.agent
    if not settings.has_model_key:
        return []
    found = [
        *shutdown_warnings(
            settings.endpoint.model_name, agent.agent.transcription.model, str(agent.path), today
        )
    ]
    if not found:
        return [ok("model lifetime", "no shutdown of the models in use is announced")]
    return [
        fault("model lifetime", *_parts(each))
        if " was switched off " in each
        else warning("model lifetime", *_parts(each))
        for each in found
    ]


def _parts(message: str) -> tuple[str, str]:
    detail, _, fix = message.partition("; ")
    return detail, fix
