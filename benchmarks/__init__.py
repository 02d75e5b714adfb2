"""Timings and sizes: what is measured here is never asserted in a test."""
