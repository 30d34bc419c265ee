"""`python -m app demo`: a whole call on this machine, without any account."""
