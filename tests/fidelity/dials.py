"""Settings that both sides share: shorter than usual, so that real scripts take little time."""

from __future__ import annotations

from typing import Final

ALLOCATION_INTERVAL_S: Final = 0.2
PING_TIMEOUT_S: Final = 3.0  # and no less: a busy machine lets agents wait for seconds
REGISTER_WITHIN_S: Final = 0.1

MASTER_FLAGS: Final = {
    "agent_ping_timeout": "1secs",
    "max_agent_ping_timeouts": "3",
    "allocation_interval": "200ms",
}
AGENT_FLAGS: Final = {"registration_backoff_factor": "100ms"}
