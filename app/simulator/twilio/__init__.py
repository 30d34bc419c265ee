"""Twilio, simulated: phone calls on real sockets, with raw JSON and TwiML."""

from app.simulator.twilio.account import Account
from app.simulator.twilio.account_resources import LoggedAlert, OwnedNumber
from app.simulator.twilio.call import Call, Caller
from app.simulator.twilio.callee import Callee
from app.simulator.twilio.conference import BUILT_IN_HOLD_MUSIC, Conference, Participant
from app.simulator.twilio.line import PhoneLine
from app.simulator.twilio.media.playback import PlaybackClock
from app.simulator.twilio.network import Network, now_ms
from app.simulator.twilio.outgoing import OutgoingCall
from app.simulator.twilio.record import CallEnded, Dialed, Said
from app.simulator.twilio.rest import Fault, RestRequest
from app.simulator.twilio.webhook import Exchange, signature

__all__ = [
    "BUILT_IN_HOLD_MUSIC",
    "Account",
    "Call",
    "CallEnded",
    "Callee",
    "Caller",
    "Conference",
    "Dialed",
    "Exchange",
    "Fault",
    "LoggedAlert",
    "Network",
    "OutgoingCall",
    "OwnedNumber",
    "Participant",
    "PhoneLine",
    "PlaybackClock",
    "RestRequest",
    "Said",
    "now_ms",
    "signature",
]
