"""A fixed sample of what `make fuzz` does, without its guidance."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.mesos import events
from protocol.mesos.offered import Offers
from protocol.mesos.resources import Resource
from tests.fuzz import mutation, seeds, targets
from tools import fuzz

CHAINS = 40  # of mutations, begun at each seed
CHAIN_LENGTH = 6
SEEDS = seeds.seeds()


def chain(seed: bytes, number: int) -> list[bytes]:
    """Mutations of mutations; the bytes are changed where the structure is lost."""
    chance = random.Random(f"{number} {seed!r}")  # noqa: S311 - chance, not secrecy
    found, data = [], seed
    for _ in range(CHAIN_LENGTH):
        changed = mutation.mutated(data, 4096, chance.getrandbits(32))
        if changed is None:
            at = chance.randrange(1, len(data) + 1)
            changed = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        found.append(changed)
        data = changed
    return found


def test_every_target_has_a_seed_and_every_seed_holds() -> None:
    assert {targets.name_of(seed) for seed in SEEDS} == {one.__name__ for one in targets.TARGETS}
    assert len(SEEDS) > 100
    for seed in SEEDS:
        targets.run(seed)


def test_the_seeds_are_what_masters_sent_and_are_taken_as_such() -> None:
    kinds = {
        type(events.decode_event(seed[1:]))
        for seed in SEEDS
        if targets.name_of(seed) == "event" and b"[[[" not in seed
    }
    assert {Offers, events.Update, events.InverseOffers, events.ErrorEvent} < kinds


@pytest.mark.parametrize("number", range(CHAINS))
def test_a_sample_of_mutations_holds(number: int) -> None:
    for seed in SEEDS:
        for data in chain(seed, number):
            targets.run(data)


@settings(max_examples=400)
@given(st.sampled_from(targets.TARGETS), st.binary(max_size=300))
def test_any_bytes_hold(target: object, data: bytes) -> None:
    index = [number for number, one in enumerate(targets.TARGETS) if one is target]
    targets.run(bytes(index) + data)


# -- the fuzzer itself -----------------------------------------------------------------------------


def test_a_mutation_is_a_function_of_its_seed_and_keeps_its_bound() -> None:
    for number, seed in enumerate(SEEDS):
        once, again = (mutation.mutated(seed, 1024, number) for _ in range(2))
        assert once == again
        assert once is None or len(once) <= 1024
        assert once is None or once[:1] == seed[:1], "a mutation stays with its target"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        "\ud800",
        object(),
        {"a": (1, [float("inf")])},
        Resource(name="cpus", amount_milli=0, role="*", echo={}),
        events.Subscribed(framework_id="F", heartbeat_s=float("nan")),
    ],
)
def test_what_must_not_be_in_a_value_is_seen(value: object) -> None:
    with pytest.raises((targets.FindingError, UnicodeEncodeError)):
        targets.sane(value)


def test_a_sentence_of_two_lines_or_without_end_is_seen() -> None:
    for sentence in ("a\nb", "a\u2028b", "x" * 1000):
        with pytest.raises(targets.FindingError):
            targets.one_line(sentence)


def test_inputs_are_shared_out_whole() -> None:
    assert sum(fuzz.shares(1_000_001)) == 1_000_001
    assert len(fuzz.shares(3)) == fuzz.WORKERS


def test_a_saved_input_is_run_again_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / "finding.bin"
    saved.write_bytes(targets.as_input(targets.event, b'{"type":"HEARTBEAT"}'))
    assert fuzz.main(["--replay", str(saved)]) == 0
    assert "event: 21 bytes" in capsys.readouterr().out

    def planted(data: bytes) -> None:
        raise targets.FindingError(f"planted for {len(data)} bytes")

    monkeypatch.setattr(targets, "run", planted)
    assert fuzz.main(["--replay", str(saved)]) == 1
    assert "findings=1" in capsys.readouterr().out


def test_a_finding_is_one_line_with_its_bytes_and_counts_once(tmp_path: Path) -> None:
    saved = tmp_path / "finding.bin"
    saved.write_bytes(b"\x01\n\xff")
    entry = (
        f'{{"target": "event", "error": "FindingError", "text": "two\\nlines", '
        f'"where": "x.py:1", "path": "{saved}"}}\n'
    )
    (tmp_path / "findings.jsonl").write_text(entry * 2)
    worker = fuzz.Worker(tmp_path, 10, 1)
    worker.stopped.append(("the process ended with -9", saved))
    lines = fuzz.findings([worker, worker])
    assert len(lines) == 2
    assert all("\n" not in line and r"b'\x01\n\xff'" in line for line in lines)
