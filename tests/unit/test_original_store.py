"""The original's store, as its reference describes it, becomes records of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import records
from domain.agent import AgentRecord, Phase
from domain.original_store import (
    OriginalStoreError,
    as_records,
    below_root,
    may_take_over,
    read,
)
from domain.records import ImportedRecord

SAMPLES: Final = Path(__file__).parent.parent / "data" / "original_store"


def sample(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return found


def agents(changes: dict[str, bytes]) -> dict[str, AgentRecord]:
    return {
        key: records.decode(raw, AgentRecord, key=key)
        for key, raw in changes.items()
        if key.startswith(records.AGENT_PREFIX)
    }


def test_every_host_is_taken_over_as_seen_and_surveyed_first() -> None:
    original = read(below_root(sample("preconfigured"), role="scaleio"))
    found = agents(as_records(original, now=1000.0, stored={}))
    assert set(found) == {
        f"agents/{host}" for host in ("agent0.sim", "agent1.sim", "agent2.sim", "gone.sim")
    }
    for key, record in found.items():
        assert key == records.agent_key(record.host)
        assert (record.phase, record.agent_id, record.since) == (Phase.SEEN, "", 1000.0)
        assert record.facts is None
        assert not record.joined
    assert "state 1024: ScaleIO Running" in found["agents/agent0.sim"].reason
    assert "state 4096: Installation Failed" in found["agents/agent1.sim"].reason


def test_what_the_original_had_stored_is_noted() -> None:
    original = read(below_root(sample("experimental"), role="storage"))
    assert original.configured
    nodes = {node.host: node for node in original.nodes}
    assert nodes["mdm1.example.com"].devices == {
        ("east", "fast"): ("/dev/sdb",),
        ("east", "slow"): (),
        ("domains", "p"): ("/dev/sdc",),
    }
    raw = as_records(original, now=5.0, stored={})[records.IMPORTED_KEY]
    noted = records.decode(raw, ImportedRecord, key=records.IMPORTED_KEY)
    assert noted.mdms == ("mdm1.example.com", "mdm2.example.com", "primary")
    assert noted.at == 5.0
    assert noted.hosts == {
        "agent4.example.com": "data, state 6: Installing REX-Ray",
        "mdm1.example.com": "primary, state 1024: ScaleIO Running",
        "mdm2.example.com": "secondary, state 8: System is Rebooting",
        "primary": "tiebreaker, state not readable",  # a host of that name; its state is damaged
    }


def test_only_a_store_without_records_of_ours_takes_over() -> None:
    assert may_take_over({})
    assert may_take_over({"installation": b"", "gateway": b""})
    for key in ("framework", "imported"):
        assert not may_take_over({key: b""})


def test_an_agent_that_is_known_already_is_left_as_it_is() -> None:
    """A takeover that was cut short is done again; so is one where agents came first."""
    original = read(below_root(sample("preconfigured"), role="scaleio"))
    changes = as_records(original, now=1.0, stored={"agents/agent1.sim": b"ours"})
    assert len(agents(changes)) == 3
    assert list(changes)[-1] == records.IMPORTED_KEY


def test_another_role_is_named() -> None:
    with pytest.raises(OriginalStoreError, match="there is: storage: name it with -role"):
        below_root(sample("experimental"), role="scaleio")
    with pytest.raises(OriginalStoreError, match="no keys of the original"):
        below_root({"/mesos/json.info_0": "{}"}, role="scaleio")


def test_another_layout_is_refused() -> None:
    with pytest.raises(OriginalStoreError, match="layout '2'"):
        read({"version": "2", "configuration/a/state": "0"})


TEXTS = st.sampled_from(
    ["", "a", "b", "configuration", "domains", "pools", "persona", "state", "primary", "default"]
)
KEYS = st.lists(TEXTS, max_size=5).map("/".join)
VALUES = st.one_of(st.text(max_size=5), st.integers(-5, 5000).map(str), TEXTS)


@given(st.dictionaries(KEYS | KEYS.map("configuration/{}".format), VALUES))
def test_whatever_is_there_gives_records_that_can_be_read(keys: dict[str, str]) -> None:
    try:
        original = read(keys)
    except OriginalStoreError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a version of another layout
        return
    found = agents(as_records(original, now=1.0, stored={}))
    assert len(found) == len(original.nodes)
    assert all("/" not in record.host for record in found.values())
