"""What others wait for: facts of the whole cluster, each followed to what makes it so.

The gate's own conditions are those of domain.rollout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from actors.board import AgentSnapshot, Board
from domain.chronicle import Entry
from domain.storage import PoolState, SdsState, StorageSnapshot
from domain.storage_health import NO_OUTLOOK, pool_subject
from domain.trends import spoken
from protocol.mesos.session import State
from web.views import Times, is_torn_down

NAMED_MAX: Final = 3
GOES_ON: Final = "nothing has to be done: it goes on by itself"
NOTHING: Final = "nothing has to be done"


@attrs.frozen
class Link:
    """One fact, and what it is about."""

    subject: str
    fact: str

    @property
    def told(self) -> str:
        return f"{self.subject} {self.fact}" if self.subject else self.fact


@attrs.frozen(kw_only=True)
class Why:
    """`chain` from the question down to its cause; `unblocked_by`: what would end the wait."""

    subject: str
    chain: tuple[Link, ...]
    unblocked_by: str

    @property
    def sentence(self) -> str:
        """The first fact, then its causes: `agent-7 waits to reboot: pool p is rebuilding, ...`."""
        first, *causes = self.chain
        because = "; then ".join(link.told for link in causes)
        return f"{first.told}: {because}" if because else first.told


@attrs.frozen
class Causes:
    board: Board
    times: Times

    def master(self) -> Link | None:
        link = self.board.link
        if link.state == State.SUBSCRIBED.value:
            return None
        if is_torn_down(self.board):
            return Link("the framework", "is torn down")
        return Link("the Mesos master", f"is not there ({link.state}{because(link.detail)})")

    def gateway(self) -> Link:
        error = self.board.gateway.error
        return Link("the Gateway", f"does not answer: {error}" if error else "was not asked yet")

    def missing(self, host: str) -> Iterator[Link]:
        for other in self.board.agents.values():
            if other.missing and other.host != host:
                yield Link(other.host, "did not come back whole from its reboot, and halts all")

    def rollout_stops(self) -> Iterator[Link]:
        rollout = self.board.rollout
        if not rollout.why:
            return
        yield Link("", rollout.why)
        match rollout.state:
            case "paused":
                yield from self.ordered("", ("rollout pause",))
            case "aborted":
                yield from self.ordered("", ("rollout abort",))
            case "halted":
                for host in rollout.failed[:NAMED_MAX]:
                    failed = self.board.agents.get(host)
                    if failed is not None and failed.error:
                        what, _ = parted(failed.error.removeprefix(f"{host}: "))
                        yield Link(host, f"has failed: {what}")
            case _:
                pass

    def not_whole(self) -> Iterator[Link]:
        """What the storage cluster lacks for another host to go, worst first."""
        storage = self.board.gateway.storage
        if storage is None:
            return
        if not storage.mdm_normal:
            yield Link("the MDM cluster", f"is not normal ({storage.mdm_detail})")
        for pool in storage.pools:
            if pool.failed_kb or pool.degraded_kb or pool.moving:
                yield Link(f"pool {pool_subject(storage, pool)}", self.pool_state(pool))
        yield from self.sds_down(storage)

    def sds_down(self, storage: StorageSnapshot) -> Iterator[Link]:
        down = [sds for sds in storage.sds if not sds.good]
        for sds in down[:NAMED_MAX]:
            host = self.host_at(sds.addresses)
            where = f"{host.host} is {host.phase}" if host is not None else sds.detail
            yield Link(f"SDS {sds.name}", f"is not healthy: {where}")
        if len(down) > NAMED_MAX:
            yield Link("", f"{len(down) - NAMED_MAX} more SDSs are not healthy")

    def before(self, shown: AgentSnapshot) -> Iterator[Link]:
        """Who has the place now, and who asked earlier."""
        for other in sorted(self.board.agents.values(), key=lambda a: a.host):
            if other.host != shown.host and other.phase == "rebooting":
                age = self.times.since_unix(other.since)["for_s"]
                yield Link(other.host, f"reboots since {spoken_of(age)}")
        if shown.phase != "reboot_wanted":
            return
        earlier = sorted(
            (other.since, other.host)
            for other in self.board.agents.values()
            if other.phase == "reboot_wanted"
            and (other.since, other.host) < (shown.since, shown.host)
        )
        if earlier:
            names = named([host for _, host in earlier])
            yield Link(names, "is before it" if len(earlier) == 1 else "are before it")

    def places(self) -> Iterator[Link]:
        at_work = sorted(a.host for a in self.board.agents.values() if a.working)
        if at_work:
            have = "has the place" if len(at_work) == 1 else f"have the {len(at_work)} places"
            yield Link(named(at_work), have)

    def ordered(self, subject: str, words: tuple[str, ...]) -> Iterator[Link]:
        """Who said that last, and why."""
        for entry in self.board.chronicle.last(200, kinds=("order",), subject=subject):
            if entry.subject == subject and entry.text.startswith(words):
                yield Link("", told_by(entry, self.times))
                return

    def sds_of(self, shown: AgentSnapshot) -> SdsState | None:
        storage = self.board.gateway.storage
        return None if storage is None else storage.sds_at(shown.address)

    def host_at(self, addresses: Iterable[str]) -> AgentSnapshot | None:
        there = frozenset(addresses)
        return next((a for a in self.board.agents.values() if a.address in there), None)

    def pool_state(self, pool: PoolState) -> str:
        outlook = self.board.outlooks.get(pool.id, NO_OUTLOOK)
        word = (
            "has lost data"
            if pool.failed_kb
            else "is rebuilding"
            if pool.moving
            else ("is degraded")
        )
        facts = [word]
        if pool.moving and outlook.moved_percent is not None:
            facts.append(f"{outlook.moved_percent} %")
        if pool.moving and outlook.moved_in_s is not None:
            facts.append(spoken(outlook.moved_in_s))
        return ", ".join(facts)


def parted(error: str) -> tuple[str, str]:
    """What went wrong, and what to do: an error of ours ends with the latter, after `; `."""
    what, _, cure = error.rpartition("; ")
    return (what, cure) if what else (error, "")


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def spoken_of(seconds: object) -> str:
    return spoken(float(str(seconds))).removeprefix("about ")


def told_by(entry: Entry, times: Times) -> str:
    age = spoken(max(0.0, times.wall() - entry.at))
    return f"{entry.by} said so {age.removeprefix('about ')} ago: {entry.text}"


def named(hosts: list[str]) -> str:
    more = len(hosts) - NAMED_MAX
    return ", ".join(hosts[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def because(text: str) -> str:
    return f": {text}" if text else ""
