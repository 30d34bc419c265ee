"""What a TwiML document means for a softphone: it rings, or opens a stream, or the call is over.

Only documents of this service are read. Verbs run in order, as at Twilio; the first one that takes
the call over decides.
"""

from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree


@dataclass(frozen=True, slots=True)
class Following:
    """What follows. At most one of `ticket`, `attempt` and `again` is set; none: the call ends."""

    #: Sentences of <Say> that come first.
    said: str = ""
    #: Keys of <Play digits> that come first; `w` is a pause of 500 ms, `W` of 1000 ms.
    digits: str = ""
    #: Seconds of <Pause> that come first.
    pause_s: float = 0.0
    #: <Connect><Stream>: the ticket of the stream.
    ticket: str = ""
    #: <Dial>: the number of the transfer's attempt.
    attempt: int | None = None
    #: Seconds that <Dial> rings.
    ring_s: float = 0.0
    #: <Redirect>: how often the same question was asked.
    again: str | None = None


def following(twiml: str) -> Following:
    """What the call does next."""
    found = Following()
    for verb in ElementTree.fromstring(twiml):
        match verb.tag:
            case "Say":
                said = f"{found.said} {(verb.text or '').strip()}".strip()
                found = replace(found, said=said)
            case "Play":
                found = replace(found, digits=found.digits + verb.get("digits", ""))
            case "Pause":
                found = replace(found, pause_s=found.pause_s + float(verb.get("length", "1")))
            case "Connect":
                stream = verb.find("Stream")
                url = stream.get("url", "") if stream is not None else ""
                return replace(found, ticket=url.rpartition("/")[2])
            case "Dial":
                number = urlsplit(verb.get("action", "")).path.split("/")[-2]
                ring_s = float(verb.get("timeout", "30"))
                return replace(found, attempt=int(number), ring_s=ring_s)
            case "Redirect":
                query = parse_qs(urlsplit((verb.text or "").strip()).query)
                return replace(found, again=query.get("again", ["0"])[0])
            case "Hangup":
                return found
    return found
