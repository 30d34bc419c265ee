"""Redaction of log lines: phone numbers, addresses, keys.

In the service's own lines only numbers with a plus and tickets are hidden, so that SIDs, ports,
bytes and times stay readable. In foreign texts (a model's error, a tool's exception, a library's
message) everything that looks like a number, an address or a key is hidden.
"""

import re

_NUMBER = re.compile(r"(\+|%2B)(\d{8,15})")
_TICKET = re.compile(r"(/(?:media-stream|outgoing-call|answering-machine)/)[^\s\"'?/\\]+")

_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_HEX = "[0-9a-fA-F]"
_BETWEEN = r"[ \t\u00a0\u2009\u202f().\-/\u2010-\u2015]{0,3}"  # the digits of a number
_FOREIGN = re.compile(
    rf"""
    (?P<key> \b(?:sk|pk|rk|whsec|gh[pousr]|xox[a-z]|glpat|hf)[-_][\w*-]{{6,}}
           | \bAKIA[0-9A-Z]{{12,}} | \beyJ[\w-]{{5,}}\.[\w.-]+ )
  | (?P<named> (?i:\bbearer[ ]+ | \bbasic[ ]+(?=\S*(?-i:[A-Z\d=]))
           | \b(?:[\w-]*(?:api|access)[-_ ]?key|[\w-]*token|[\w-]*secret|password|authorization)
             ["']?[ ]*[:=][ ]*["']?(?:bearer[ ]+|basic[ ]+)?) )
    (?P<named_value> [^\s"',;&}}<>]{{3,}} )
  | (?P<login> ://[^\s/@:]+:[^\s/@]+@ )
  | (?P<address> [\w.+%-]{{1,64}}@[\w-]+(?:\.[\w-]+)* )
  | (?P<kept> \b{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}\b    # a UUID
           | \b[A-Z]{{2}}[0-9a-f]{{32}}\b                          # one of Twilio's SIDs
           | \b[a-z]{{2,}}_\w{{6,}}                                # an id: item_…, resp_…, req_…
           | \b(?:19|20)\d\d-{_MONTH}-{_DAY}(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?![\d-])
           | (?<![\d.]){_OCTET}(?:\.{_OCTET}){{3}}(?::\d{{1,5}})?(?![\d.]) )
  | (?P<number> (?<!\d)(?:\+|%2B)?\(?\d(?:{_BETWEEN}\d){{6,}} )
    """,
    re.VERBOSE,
)
TRACE = "trace"  # the extra that holds a traceback as text


def redact(line: str) -> str:
    """Hide the middle of every number with a plus, and tickets: +15551230001 becomes +1555…01.

    At least five digits are hidden; the last two stay, so that calls can be told apart.
    """

    def hide(match: re.Match[str]) -> str:
        sign, digits = match.groups()
        return f"{sign}{digits[: min(4, len(digits) - 7)]}…{digits[-2:]}"

    return _TICKET.sub(r"\1…", _NUMBER.sub(hide, line))


def redact_foreign(text: str) -> str:
    """Hide numbers of seven digits or more in any national format, e-mail and SIP addresses, keys,
    tokens and passwords. Dates, IP addresses, SIDs and ids stay."""
    return _FOREIGN.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    text = match[0]
    match match.lastgroup:
        case "key":
            return f"{text[:2]}…"
        case "named_value":
            return f"{match['named']}…"
        case "login":
            return "://…@"
        case "address":
            return "…@…"
        case "number":
            if _NUMBER.fullmatch(text):
                return redact(text)
            return f"…{text[-2:]}" if text[-2:].isdigit() else "…"
        case _:
            return text
