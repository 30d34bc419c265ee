"""Text as it is spoken: sentences, words, and when each of them sounds."""
