"""What the caller heard: the playback ledger, the agent's audio, the transcript. At a barge-in
the ledger says where to truncate."""
