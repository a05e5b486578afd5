"""The long fault campaign: what struck, and whether every promise was kept.

    python scripts/bench_faults.py --notes results/faults.jsonl --json tests/bench/faults.json

Each seed is a project of its own; the first half of the seeds keeps a file per genome, the other packs its tables.
Every round is noted as it ends, with the commit that it struck, and a campaign that was broken off goes on after the
last one noted. `--summary` only counts the notes. A note may be given `mended`, a commit that mended what it found: it
is listed apart, and the round may be played again. With root also full disks and read-only folders.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "faults")]

from campaign import AT_REST, FAULTS, GENOMES, bombard, known_hits, rounds  # noqa: E402

SHARD_SIZE = 3
STORAGES = ("files", "packed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--storages", choices=STORAGES, nargs="+", help="of each seed, in turn")
    parser.add_argument("--faults", type=int, default=50, help="of each seed")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further round after so long")
    parser.add_argument("--quick", action="store_true", help="one seed, one round of four")
    parser.add_argument("--only", choices=sorted(FAULTS), action="append", default=[], help="kinds of faults")
    parser.add_argument("--notes", type=Path, default=Path("results/faults.jsonl"))
    parser.add_argument("--summary", action="store_true", help="start nothing, count what was noted")
    parser.add_argument("--json", type=Path, help="write the summary here")
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.seeds, parsed.faults = parsed.seeds[:1], 4
    half = (len(parsed.seeds) + 1) // 2
    storages = parsed.storages or [STORAGES[number >= half] for number in range(len(parsed.seeds))]
    if not parsed.summary:
        parsed.notes.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + 60 * parsed.minutes
        for number, seed in enumerate(parsed.seeds):
            if time.monotonic() < end:
                play(seed, storages[number % len(storages)], parsed.faults, parsed.only, parsed.notes, end)
    every = [json.loads(line) for line in parsed.notes.read_text(encoding="utf-8").splitlines()]
    notes = [note for note in every if not note.get("mended")]
    summary = summarise(notes)
    for record in summary:
        print(
            "{storage:7} {what:12} struck {value:4}, came too late {missed:3}, broke a promise {broken}".format(
                **record
            )
        )
    if parsed.json:
        mended = [note for note in every if note.get("mended")]
        told = {"machine": machine(), "records": summary, "rounds": notes, "mended_since": mended}
        parsed.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return int(any(note["broken"] for note in notes))


def play(seed: int, storage: str, faults: int, only: Sequence[str], notes: Path, end: float) -> None:
    """Play the rounds of a seed that are not noted yet."""
    lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    done = {(note["seed"], note["storage"], note["round"]) for note in map(json.loads, lines) if not note.get("mended")}
    planned = dict(enumerate(rounds(faults, random.Random(seed), only)))
    left = {number: names for number, names in planned.items() if (seed, storage, number) not in done}
    if not left:
        return
    with tempfile.TemporaryDirectory(prefix="gemforest-faults-") as name:
        folder = Path(name)
        started = time.monotonic()
        for number, played in bombard(folder, known_hits(folder), seed, left, SHARD_SIZE, storage):
            note = {"seed": seed, "storage": storage, "round": number, "struck": played.struck}
            note |= {"missed": played.missed, "broken": played.broken, "commit": commit()}
            note |= {"seconds": round(time.monotonic() - started, 1)}
            started = time.monotonic()
            with notes.open("a", encoding="utf-8") as out:
                out.write(json.dumps(note) + "\n")
            print(f"seed {seed}, round {number}, {storage}: {played.broken or list(played.struck)}", flush=True)
            if time.monotonic() > end:
                break


def summarise(notes: Sequence[dict[str, Any]]) -> list[dict[str, object]]:
    """Faults by storage and kind."""
    records: list[dict[str, object]] = []
    for storage in STORAGES:
        chosen = [note for note in notes if note["storage"] == storage]
        struck = Counter(kind for note in chosen for kind in note["struck"])
        missed = Counter(kind for note in chosen for kind in note["missed"])
        broken = Counter(kind for note in chosen for kind in note["struck"] if note["broken"])
        for kind in [kind for kind in FAULTS if struck[kind] + missed[kind]] if chosen else []:
            sort = "at rest" if kind in AT_REST else "at work"
            records.append(
                {"what": kind, "value": struck[kind], "unit": "faults", "storage": storage, "sort": sort}
                | {"missed": missed[kind], "broken": broken[kind]}
            )
        if chosen:
            records.append(
                {"what": "all", "value": struck.total(), "unit": "faults", "storage": storage, "sort": "all"}
                | {"missed": missed.total(), "broken": sum(bool(note["broken"]) for note in chosen)}
                | {"rounds": len(chosen), "seeds": sorted({note["seed"] for note in chosen})}
                | {"genomes": GENOMES, "genomes_lost": sum("lost" in note["broken"] for note in chosen)}
            )
    return records


def commit() -> str:
    """The code that was struck; empty outside a repository."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def machine() -> dict[str, object]:
    return {"system": platform.platform(), "python": platform.python_version()}


if __name__ == "__main__":
    sys.exit(main())
