"""What people want to know of a call that is over: figures, words, a picture, files."""
