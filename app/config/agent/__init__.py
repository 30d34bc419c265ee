"""The agent file: its tables as pydantic forms, its loader, and the built-in receptionist."""
