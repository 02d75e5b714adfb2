"""What makes a step wait may last, and needs nobody when it is over."""

from __future__ import annotations

from domain.draft import Draft
from domain.plan import SURVEY


def wait_on(draft: Draft, step: str, why: str) -> None:
    """The step asks to be tried later; since when is stored, and shown beside the reason."""
    later = f"{_who(step)}{why}"
    since = draft.record.later_since or draft.moment.unix
    draft.change(later_since=since, later=later, reason=later)


def survey_held(draft: Draft) -> None:
    """Only its own wait is over: it comes between the tries of a step that waits."""
    if draft.record.later.startswith(_who(SURVEY)):
        draft.end_wait()


def _who(step: str) -> str:
    return f"step {step} asks to be tried later: "
