"""The command line: serve, call, calls, voices, demo."""
