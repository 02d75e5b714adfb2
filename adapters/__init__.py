"""The only code that touches sockets, files and threads."""
