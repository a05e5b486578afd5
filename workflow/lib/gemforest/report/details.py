"""One genome: everything its page shows, as compact JSON made from its rows of the atlas.

A shard is worked on by itself, so that shards are done side by side and again only where their parts have changed.
Reactions are places in a list of the shard's. What a stage did not write is left out, and the page says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gemforest.ledger import LedgerRow
from gemforest.report.page import pack
from gemforest.report.parts import Genomes, Parts, by_genome, significant
from gemforest.report.runfacts import by_genome_id, read_rows
from gemforest.store import MODEL_FOLDERS, Store, digest
from gemforest.tables import TABLES

MOST_CONFLICTS = 200
LEAST_CERTAIN = 25
WIDTH_QUANTILES = 41
# Below this a flux range is a point: the solver's tolerance.
NO_WIDTH = 1e-9
NO_FLUX = 1e-9
TUNING = ("what", "reaction", "direction", "before", "after", "method", "reason")
CONFLICTS = ("contradiction", "same_ec3", "multifunctional")

ONE_ROW = ("genomes", "gene_sets", "lineages", "drafts", "summary")
READ = {
    "quality": None,
    "gene_reactions": ["genome_id", "gene_id", "reaction", "ec", "probability", "decision", "conflict", "evidence"],
    "draft_reactions": ["genome_id", "reaction", "in_draft", "why"],
    "model_reactions": ["genome_id", "reaction", "origin", "gpr"],
    "gapfills": None,
    "fba": ["genome_id", "medium", "condition", "status", "reaction", "kind", "flux"],
    "ec_fba": ["genome_id", "medium", "condition", "status", "reaction", "flux"],
    "fva": ["genome_id", "condition", "reaction", "fraction", "minimum", "maximum", "loopless"],
    "ec_fva": ["genome_id", "condition", "reaction", "fraction", "minimum", "maximum"],
    "knockouts": ["genome_id", "kind", "target", "medium", "condition", "growth_ratio", "essential"],
    "screens": [
        "genome_id",
        "screen",
        "condition",
        "compound",
        "answer",
        "growth_per_h",
        "flux",
        "growth_score",
        "weakest_links",
    ],
    "kcats": ["genome_id", "tier", "log10_kcat"],
    "ec_summary": None,
    "ec_tuning": None,
    "dark_enzymes": ["genome_id", "gene_id", "neighbour", "distance", "reaction", "probability"],
    "proteins": ["genome_id", "gene_id", "description"],
}


# Raised by hand whenever the details of the same parts are written in another way.
FORM = 3


def shard_blocks(root: Path, shard: str) -> dict[str, str]:
    """Packed blocks of a shard: `reactions@SHARD`, and `genome/ID` of each of its genomes."""
    parts = Parts(Store(root), (shard,))
    genomes = parts.genomes()
    model = parts.read("model_reactions", shard, ["reaction"])
    reactions = sorted(pc.unique(model["reaction"]).to_pylist()) if model is not None else []
    places = {name: place for place, name in enumerate(reactions)}
    ledger = by_genome_id(read_rows(parts))
    blocks = {f"reactions@{shard}": pack(reactions)}
    for genome_id, details in _shard_details(parts, shard, genomes, places, ledger):
        blocks[f"genome/{genome_id}"] = pack(details)
    return blocks


def shard_stamp(root: Path, shard: str) -> str:
    """Changes whenever a part of the atlas that the shard's blocks are made of was written again."""
    store = Store(root)
    states = []
    for name in ("ledger", *ONE_ROW, *READ):
        path = store.atlas_path(name, shard)
        state = path.stat() if path.exists() else None
        states.append([name, state and state.st_size, state and state.st_mtime_ns])
    return digest([FORM, states])


