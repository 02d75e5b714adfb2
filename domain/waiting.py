"""What makes a step wait may last, and needs nobody when it is over."""

from __future__ import annotations

from domain.draft import Draft


def wait_on(draft: Draft, step: str, why: str) -> None:
    """The step asks to be tried later; since when is stored, and shown beside the reason."""
    later = f"step {step} asks to be tried later: {why}"
    since = draft.record.later_since or draft.moment.unix
    draft.change(later_since=since, later=later, reason=later)
