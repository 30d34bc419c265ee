"""`python -m app serve --dev`: a tunnel, the number, the console, and the agent file read anew."""
