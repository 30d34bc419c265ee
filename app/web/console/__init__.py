"""The console: one page in the browser that shows calls and acts on them."""
