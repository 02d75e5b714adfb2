"""What the tests on a real Mesos judge by: it sees the wrongs that it is there for."""

from __future__ import annotations

import base64
from pathlib import Path

import attrs
import pytest

from tests.real.evidence import NEVER, Run, holders, overlaps, repeated

SECRET = "Quite-Another-Tree-9"
SURVEY = Run(
    host="a", step="survey", task_id="a.survey.1.00000001", framework_id="F",
    began=1.0, ended=2.0, exit_code=0, state="TASK_FINISHED",
)  # fmt: skip
SDS = attrs.evolve(SURVEY, step="sds", task_id="a.sds.2.00000002", began=2.5, ended=3.0)


def test_steps_one_after_the_other_do_not_overlap() -> None:
    assert overlaps([SDS, SURVEY]) == []


@pytest.mark.parametrize("ended", [2.6, NEVER])
def test_a_step_that_begins_before_another_has_ended_is_seen(ended: float) -> None:
    (wrong,) = overlaps([SDS, attrs.evolve(SURVEY, ended=ended)])
    assert SDS.task_id in wrong


def test_a_short_step_within_a_long_one_and_one_after_both_are_seen_once_each() -> None:
    long = attrs.evolve(SURVEY, ended=9.0)
    late = attrs.evolve(SURVEY, task_id="a.survey.3.00000003", began=4.0, ended=5.0)
    assert len(overlaps([long, SDS, late])) == 2


def test_other_agents_and_the_keeper_may_run_at_once() -> None:
    elsewhere = attrs.evolve(SDS, host="b", began=1.0)
    keeper = attrs.evolve(SDS, step="keeper", began=1.0, ended=NEVER)
    assert overlaps([SURVEY, elsewhere, keeper]) == []


def test_only_a_done_installation_step_must_not_run_again() -> None:
    failed = attrs.evolve(SDS, exit_code=75)
    again = attrs.evolve(SDS, task_id="a.sds.4.00000004", began=5.0, exit_code=None)
    survey_again = attrs.evolve(SURVEY, began=4.0)
    assert repeated([SURVEY, survey_again, failed, again]) == []
    assert repeated([SURVEY, survey_again, SDS, again]) == [again.task_id]


@pytest.mark.parametrize("before", ["", "x", "xx", "admin:", "admins:", "some.one:"])
def test_a_secret_is_found_plain_and_within_base64(tmp_path: Path, before: str) -> None:
    whole = f"{before}{SECRET}".encode()
    (tmp_path / "plain").write_bytes(b"\x00 " + whole + b" \xff")
    (tmp_path / "coded").write_bytes(b"Basic " + base64.b64encode(whole + b"tail"))
    (tmp_path / "clean").write_bytes(b"nothing of it")
    assert holders(SECRET, tmp_path) == [str(tmp_path / "coded"), str(tmp_path / "plain")]
