"""Source E on CARE's test sets (Yang et al. 2024), its queries taken out of the reference.

    python scripts/bench_enzymes.py --care ../shared/data/ec --json tests/bench/enzymes.json

A query is right at a level where a predicted number shares that many fields with a true one; no prediction is wrong.
Beside it the result that CARE publishes for DIAMOND, whose reference is all of Swiss-Prot, on the same queries.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from gemforest.evidence.ec import current_ecs, level_shared, parse_ecs
from gemforest.evidence.enzymes import predict_ecs
from gemforest.homology import diamond

SETS = ("30", "30-50", "promiscuous")


def right(predicted: Collection[str], true: Collection[str], level: int) -> bool:
    return any(level_shared(a, b) >= level for a in predicted for b in true)


def today(text: str) -> list[str]:
    return [ec for number in parse_ecs(text).numbers for ec in current_ecs(number)]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def judge(name: str, care: Path) -> list[dict[str, object]]:
    queries = rows(care / f"care_{name}_test.csv")
    published = {row["Entry"]: today(row["0"]) for row in rows(care / f"care_{name}_diamond_result.csv")}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "query.faa"
        fasta.write_text("".join(f">{row['Entry']}\n{row['Sequence']}\n" for row in queries))
        excluded = {row["Entry"] for row in queries} | {row["Sequence"] for row in queries}
        found = predict_ecs(fasta, diamond(), Path(folder), excluded)
    ours: dict[str, list[str]] = {}
    for one in found:
        ours.setdefault(one.query, []).append(one.ec)
    true = {row["Entry"]: today(re.sub(r"[\s,]+", ";", row["EC number"])) for row in queries}
    records = []
    for level in (4, 3, 2, 1):
        value = sum(right(ours.get(q, []), ecs, level) for q, ecs in true.items()) / len(true)
        peer = sum(right(published.get(q, []), ecs, level) for q, ecs in true.items()) / len(true)
        records.append(
            {
                "what": f"EC to level {level}, CARE {name}",
                "value": round(value, 4),
                "unit": "share of queries",
                "peer": "DIAMOND against all of Swiss-Prot, as CARE publishes it",
                "peer_value": round(peer, 4),
                "queries": len(true),
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    return records


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--care", type=Path, required=True, help="folder of care_*_test.csv")
    options.add_argument("--only", choices=SETS, help="one test set")
    options.add_argument("--quick", action="store_true", help="the first test set alone")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    chosen = [given.only] if given.only else SETS[:1] if given.quick else SETS
    records = [record for name in chosen for record in judge(name, given.care)]
    for record in records:
        print(record)
    if given.json:
        given.json.write_text(json.dumps({"machine": {}, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
