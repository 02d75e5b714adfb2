"""`make doctor`: which tests this machine can run, and what to install for the others."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Final

from tests.conftest import tier_needs
from tools.run_tests import folders

PACKAGE: Final = re.compile(r"apt-get install (\S+)")
SHELLCHECK: Final = "shellcheck is missing: apt-get install shellcheck"


def main() -> int:
    needs = {"shell scripts": [] if shutil.which("shellcheck") else [SHELLCHECK], **tier_needs()}
    always = ["check", *folders()]
    for tier in always:
        print(f"{tier}: runs here")
    for tier, lacking in needs.items():
        print(f"{tier}: {'; '.join(lacking) if lacking else 'runs here'}")
    sentences = [sentence for lacking in needs.values() for sentence in lacking]
    packages = sorted({name for sentence in sentences for name in PACKAGE.findall(sentence)})
    if packages:
        print(f"To run all of them: apt-get install {' '.join(packages)}")
    run = [*always, *(tier for tier in tier_needs() if not needs[tier])]
    missing = [tier for tier, lacking in needs.items() if lacking and tier != "shell scripts"]
    print(f"doctor: tiers_run={','.join(run)} tiers_missing={','.join(missing) or 'none'}")
    return 1 if sentences and os.environ.get("REQUIRE") == "all" else 0


if __name__ == "__main__":
    sys.exit(main())
