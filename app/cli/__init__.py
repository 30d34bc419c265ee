"""The command line: serve, call, calls, voices, demo, and the log of the service."""
