"""What Twilio calls: the webhooks of calls and transfers, and the media socket."""
