"""Which proteins that the default encoder may have been fitted on are above 90 % identical to a CARE query after all.

    python scripts/check_encoder_exclusions.py --data ../shared/data --work FOLDER

The proteins to fit on are gathered again from the data and `resources/encoder/exclusions.json`, whose checksum of them
must agree. DIAMOND then searches all CARE queries among them, more sensitively than the search that left them out, and
without masking: masked residues count as different, and the search of the training took 90.8 % for 88.7 %.
`resources/encoder/exclusions_check.json` keeps what it found. `bench_encoder.py` leaves the queries in it out of every
figure, and `tests/unit/test_encoder_training.py` holds it against the lists. Hits in the work folder are used again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import train_encoder as training

ENCODER = Path(__file__).resolve().parents[1] / "resources" / "encoder"
SEARCH = ["--sensitive", "--id", "50", "-k", "0", "-e", "1e-3", "--masking", "0"]
# Of the shorter protein; a common motif of twenty residues makes no relative.
COVERED = 50.0


def fitted_on(data: Path, said: dict[str, object]) -> training.Labelled:
    """The proteins that were not left out.

    Raises
    ------
    SystemExit
        Their checksum is not the one in the list of exclusions.
    """
    everything = training.labelled(data)
    out = set(said["left_out"])  # type: ignore[call-overload]
    kept = [row for row, name in enumerate(everything.ids) if name not in out]
    found = training.Labelled(*([column[n] for n in kept] for column in (everything.ids, everything.sequences)), [])
    if checksum(found.sequences) != said["kept_sha256"]:
        sys.exit(f"expected proteins with checksum {said['kept_sha256']}, found {checksum(found.sequences)}")
    return found


def checksum(sequences: list[str]) -> str:
    """As `train_encoder.py` writes it down."""
    return hashlib.sha256("\n".join(sorted(sequences)).encode()).hexdigest()


def hits(queries: dict[str, str], kept: training.Labelled, work: Path, threads: int) -> list[list[str]]:
    """DIAMOND's hits: query, row, identity, length of the alignment, lengths of both."""
    work.mkdir(parents=True, exist_ok=True)
    asked, rows, found = work / "care.faa", work / "kept.faa", work / "check.tsv"
    if found.exists():
        return [line.split("\t") for line in found.read_text().splitlines()]
    asked.write_text("".join(f">{name}\n{text}\n" for name, text in queries.items()))
    rows.write_text("".join(f">{number}\n{text}\n" for number, text in enumerate(kept.sequences)))
    common = ["--threads", str(threads), "--quiet"]
    subprocess.run(["diamond", "makedb", "--in", rows, "--db", work / "kept", *common], check=True)
    columns = ["qseqid", "sseqid", "pident", "length", "qlen", "slen"]
    search = ["diamond", "blastp", "--query", asked, "--db", work / "kept", *SEARCH, *common]
    subprocess.run([*search, "--out", work / "partial", "--outfmt", "6", *columns], check=True)
    (work / "partial").rename(found)
    return [line.split("\t") for line in found.read_text().splitlines()]


def main() -> int:
    """Search, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data (shared/data)")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=ENCODER / "exclusions_check.json")
    args = parser.parse_args()
    exclusions = (ENCODER / "exclusions.json").read_bytes()
    said = json.loads(exclusions)
    queries, kept = training.care_queries(args.data), fitted_on(args.data, said)
    found = hits(queries, kept, args.work, args.threads)
    covering = [hit for hit in found if 100 * int(hit[3]) >= COVERED * min(int(hit[4]), int(hit[5]))]
    above = [[hit[0], kept.ids[int(hit[1])], float(hit[2])] for hit in found if float(hit[2]) > training.IDENTITY_LIMIT]
    version = subprocess.run(["diamond", "version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    record = {
        "exclusions_sha256": hashlib.sha256(exclusions).hexdigest(),
        "kept_sha256": said["kept_sha256"],
        "kept": len(kept.ids),
        "queries": len(queries),
        "search": f"diamond {version} blastp {' '.join(SEARCH)}",
        "alignments_at_50_percent": len(found),
        "highest_identity": max((float(hit[2]) for hit in found), default=0.0),
        "highest_identity_over_half_of_the_shorter": max((float(hit[2]) for hit in covering), default=0.0),
        "above_90_percent": sorted(above),
    }
    args.json.write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
