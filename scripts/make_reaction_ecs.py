"""Make resources/reaction_ecs.tsv: EC numbers of BiGG reactions.

    python scripts/make_reaction_ecs.py --source SHARED/thermo/derived_bigg_reaction_dG_EC_from_modelseed.tsv.gz

ModelSEED (CC BY 4.0; Seaver et al., Nucleic Acids Res. 49, D575, 2021) names BiGG ids and EC numbers of its reactions.
Superseded numbers are brought to today's with resources/ec/superseded.tsv (ENZYME). Numbers without a class of three
levels are left out: they say nothing of a turnover number.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

from gemforest.evidence.ec import current_ecs, parse_ecs

PLACE = Path(__file__).resolve().parents[1] / "resources"


def main() -> None:
    """Write the resource."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    found: dict[str, set[str]] = {}
    with gzip.open(parser.parse_args().source, "rt", encoding="utf-8") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            numbers = {new for ec in parse_ecs(row["ec"]).numbers for new in current_ecs(ec)}
            kept = {ec for ec in numbers if "-" not in ec.split(".")[:3]}
            if row["is_obsolete"] == "0" and kept:
                found.setdefault(row["bigg_reaction"], set()).update(kept)
    with (PLACE / "reaction_ecs.tsv").open("w", encoding="utf-8", newline="") as handle:
        handle.write("reaction\tec\n")
        handle.writelines(f"{reaction}\t{' '.join(sorted(found[reaction]))}\n" for reaction in sorted(found))
    print(f"{len(found)} reactions")


if __name__ == "__main__":
    main()
