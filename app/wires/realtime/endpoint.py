"""The address and the credentials of a Realtime server: OpenAI's, or a compatible one.

OpenAI: Realtime API over WebSocket. Azure takes its key as `api-key`, and in its dated API versions
the query `api-version` and `deployment` in place of `model`.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from app.wires.extra_headers import Headers

_CREDENTIALS = {"authorization", "api-key"}
_NAMES_THE_MODEL = {"model", "deployment"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where Realtime sessions are opened, and what their handshakes send."""

    #: ws(s) URL without query.
    url: str
    #: Sent as `?model=`, unless `query` names a model or a deployment.
    model: str
    #: Sent as bearer token, unless `headers` hold a credential.
    api_key: str = field(default="", repr=False)
    #: Further headers.
    headers: Headers = field(default=(), repr=False)
    #: Further query, encoded, without `?`.
    query: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The URL with its query. It may hold a credential: do not log it."""
        given = {name for name, _ in parse_qsl(self.query, keep_blank_values=True)}
        model = "" if given & _NAMES_THE_MODEL else urlencode({"model": self.model})
        return f"{self.url}?{'&'.join(filter(None, (model, self.query)))}"

    @property
    def model_name(self) -> str:
        """The model that the address names; empty: it names a deployment, of any model."""
        given = dict(parse_qsl(self.query, keep_blank_values=True))
        return "" if "deployment" in given else given.get("model", self.model)

    @property
    def handshake_headers(self) -> dict[str, str]:
        """The headers of the handshake, beside those of the WebSocket protocol."""
        headers = dict(self.headers)
        if not has_credential(self.headers):
            headers["Authorization"] = f"Bearer {self.api_key}"
        return headers


def has_credential(headers: Headers) -> bool:
    """Whether one of the headers takes the place of the bearer token."""
    return any(name.lower() in _CREDENTIALS for name, _ in headers)
