"""Twilio: media streams, REST requests, request signatures, TwiML."""
