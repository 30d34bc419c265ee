"""What an answer means that does not come from the service: of a tunnel, a proxy, another server.

ngrok: error codes in the header `Ngrok-Error-Code`.
"""

from collections.abc import Mapping

_OFFLINE = ("ERR_NGROK_3200", "ERR_NGROK_3004", "ERR_NGROK_3209")
_UPSTREAM = ("ERR_NGROK_8012", "ERR_NGROK_8013", "ERR_NGROK_3007")
_LIMITS = ("ERR_NGROK_725", "ERR_NGROK_726", "ERR_NGROK_727", "ERR_NGROK_728")
_START = "start the service: python -m app serve"


def explain_answer(status: int, headers: Mapping[str, str], url: str, port: int) -> tuple[str, str]:
    """What is wrong at a public address that answers so, and how to mend it.

    Args:
        url: PUBLIC_URL.
        port: PORT of the service.
    """
    code = headers.get("ngrok-error-code", "") or headers.get("Ngrok-Error-Code", "")
    if code in _OFFLINE:
        return (
            f"no ngrok serves {url} now ({code})",
            f"start it, ngrok http {port}, and set PUBLIC_URL to the address that it shows",
        )
    if code in _UPSTREAM:
        return (
            f"ngrok runs, and nothing listens on the port that it leads to ({code})",
            f"{_START}; see that ngrok leads to port {port}",
        )
    if code in _LIMITS:
        return f"the limits of the ngrok account are used up ({code})", "use another tunnel or plan"
    if code:
        return f"ngrok refuses: {code}", f"see https://ngrok.com/docs/errors/{code.lower()}"
    if status in (502, 503, 504):
        return f"a proxy answers with {status}, so it does not reach the service", (
            f"{_START}; see that the proxy leads to port {port}"
        )
    if 300 <= status < 400:
        target = headers.get("Location", "another address")
        return f"{url} redirects to {target}", "set PUBLIC_URL to the address that answers itself"
    if status in (401, 403, 407):
        return (
            f"something in front of the service demands a sign-in: HTTP {status}",
            "let Twilio's requests pass it: they prove themselves by their signature",
        )
    if status == 404:
        return f"{url} leads to another server: it does not know /healthz", (
            f"set PUBLIC_URL to the address of the service, with the tunnel on port {port}"
        )
    return f"{url} answers with HTTP {status}, which is not this service", (
        f"set PUBLIC_URL to the address of the service, with the tunnel on port {port}"
    )
