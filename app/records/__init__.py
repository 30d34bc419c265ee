"""What a call leaves: records, recordings, summaries, reports."""
