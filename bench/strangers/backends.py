"""The two servers that the service calls: Twilio's REST API, which ends calls, and the receiver of
the call webhook."""

import json
from collections.abc import Mapping
from typing import Self

from aiohttp import web

from bench.line import ACCOUNT_SID, Line


class Backends:
    """Both servers on one port."""

    def __init__(self) -> None:
        #: The lines whose calls REST can end, by SID.
        self.lines: dict[str, Line] = {}
        #: The SIDs of calls that the webhook reported as ended, repetitions included.
        self.reported: list[str] = []
        self.url = ""

    @property
    def settings(self) -> Mapping[str, str]:
        """The service's settings that point here."""
        return {"TWILIO_API_BASE_URL": self.url, "CALL_WEBHOOK_URL": f"{self.url}/reports"}

    async def __aenter__(self) -> Self:
        app = web.Application()
        calls = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls"
        app.add_routes(
            [web.post(f"{calls}/{{sid}}.json", self._update), web.post("/reports", self._report)]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _update(self, request: web.Request) -> web.Response:
        sid, form = request.match_info["sid"], await request.post()
        line = self.lines.get(sid)
        if line is None or form.get("Status") != "completed":
            fault = {"code": 20404, "message": "The requested resource was not found"}
            return web.json_response({**fault, "status": 404}, status=404)
        line.hang_up()
        return web.json_response({"sid": sid, "status": "completed"})

    async def _report(self, request: web.Request) -> web.Response:
        report = json.loads(await request.text())
        self.reported.append(report["data"]["call_sid"])
        return web.Response(status=204)
