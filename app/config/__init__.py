"""What the owner writes: environment, agent file, prices; each fault with its line."""
