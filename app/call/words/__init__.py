"""The agent's text as speech: sentences, words, and when each word sounds."""
