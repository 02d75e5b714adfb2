"""The ScaleIO Gateway's REST API (2.0 to 4.x) as values."""
