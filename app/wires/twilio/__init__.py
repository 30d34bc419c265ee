"""Twilio's wire and nothing else."""
