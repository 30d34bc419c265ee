"""The embedded model: it recognizes known phrases of a caller and answers them."""
