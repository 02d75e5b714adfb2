"""How flags are written, read and shown; which flags there are stands in `settings`."""
