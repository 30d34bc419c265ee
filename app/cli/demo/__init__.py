"""The demo: a whole call on this machine, with no account."""
