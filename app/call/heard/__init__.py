"""What the caller heard: the playback ledger, the agent's audio, the transcript."""
