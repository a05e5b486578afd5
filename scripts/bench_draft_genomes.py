"""Draft every genome of some folders and print what became of each: universe, seconds, sum, bound, outcome.

    python scripts/bench_draft_genomes.py --work FOLDER [--quick] [--only NAME] [--json FILE] FOLDER_OR_FILE...

Proteomes, GenBank files and nucleotides (genes are called); hits by DIAMOND, twenty genomes a call, kept under --work
with the proteins, so that a second run carves only. --quick: the first three genomes. --sources: on how many of the
carbon sources of the screen a draft grows, nothing filled, in M9 without glucose. --keep: records that the file of
--json holds already stay and are not made again. Memory is the process's highest while it carves, on Linux.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from gemforest.biomass import open_name
from gemforest.config import complete
from gemforest.content import Limits
from gemforest.draft import STAGE, carving_options, fits_lineage, make_draft
from gemforest.draft.carving import score_sum
from gemforest.draft.same_enzyme import shared_enzymes
from gemforest.errors import GenomeError, RefusedError
from gemforest.evidence import rules_of, scored_beside
from gemforest.evidence.scores import score_reactions
from gemforest.fluxes import growth
from gemforest.genes import read_genes
from gemforest.homology import database, diamond
from gemforest.lineage import decide
from gemforest.media import read_media
from gemforest.models import Network
from gemforest.simulate.screens import Screener, read_compounds
from gemforest.universe import load_universe

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "resources" / "cache"
UPTAKE, THRESHOLD = 10.0, 0.01
"""mmol gDW^-1 h^-1 of a compound that the medium does not limit; growth that counts, per hour."""
POOL = 20
SEARCH = ["--more-sensitive", "--top", "10", "--index-chunks", "1", "--threads", "1", "--quiet"]
FIELDS = ["qseqid", "sseqid", "length", "bitscore", "slen"]
NAMES = ["gene_id", "target", "alignment_length", "bitscore", "target_length"]
Record = dict[str, Any]


def name_of(path: Path) -> str:
    """A name for files: the folder tells a genome's proteins from its nucleotides."""
    return path.name.removesuffix(".gz").replace(".", "_")


def write_proteins(paths: list[Path], work: Path) -> dict[str, str]:
    """Proteins of each genome as FASTA under `work`; genome to why it was refused."""
    refused = {}
    for path in paths:
        out = work / f"{name_of(path)}.faa"
        if out.exists():
            continue
        try:
            proteins = read_genes(path, Limits(max_bytes=10**9)).proteins
        except RefusedError as error:
            refused[name_of(path)] = f"{error.reason}: {error.detail}"
            continue
        pairs = zip(proteins["gene_id"].to_pylist(), proteins["sequence"].to_pylist(), strict=True)
        text = (f">{gene}\n{s if isinstance(s, str) else s.decode()}\n" for gene, s in pairs)
        out.write_text("".join(text))
    return refused


def search(names: list[str], work: Path) -> None:
    """Hits of each genome that has none yet."""
    todo = [name for name in names if (work / f"{name}.faa").exists() and not (work / f"{name}.hits").exists()]
    for first in range(0, len(todo), POOL):
        part = todo[first : first + POOL]
        query, out = work / "pool.faa", work / "pool.tsv"
        query.write_text("".join((work / f"{name}.faa").read_text().replace(">", f">{name}|") for name in part))
        command = [diamond(), "blastp", "--db", str(database()), "--query", str(query), "--out", str(out), *SEARCH]
        subprocess.run([*command, "--outfmt", "6", *FIELDS], check=True)
        lines: dict[str, list[str]] = {name: [] for name in part}
        for line in out.read_text().splitlines(keepends=True):
            name, _, rest = line.partition("|")
            lines[name].append(rest)
        for name in part:
            (work / f"{name}.hits").write_text("".join(lines[name]))


def sources_of(network: Network) -> int:
    """Carbon sources on which a network grows in M9 without glucose."""
    base = read_media(ROOT / "config" / "media.tsv").uptakes("M9", UPTAKE)
    assert base is not None
    compounds = read_compounds(ROOT / "resources" / "screen_compounds.tsv")["carbon"]
    screener = Screener(network, base, set(compounds), UPTAKE, THRESHOLD)
    return sum(result.answer == "growth" for result in screener.sources("carbon", compounds))


def forget_peak() -> None:
    """Let the kernel's mark of the highest memory start anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> int:
    """Highest memory since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)


