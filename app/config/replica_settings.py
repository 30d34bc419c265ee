"""What several replicas need beside REDIS_URL: one API token, and one database."""

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from app.call.words.blank import is_blank, stripped
from app.config.redis_url import parse_redis_url
from app.errors import ConfigError


def missing_for_replicas(redis_url: object, values: Mapping[str, Any]) -> list[str]:
    """One line for each variable that REDIS_URL needs.

    Args:
        redis_url: its value. Nothing is missing if it is not set, or wrong itself.
        values: those of all settings, in lower case.
    """
    try:
        parse_redis_url(_text(redis_url))
    except ConfigError:
        return []
    problems = []
    if is_blank(_text(values.get("api_token"))):
        problems.append(
            "API_TOKEN: expected a value, because REDIS_URL is set; all replicas need the same one"
        )
    database = stripped(_text(values.get("database_url")))
    if not database or database.startswith("sqlite:"):
        problems.append(
            "DATABASE_URL: expected postgresql://user:password@host/database, because REDIS_URL is "
            "set; all replicas share one database"
        )
    return problems


def _text(value: object) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return text if isinstance(text, str) else ""
