"""TwiML parsed as Twilio does, with the verbs, nouns and attributes that are known."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_CALLBACK = "statusCallback statusCallbackMethod statusCallbackEvent"
_RECORDING = (
    "record recordingConfigurationId recordingStatusCallback recordingStatusCallbackMethod "
    "recordingStatusCallbackEvent trim"
)
_DETECTION = (
    "machineDetection machineDetectionTimeout machineDetectionSpeechThreshold "
    "machineDetectionSpeechEndThreshold machineDetectionSilenceTimeout amdStatusCallback "
    "amdStatusCallbackMethod"
)

# Twilio: TwiML for Programmable Voice, one page per verb. Only what the simulator does is listed.
ATTRIBUTES: dict[str, frozenset[str]] = {
    tag: frozenset(names.split())
    for tag, names in {
        "Response": "",
        "Connect": "action method",
        "Stream": f"url name track connectorName audioFormat sampleRate {_CALLBACK}",
        "Parameter": "name value",
        "Say": "voice language loop",
        "Play": "loop digits",
        "Pause": "length",
        "Redirect": "method",
        "Gather": "input action method timeout speechTimeout maxSpeechTime profanityFilter "
        "finishOnKey numDigits partialResultCallback partialResultCallbackMethod language hints "
        "bargeIn debug actionOnEmptyResult speechModel enhanced",
        "Hangup": "",
        "Reject": "reason",
        "Dial": "action method timeout hangupOnStar timeLimit callerId answerOnBridge ringTone "
        f"recordingTrack sequential referUrl referMethod events passports {_RECORDING}",
        "Number": f"sendDigits url method byoc {_CALLBACK} {_DETECTION}",
        "Sip": f"username password url method {_CALLBACK} {_DETECTION}",
        "Conference": "muted beep startConferenceOnEnter endConferenceOnExit waitUrl waitMethod "
        "maxParticipants region coach eventCallbackUrl jitterBufferSize participantLabel "
        f"{_CALLBACK} {_RECORDING}",
    }.items()
}
CHILDREN: dict[str, frozenset[str]] = {
    "Response": frozenset(
        {"Connect", "Say", "Play", "Pause", "Redirect", "Gather", "Hangup", "Reject", "Dial"}
    ),
    "Connect": frozenset({"Stream"}),
    "Stream": frozenset({"Parameter"}),
    "Gather": frozenset({"Say", "Play", "Pause"}),
    "Dial": frozenset({"Number", "Sip", "Conference"}),
}
_LONGEST_PARAMETER = 500


class TwimlError(Exception):
    """The document cannot be parsed (12100)."""


def parse(document: str) -> Element:
    """The <Response> of a document.

    Raises:
        TwimlError: it is not XML from its first byte, or its root is not <Response>.
    """
    try:
        root = ElementTree.fromstring(document.encode())
    except ElementTree.ParseError as fault:
        raise TwimlError(f"document parse failure: {fault}") from None
    if root.tag != "Response":
        raise TwimlError(f"root is <{root.tag}>, not <Response>")
    return root


def warnings(element: Element) -> list[str]:
    """Faults that Twilio only warns about (12200): unknown tags and attributes, long values."""
    found = [
        f"<{element.tag}> has no attribute {name!r}"
        for name in element.attrib
        if name not in ATTRIBUTES[element.tag]
    ]
    if element.tag == "Parameter":
        size = len(element.get("name", "")) + len(element.get("value", ""))
        if size >= _LONGEST_PARAMETER:
            found.append(f"<Parameter> of {size} characters, name and value, is too long")
    if element.tag == "Say":  # its children are SSML, a language of their own
        return found
    for child in element:
        if child.tag in CHILDREN.get(element.tag, frozenset()):
            found += warnings(child)
        else:
            found.append(f"<{child.tag}> is not known inside <{element.tag}>")
    return found


def text(element: Element) -> str:
    """The text of an element and its SSML tags, with single spaces."""
    return " ".join("".join(element.itertext()).split())
