"""The report of a call: figures, transcript, the view of the console, files."""
