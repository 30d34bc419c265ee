"""The report of a call: figures, transcript, picture, files."""
