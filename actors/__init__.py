"""Thin async shells around `domain`: receive, decide, journal, perform."""
