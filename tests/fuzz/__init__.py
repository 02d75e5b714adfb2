"""Fuzzing of what a master may send: targets, seeds from recordings, mutation of JSON."""
