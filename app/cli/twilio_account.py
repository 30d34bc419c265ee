"""Opens the account of the settings, for commands that read or configure it."""

from pydantic import SecretStr

from app.config.settings import Settings
from app.errors import ConfigError
from app.wires.twilio.account import TwilioAccount


def require_account(settings: Settings) -> tuple[str, SecretStr]:
    """The account SID and the auth token.

    Raises:
        ConfigError: they are not set.
    """
    sid, token = settings.twilio_account_sid, settings.twilio_auth_token
    if sid is None or token is None:
        raise ConfigError(
            "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN: expected a value; copy both from "
            "https://console.twilio.com, Account info"
        )
    return sid, token


def open_account(settings: Settings, *, by_token: bool = False) -> TwilioAccount:
    """The account, by the API key if there is one. Call `aclose` at the end.

    `by_token`: by the auth token, also if there is an API key.

    Raises:
        ConfigError: the credentials are not set.
    """
    sid, token = require_account(settings)
    user, secret = sid, token
    if not by_token and settings.twilio_api_key and settings.twilio_api_secret:
        user, secret = settings.twilio_api_key, settings.twilio_api_secret
    return TwilioAccount(sid, user, secret.get_secret_value(), settings.twilio_api_base_url)
