"""`python -m app doctor`: what is wrong with the set-up, and how to mend it."""
