"""An HTTP client for the twilio package that sends its requests to a line's REST API."""

import base64

import aiohttp
from twilio.http.response import Response


class HttpClient:
    """Sends the twilio package's requests to the line. The package's own HTTP client passes
    `BasicAuth`, about which aiohttp 3.14 warns."""

    is_async = True

    def __init__(self, rest_url: str) -> None:
        self._rest_url = rest_url
        self._session = aiohttp.ClientSession()

    async def request(
        self,
        method: str,
        uri: str,
        *,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str],
        **_: object,
    ) -> Response:
        async with self._session.request(
            method,
            uri.replace("https://api.twilio.com", self._rest_url),
            data=data,
            headers={**(headers or {}), "Authorization": basic(*auth)},
        ) as answer:
            return Response(answer.status, await answer.text(), answer.headers)

    async def close(self) -> None:
        await self._session.close()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
