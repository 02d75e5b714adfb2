"""Sans-I/O wire formats: bytes in, values out. No trio, no clock, no log in here."""
