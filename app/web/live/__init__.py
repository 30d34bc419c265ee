"""Live calls, for the console: what is known of each, and the streams that send it to browsers."""
