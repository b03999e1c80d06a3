"""`make fuzz-rules SEED=… N=…`: about N generated rules for every tool; what was read otherwise than written, and exit
code 1 when there is any."""

from __future__ import annotations

import argparse
import sys

from tests.rulegen.check import Result, everything
from tests.rulegen.namespace import Namespace


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rulegen")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rules", type=int, default=1000, help="for each tool and IP version")
    chosen = parser.parse_args()
    whole = Result()
    with Namespace() as space:
        for name, result in everything(space, chosen.seed, chosen.rules):
            print(
                f"{name}: {result.rules} rules of {result.features} conditions and targets, "
                f"{len(result.refused)} refused, {len(result.wrong)} wrong"
            )
            whole.add(result)
    for said in whole.refused:
        print(f"refused: {said}", file=sys.stderr)
    for said in whole.wrong:
        print(said)
    return 1 if whole.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
