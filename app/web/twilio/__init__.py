"""The routes that Twilio calls: webhooks of calls and transfers, and the media socket."""