def draft_of(name: str, work: Path, biomass: str, sources: bool) -> Record:
    """Decide the universe, score, carve, and tell."""
    types = {"gene_id": pa.string(), "target": pa.string(), "bitscore": pa.float64()}
    types |= {"alignment_length": pa.int32(), "target_length": pa.int32()}
    hits = pacsv.read_csv(
        work / f"{name}.hits",
        pacsv.ReadOptions(column_names=NAMES),
        pacsv.ParseOptions(delimiter="\t", quote_char=False),
        pacsv.ConvertOptions(column_types=types),
    )
    row: Record = {"what": f"draft, {name}", "unit": "score"}
    row["proteins"] = (work / f"{name}.faa").read_text().count(">")
    try:
        universe = decide(hits, row["proteins"]).universe
        load_universe(open_name(universe), CACHE)
        genes, targets = np.array(hits["gene_id"].to_pylist(), dtype=object), np.array(hits["target"].to_pylist())
        columns = genes, targets, hits["bitscore"].to_numpy()
        scored = score_reactions(rules_of(universe, CACHE), *columns)
        scored += scored_beside(universe, scored, columns, CACHE)
        scores = {s.reaction: s.normalized_score for s in scored}
        parameters = STAGE.settings(complete({})) | {"draft.biomass": biomass}
        if fits_lineage(parameters):
            gprs = {s.reaction: s.gpr for s in scored}
            scores |= {r: scores[source] for r, source in shared_enzymes(gprs, scores).items()}
        forget_peak()
        began = time.process_time()
        draft = make_draft(universe, scores, {}, carving_options(parameters, CACHE), parameters, CACHE)
        row["cpu_seconds"] = round(time.process_time() - began, 2)
        row["peak_mb"] = peak_mb()
    except (GenomeError, RefusedError) as error:
        return row | {"value": None, "outcome": f"{error.reason}: {error.detail}"}
    carving = draft.carving
    if sources:
        row["carbon_sources"] = sources_of(draft.network)
    return row | {
        "value": round(score_sum(draft.network, scores, parameters["draft.default_score"]), 1),
        "bound": round(carving.bound, 1),
        "universe": draft.name,
        "reactions": len(carving.reactions),
        "cannot_run": len(carving.reactions) - len(draft.direction),
        "growth_per_h": round(growth(draft.network)[1], 2),
        "method": carving.method,
        "limit_fired": carving.limit_fired,
        "outcome": "ok",
    }


def bench(paths: list[Path], work: Path, biomass: str, sources: bool) -> Iterator[Record]:
    """A record for each genome."""
    refused = write_proteins(paths, work)
    names = [name_of(path) for path in paths]
    search(names, work)
    for name in names:
        if name in refused:
            yield {"what": f"draft, {name}", "value": None, "unit": "score", "outcome": refused[name]}
        else:
            yield draft_of(name, work, biomass, sources)


def told(records: list[Record]) -> str:
    """The table: a line for each genome."""
    keys = ("universe", "proteins", "cpu_seconds", "peak_mb", "value", "bound", "method", "limit_fired", "outcome")
    lines = [["genome", *keys]]
    lines += [[r["what"].removeprefix("draft, "), *(str(r.get(key, "")) for key in keys)] for r in records]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genomes", type=Path, nargs="+", help="files, or folders of them")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps proteins and hits")
    parser.add_argument("--quick", action="store_true", help="the first three genomes")
    parser.add_argument("--sources", action="store_true", help="also: on how many carbon sources the draft grows")
    parser.add_argument("--biomass", choices=("auto", "universe"), default="auto")
    parser.add_argument("--only", default="", help="beginning of a file's name")
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--keep", action="store_true", help="keep what the file of --json holds, make the rest")
    arguments = parser.parse_args()
    found = [p for given in arguments.genomes for p in (sorted(given.iterdir()) if given.is_dir() else [given])]
    paths = [p for p in found if p.name.startswith(arguments.only) and p.is_file()][: 3 if arguments.quick else None]
    arguments.work.mkdir(parents=True, exist_ok=True)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    machine |= {package: metadata.version(package) for package in ("highspy", "carveme")}
    kept = arguments.keep and arguments.json is not None and arguments.json.exists()
    records = json.loads(arguments.json.read_text())["records"] if kept else []
    have = {record["what"] for record in records}
    paths = [path for path in paths if f"draft, {name_of(path)}" not in have]
    for record in bench(paths, arguments.work, arguments.biomass, arguments.sources):
        print(json.dumps(record), flush=True)
        records.append(record)
        records.sort(key=lambda record: str(record["what"]))
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")
    print(told(records))


if __name__ == "__main__":
    main()
