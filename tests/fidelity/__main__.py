"""`python -m tests.fidelity [NAME]...`: play the scripts on both sides and compare."""

from __future__ import annotations

import argparse
import sys

from tests.fidelity import agreed
from tests.fidelity.playing import LANES, Verdict, compare, summary
from tests.fidelity.scripts import ALL
from tests.real_mesos.library import missing_needs


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these scripts only")
    parser.add_argument("--show", metavar="NAME", help="print both transcripts of one script")
    parser.add_argument(
        "--record", action="store_true", help="keep what both sides agree on, for the unit tests"
    )
    parser.add_argument("--lanes", type=int, default=LANES, help="real clusters at a time")
    given = parser.parse_args(arguments)
    names: list[str] = [given.show] if given.show else given.names
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no such script: {', '.join(unknown)}; there are: {', '.join(ALL)}")
        return 2
    if lacking := missing_needs():
        print(f"fidelity: not run here: {'; '.join(lacking)}")
        return 2
    verdicts: list[Verdict] = []

    def told(verdict: Verdict) -> None:
        verdicts.append(verdict)
        word = "agrees " if verdict.agrees else "DIFFERS"
        again = " (at the second playing)" if verdict.again else ""
        print(f"{word} {verdict.script.name}{again}", flush=True)
        if given.show:
            print("\n".join(["real:", *verdict.real.lines, "", "simulated:"]))
            print("\n".join(verdict.simulated.lines))
        if not verdict.agrees:
            print(verdict.difference(), flush=True)

    compare([ALL[name] for name in names or ALL], told, lanes=given.lanes)
    if given.record:
        _record(verdicts)
    print(summary(verdicts))
    return 0 if verdicts and all(verdict.agrees for verdict in verdicts) else 1


def _record(verdicts: list[Verdict]) -> None:
    before = agreed.read() if agreed.PATH.exists() else {}
    new = {one.script.name: agreed.digest(one.real.lines) for one in verdicts if one.agrees}
    agreed.write({name: text for name, text in {**before, **new}.items() if name in ALL})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
