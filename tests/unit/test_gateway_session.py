"""The token session: a table without gaps, early renewal, one login for many 401s."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.gateway.session import (
    ABSOLUTE_LIFE_S,
    IDLE_LIFE_S,
    NEXT,
    REFUSED_PAUSE_S,
    Phase,
    Signal,
    Token,
    TokenSession,
)

TOKEN = Token(version=(2, 5), authorization="Basic secret-a", basic_authorization="Basic secret-a")


def live(*, now: float = 0.0, life_s: float | None = None) -> TokenSession:
    return TokenSession().logged_in(attrs.evolve(TOKEN, life_s=life_s), now=now)


def test_every_phase_has_its_row_and_a_login_always_leads_to_live() -> None:
    assert set(NEXT) == set(Phase)
    assert {row[Signal.LOGGED_IN] for row in NEXT.values()} == {Phase.LIVE}
    assert {row[Signal.LOGIN_REFUSED] for row in NEXT.values()} == {Phase.REFUSED}


def test_only_a_login_leads_out_of_refused() -> None:
    others = {s: p for s, p in NEXT[Phase.REFUSED].items() if p is not Phase.REFUSED}
    assert others == {Signal.LOGGED_IN: Phase.LIVE}


@pytest.mark.parametrize(
    ("age_s", "phase"), [(0.8 * IDLE_LIFE_S - 1, Phase.LIVE), (0.8 * IDLE_LIFE_S, Phase.RENEW_DUE)]
)
def test_an_idle_session_is_due_at_80_percent_of_ten_minutes(age_s: float, phase: Phase) -> None:
    assert live().at(age_s).phase is phase


def test_use_prolongs_the_idle_life_but_not_the_absolute_one() -> None:
    session, now = live(), 0.0
    while session.at(now).phase is Phase.LIVE:
        session = session.at(now).used(session.generation, now=now)
        now += 300.0
    assert 0.8 * ABSOLUTE_LIFE_S <= now < 0.8 * ABSOLUTE_LIFE_S + 300.0


@pytest.mark.parametrize(("life_s", "due_at"), [(300.0, 240.0), (0.0, 0.0), (-5.0, 0.0)])
def test_an_announced_shorter_life_counts(life_s: float, due_at: float) -> None:
    session = live(life_s=life_s)
    assert session.at(due_at).phase is Phase.RENEW_DUE
    assert session.at(due_at - 1).phase is Phase.LIVE or due_at == 0.0


def test_a_401_of_an_older_token_leaves_the_new_one_alone() -> None:
    first = live()
    second = first.unauthorised(first.generation).logged_in(TOKEN, now=1.0)
    assert second.unauthorised(first.generation) == second
    gone = second.unauthorised(second.generation)
    assert (gone.phase, gone.token) == (Phase.NONE, None)


def test_use_of_an_older_token_does_not_prolong_the_new_one() -> None:
    session = live().logged_in(TOKEN, now=1.0)
    assert session.used(session.generation - 1, now=99.0).used_at == 1.0


def test_a_refused_password_waits_but_another_one_does_not() -> None:
    refused = TokenSession().login_refused("old", now=100.0)
    assert refused.phase is Phase.REFUSED
    assert not refused.may_log_in("old", now=100.0 + REFUSED_PAUSE_S - 1)
    assert refused.may_log_in("new", now=100.0)
    assert refused.may_log_in("old", now=100.0 + REFUSED_PAUSE_S)


def test_logging_out_without_a_session_changes_nothing() -> None:
    assert TokenSession().logged_out() == TokenSession()
    assert live().logged_out().phase is Phase.NONE


def test_no_secret_shows_in_a_session() -> None:
    refused = live().login_refused("hunter2", now=0.0)
    token = attrs.evolve(TOKEN, refresh_token="secret-r")
    shown = f"{live()!r} {refused!r} {token!r} {token!s}"
    assert "secret" not in shown
    assert "hunter2" not in shown


CHANGES = st.sampled_from(["in", "refused", "401", "used", "out", "wait"])


@given(st.lists(CHANGES, max_size=30))
def test_a_token_is_held_exactly_while_live_or_due(changes: list[str]) -> None:
    session, now = TokenSession(), 0.0
    for change in changes:
        now += 200.0
        session = session.at(now)
        match change:
            case "in":
                session = session.logged_in(TOKEN, now=now)
            case "refused":
                session = session.login_refused("p", now=now)
            case "401":
                session = session.unauthorised(session.generation)
            case "used":
                session = session.used(session.generation, now=now)
            case "out":
                session = session.logged_out()
        assert (session.token is not None) == (session.phase in {Phase.LIVE, Phase.RENEW_DUE})