def _shard_details(
    parts: Parts,
    shard: str,
    genomes: Genomes,
    reactions: Mapping[str, int],
    ledger: Mapping[str, list[LedgerRow]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    tables = {name: by_genome(parts.read(name, shard, columns)) for name, columns in READ.items()}
    single = {name: _single_rows(parts.read(name, shard)) for name in ONE_ROW}
    there = {name for name in (*ONE_ROW, *READ) if parts.store.atlas_path(name, shard).exists()}
    files = _Files(parts, shard)
    for place, genome_id in enumerate(genomes.ids):
        rows = {name: found[genome_id] for name, found in tables.items() if genome_id in found}
        details = {
            "tables": sorted(there),
            "ledger": [_ledger(row) for row in ledger.get(genome_id, [])],
            "files": files.of(genome_id),
            "sheet": {k: v for k, v in genomes.rows[place].items() if v and k not in ("fingerprint", "genome_id")},
        }
        details |= {name: found[genome_id] for name, found in single.items() if genome_id in found}
        yield genome_id, details | _from_tables(rows, reactions)


def _from_tables(rows: Mapping[str, pa.Table], reactions: Mapping[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    descriptions = _descriptions(rows.get("proteins"))
    if "quality" in rows:
        found["quality"] = _listed(rows["quality"], ("measure", "value", "unit", "flagged", "detail"))
    if "gene_reactions" in rows:
        found["evidence"] = _evidence(rows["gene_reactions"], descriptions)
    if "draft_reactions" in rows:
        kept = rows["draft_reactions"].filter(rows["draft_reactions"]["in_draft"])
        found["why"] = _counts(kept["why"])
    if "model_reactions" in rows:
        found["model"] = _model(rows["model_reactions"], reactions)
        found["gapfills"] = _gapfills(rows.get("gapfills"))
    for name in ("fba", "ec_fba"):
        if name in rows:
            found[name] = _fluxes(rows[name], reactions)
    if "fva" in rows:
        found["fva"] = _ranges(rows["fva"], rows.get("ec_fva"))
    if "knockouts" in rows:
        found["knockouts"] = _knockouts(rows["knockouts"], descriptions)
    if "screens" in rows:
        found["screens"] = _screens(rows["screens"])
    if "kcats" in rows:
        found["kcats"] = _kcats(rows["kcats"])
    if "ec_summary" in rows:
        found["ec_summary"] = _listed(rows["ec_summary"], ("measure", "value", "unit", "flagged", "detail"))
    if "ec_tuning" in rows:
        found["ec_tuning"] = _listed(rows["ec_tuning"], TUNING)
    if "dark_enzymes" in rows:
        columns = ("gene_id", "neighbour", "distance", "reaction", "probability")
        found["dark_enzymes"] = _listed(rows["dark_enzymes"].slice(0, MOST_CONFLICTS), columns)
    return found


def _ledger(row: LedgerRow) -> list[Any]:
    return [row.stage, row.outcome, row.reason, row.detail, significant(row.seconds), significant(row.peak_mb, 4)]


def _single_rows(part: pa.Table | None) -> dict[str, dict[str, Any]]:
    """Tables of one row per genome: what is known, by genome."""
    return {row["genome_id"]: _known(row) for row in part.to_pylist()} if part is not None else {}


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("genome_id", "shard") or value is None or value == "":
            continue
        known[name] = significant(value, 6) if isinstance(value, float) else value
    if "tags" in known:
        known["tags"] = dict(known["tags"])
    return known


def _listed(rows: pa.Table, columns: tuple[str, ...]) -> list[list[Any]]:
    values = [_plain(rows[name]) for name in columns]
    return [list(row) for row in zip(*values, strict=True)]


def _plain(column: pa.ChunkedArray) -> list[Any]:
    values = column.to_pylist()
    return [significant(v) for v in values] if pa.types.is_floating(column.type) else values


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(row["values"]): row["counts"] for row in pc.value_counts(column).to_pylist()}


def _descriptions(proteins: pa.Table | None) -> dict[str, str]:
    if proteins is None:
        return {}
    return dict(zip(proteins["gene_id"].to_pylist(), proteins["description"].to_pylist(), strict=True))


def _evidence(calls: pa.Table, descriptions: Mapping[str, str]) -> dict[str, Any]:
    """What the accepted calls rest on, how sure they are, and which of them a person should look at."""
    accepted = calls.filter(pc.equal(calls["decision"], "accepted"))
    probabilities = accepted["probability"].to_numpy()
    by_conflict = calls.filter(pc.is_in(calls["conflict"], pa.array(CONFLICTS[:2])))
    least = accepted.take(pc.sort_indices(accepted, [("probability", "ascending")])[:LEAST_CERTAIN])
    conflicts = by_conflict.take(pc.sort_indices(by_conflict, [("probability", "descending")])[:MOST_CONFLICTS])
    return {
        "decisions": _counts(calls["decision"]),
        "conflicts": _counts(accepted["conflict"]),
        "sources": _source_sets(accepted),
        "genes": len(pc.unique(accepted["gene_id"])),
        "histogram": np.histogram(probabilities[np.isfinite(probabilities)], bins=20, range=(0, 1))[0].tolist(),
        "conflict_count": by_conflict.num_rows,
        "conflict_rows": _calls(conflicts, descriptions),
        "least_certain": _calls(least, descriptions),
    }


def _source_sets(calls: pa.Table) -> dict[str, int]:
    """Accepted calls by the set of sources that speak for them, such as `D` or `D+N`."""
    evidence = calls["evidence"].combine_chunks()
    owner = np.asarray(pc.list_parent_indices(evidence))
    source = pc.list_flatten(evidence).field("source").dictionary_encode()
    letters = source.dictionary.to_pylist()
    bits = np.zeros(calls.num_rows, dtype=np.int64)
    np.bitwise_or.at(bits, owner, 1 << np.asarray(source.indices).astype(np.int64))
    found: Counter[str] = Counter()
    for value, count in zip(*(a.tolist() for a in np.unique(bits, return_counts=True)), strict=True):
        found["+".join(sorted(letter for i, letter in enumerate(letters) if value >> i & 1)) or "none"] += count
    return dict(found)


def _calls(calls: pa.Table, descriptions: Mapping[str, str]) -> list[list[Any]]:
    listed = []
    for row in calls.to_pylist():
        said = "; ".join(
            f"{item['source']}: {item['target']}"
            + (f" ({item['identity_percent']:.0f} % identity)" if item["identity_percent"] is not None else "")
            for item in row["evidence"] or []
        )
        gene = row["gene_id"]
        listed.append(
            [
                gene,
                descriptions.get(gene) or "",
                row["reaction"],
                significant(row["probability"], 4),
                row["decision"],
                row["conflict"],
                said,
            ]
        )
    return listed


def _model(rows: pa.Table, reactions: Mapping[str, int]) -> dict[str, Any]:
    """Reactions as places in the shard's list; letters: g with a gene rule, f gap-filled, n neither."""
    columns = (rows[name].to_pylist() for name in ("reaction", "origin", "gpr"))
    held = [(reactions[r], "f" if o == "gapfill" else "g" if gpr else "n") for r, o, gpr in zip(*columns, strict=True)]
    return {"reactions": [place for place, _ in held], "letters": "".join(letter for _, letter in held)}


def _gapfills(rows: pa.Table | None) -> list[list[Any]]:
    columns = ("reaction", "medium", "probability", "candidate_genes", "unblocks", "cost", "frequency", "flags")
    return [] if rows is None else _listed(rows, columns)


def _fluxes(rows: pa.Table, reactions: Mapping[str, int]) -> list[dict[str, Any]]:
    """One entry per medium and condition; fluxes of reactions in the list, and of exchanges by name."""
    found = []
    keys = rows.select(["medium", "condition", "status"]).group_by(["medium", "condition", "status"]).aggregate([])
    for key in sorted(keys.to_pylist(), key=lambda k: (str(k["condition"]), str(k["medium"]), str(k["status"]))):
        mask = pc.and_(pc.equal(rows["medium"], key["medium"]), pc.equal(rows["condition"], key["condition"]))
        chosen = rows.filter(mask)
        places, fluxes, exchanges = [], [], []
        for reaction, flux in zip(chosen["reaction"].to_pylist(), chosen["flux"].to_pylist(), strict=True):
            if flux is None or abs(flux) < NO_FLUX:
                continue
            if reaction.startswith("EX_"):
                exchanges.append([reaction, significant(flux)])
            elif reaction in reactions:
                places.append(reactions[reaction])
                fluxes.append(significant(flux))
        growth = None
        if "kind" in chosen.column_names:
            biomass = chosen.filter(pc.equal(chosen["kind"], "biomass"))
            growth = significant(biomass["flux"][0].as_py()) if biomass.num_rows else None
        found.append({**key, "growth": growth, "reactions": places, "fluxes": fluxes, "exchanges": exchanges})
    return found


def _ranges(plain: pa.Table, constrained: pa.Table | None) -> list[dict[str, Any]]:
    """Widths of flux ranges per condition, as quantiles of what can vary; beside them with enzyme constraints."""
    found = []
    for condition in sorted(set(plain["condition"].to_pylist())):
        rows = plain.filter(pc.equal(plain["condition"], condition))
        width = _width(rows)
        entry = {
            "condition": condition,
            "fraction": rows["fraction"][0].as_py(),
            "loopless": rows["loopless"][0].as_py(),
            "plain": _quantiles(width),
        }
        if constrained is not None:
            limited = constrained.filter(pc.equal(constrained["condition"], condition))
            both = dict(zip(limited["reaction"].to_pylist(), _width(limited).tolist(), strict=True))
            shared = np.array([both.get(name, np.nan) for name in rows["reaction"].to_pylist()])
            entry["enzymes"] = _quantiles(shared)
        found.append(entry)
    return found


def _width(rows: pa.Table) -> np.ndarray:
    minimum = pc.cast(rows["minimum"], pa.float64()).to_numpy()
    return np.asarray(pc.cast(rows["maximum"], pa.float64()).to_numpy() - minimum, dtype=float)


def _quantiles(width: np.ndarray) -> dict[str, Any]:
    known = width[np.isfinite(width)]
    open_ = known[known > NO_WIDTH]
    quantiles = np.quantile(open_, np.linspace(0, 1, WIDTH_QUANTILES)).tolist() if len(open_) else []
    return {
        "reactions": len(known),
        "fixed": len(known) - len(open_),
        "median": significant(float(np.median(open_))) if len(open_) else None,
        "quantiles": [significant(q, 4) for q in quantiles],
    }


def _knockouts(rows: pa.Table, descriptions: Mapping[str, str]) -> dict[str, Any]:
    essential = rows.filter(pc.fill_null(rows["essential"], False))
    listed = []
    for row in essential.to_pylist():
        target = row["target"]
        listed.append([target, descriptions.get(target) or "", row["kind"], row["condition"], row["growth_ratio"]])
    return {"tried": _counts(rows["kind"]), "essential": [[*row[:4], significant(row[4], 4)] for row in listed]}


def _screens(rows: pa.Table) -> dict[str, Any]:
    """Compounds that the model can exchange; of the others only how many."""
    columns = ("screen", "condition", "compound", "answer", "growth_per_h", "flux", "growth_score", "weakest_links")
    listed = _listed(rows, columns)
    return {
        "rows": [row for row in listed if row[3] != "not_in_model"],
        "not_in_model": dict(Counter(row[0] for row in listed if row[3] == "not_in_model")),
    }


def _kcats(rows: pa.Table) -> list[list[Any]]:
    """Per tier: how many turnover numbers, and their quartiles in 1/s."""
    tiers = []
    for tier in ("user", "measured", "predicted", "predicted_no_structure", "ec_class", "global"):
        values = rows.filter(pc.equal(rows["tier"], tier))["log10_kcat"].to_numpy()
        if len(values):
            tiers.append([tier, len(values), *[significant(10**q, 3) for q in np.quantile(values, [0.25, 0.5, 0.75])]])
    return tiers


class _Files:
    """Which files of a shard's genomes lie in the results; each folder is read once."""

    def __init__(self, parts: Parts, shard: str) -> None:
        root = parts.store.root
        names = [*reversed(MODEL_FOLDERS), *TABLES]
        folders = {name: root / name / f"shard={shard}" for name in names}
        self.shard = shard
        self.there = {
            name: {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
            for name, folder in folders.items()
        }

    def of(self, genome_id: str) -> list[str]:
        """Paths below the results folder, models first."""
        found = []
        for folder, names in self.there.items():
            name = genome_id + (".xml.gz" if folder in MODEL_FOLDERS else ".parquet")
            if name in names:
                found.append(f"{folder}/shard={self.shard}/{name}")
        return found
