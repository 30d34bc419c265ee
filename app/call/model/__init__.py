"""The model's work: its connection, responses, items of the session, tool calls."""
