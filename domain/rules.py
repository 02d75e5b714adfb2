"""What a decision about an agent is given beside the agent: the operator's rules, and the time."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Rules:
    """What the operator set."""

    mode: str = "run"  # run, observe
    attempts_max: int = 5
    claim_delay_s: float = 60.0
    probe: bool = True
    facts_fresh_s: float = 900.0  # older facts are looked at again before they are acted on
    retire_after_s: float = 0.0  # an agent that Mesos has lost for so long is retired; 0: never


@attrs.frozen(kw_only=True)
class Moment:
    """All of time and chance that one decision may use."""

    now: float  # seconds on the run's clock: for pauses
    unix: float  # wall time: for what is stored
    token: str  # 8 hex digits, never used before
    jitter: float  # 0..1
