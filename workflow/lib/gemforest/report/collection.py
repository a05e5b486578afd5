"""All genomes together: the table of models, their groups, reaction content, the screens.

Reaction content is the genomes × reactions matrix of `model_reactions` without exchanges. Its principal components are
fitted on at most `PCA_SAMPLE` genomes, evenly spaced over the plan; all genomes are projected. The pan-reactome curve
is the expectation over all orders of genomes in closed form, by rarefaction (Hurlbert 1971, Ecology 52:577) with
genomes as individuals: pan(k) = sum_r 1 - C(n - c_r, k) / C(n, k) and core(k) = sum_r C(c_r, k) / C(n, k), for n
genomes of which c_r hold reaction r.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import gammaln

from gemforest.config import WORKFLOW
from gemforest.ledger import Outcome
from gemforest.report.parts import Genomes, Parts, significant
from gemforest.tables import TABLES

PCA_SAMPLE = 1500
CURVE_POINTS = 40
MOST_LEVELS = 40
RANKS = ("domain", "phylum", "class", "order", "family", "genus", "species")
GTDB_PREFIXES = ("d__", "p__", "c__", "o__", "f__", "g__", "s__")
ANSWER_LETTERS = {
    "growth": "+",
    "needed": "+",
    "secreted": "+",
    "no_growth": "-",
    "not_needed": "-",
    "not_secreted": "-",
    "undecided": "?",
    "not_in_model": ".",
}
NO_ANSWER = " "
TAKEN = {
    "summary": ("universe", "medium", "growth_per_h", "reactions", "genes", "proteins", "gapfilled",
                "reactions_without_genes", "fva_median_width", "essential_genes", "flags"),
    "drafts": ("reactions_without_evidence",),
}  # fmt: skip


@dataclass(frozen=True)
class Content:
    """Which genome's model holds which reaction.

    Attributes
    ----------
    reactions
        r BiGG ids, sorted; exchanges left out.
    present
        n × r, bool.
    gapfilled, without_genes
        r: genomes in which the reaction was added by gap-filling; in which it has no gene rule.
    modelled
        n, bool: the genome has a model.
    """

    reactions: list[str]
    present: np.ndarray
    gapfilled: np.ndarray
    without_genes: np.ndarray
    modelled: np.ndarray


def collection_columns(parts: Parts, genomes: Genomes, ends: Sequence[str]) -> list[dict[str, Any]]:
    """The table of models: a list of columns with key, title, unit, doc, kind and n values."""
    summary = TABLES["summary"].schema
    table = _Columns(parts, genomes)
    table.add("genome_id", "genome", "text", "identity of the genome", genomes.ids)
    table.add("organism", "organism", "text", "organism name from the sheet or the archive", _organisms(parts, genomes))
    table.add("outcome", "outcome", "category", "ok, or the stage that stopped the genome and the reason", list(ends))
    for name, title, kind in (
        ("universe", "universe", "category"),
        ("medium", "medium", "category"),
        ("growth_per_h", "growth", "number"),
        ("reactions", "reactions", "number"),
        ("genes", "genes", "number"),
        ("proteins", "proteins", "number"),
    ):
        table.take("summary", name, title, kind, summary.field(name))
    table.take(
        "drafts",
        "reactions_without_evidence",
        "without evidence",
        "number",
        TABLES["drafts"].schema.field("reactions_without_evidence"),
    )
    for name, title in (
        ("gapfilled", "gap-filled"),
        ("reactions_without_genes", "without genes"),
        ("fva_median_width", "median FVA width"),
        ("essential_genes", "essential genes"),
    ):
        table.take("summary", name, title, "number", summary.field(name))
    flags = table.values("summary", "flags", lambda value: ", ".join(value or []))
    flagged = _flagged_measures(parts, genomes)
    together = [", ".join(part for part in (a, b) if part) for a, b in zip(flags, flagged, strict=True)]
    table.add("flags", "flags", "text", "what a person should look at", together)
    return table.columns


class _Columns:
    """Columns in the making: each is filled from one table, by the genome's place."""

    def __init__(self, parts: Parts, genomes: Genomes) -> None:
        self.parts, self.genomes = parts, genomes
        self.columns: list[dict[str, Any]] = []
        self.raw = {table: self._read(table, names) for table, names in TAKEN.items()}

    def add(self, key: str, title: str, kind: str, doc: str, values: list[Any], unit: str = "") -> None:
        self.columns.append({"key": key, "title": title, "kind": kind, "doc": doc, "unit": unit, "values": values})

    def take(self, table: str, name: str, title: str, kind: str, field: pa.Field) -> None:
        metadata = field.metadata or {}
        values = self.values(table, name, significant if pa.types.is_floating(field.type) else lambda value: value)
        self.add(name, title, kind, metadata.get(b"doc", b"").decode(), values, metadata.get(b"unit", b"").decode())

    def values(self, table: str, name: str, shape: Callable[[Any], Any]) -> list[Any]:
        return [shape(value) for value in self.raw[table][name]]

    def _read(self, table: str, names: Sequence[str]) -> dict[str, list[Any]]:
        values: dict[str, list[Any]] = {name: [None] * len(self.genomes) for name in names}
        for part in self.parts.each(table, ["genome_id", *names]):
            places = self.genomes.indices(part["genome_id"]).tolist()
            for name in names:
                for place, value in zip(places, part[name].to_pylist(), strict=True):
                    if place >= 0:
                        values[name][place] = value
        return values


def _organisms(parts: Parts, genomes: Genomes) -> list[str]:
    names = [tags.get("organism", "") for tags in sheet_tags(genomes)]
    for part in parts.each("genomes", ["genome_id", "organism"]):
        places = genomes.indices(part["genome_id"]).tolist()
        for place, name in zip(places, part["organism"].to_pylist(), strict=True):
            if place >= 0 and name and not names[place]:
                names[place] = name
    return names


def sheet_tags(genomes: Genomes) -> list[dict[str, str]]:
    """Further columns of the sheet, per genome."""
    return [json.loads(row["tags"]) if row.get("tags") else {} for row in genomes.rows]


def _flagged_measures(parts: Parts, genomes: Genomes) -> list[str]:
    flagged: list[list[str]] = [[] for _ in genomes.ids]
    for part in parts.each("quality", ["genome_id", "measure", "flagged"]):
        raised = part.filter(pc.fill_null(part["flagged"], False))
        places = genomes.indices(raised["genome_id"]).tolist() if raised.num_rows else []
        for place, measure in zip(places, raised["measure"].to_pylist(), strict=True):
            if place >= 0:
                flagged[place].append(measure)
    return [", ".join(names) for names in flagged]


def groupings(parts: Parts, genomes: Genomes, columns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ways to colour and group genomes: taxonomic ranks, tags of the sheet, universe, medium.

    Each is {name, kind, levels, codes}; levels by falling size, code -1 where a genome has none. A grouping with one
    level, or with as many levels as genomes, says nothing and is left out.
    """
    taxonomy: list[list[str]] = [[] for _ in genomes.ids]
    for part in parts.each("genomes", ["genome_id", "taxonomy"]):
        places = genomes.indices(part["genome_id"]).tolist()
        for place, lineage in zip(places, part["taxonomy"].to_pylist(), strict=True):
            if place >= 0 and lineage:
                taxonomy[place] = [name.strip() for name in lineage.split(";")]
    found = [_grouping(rank, "taxonomy", values) for rank, values in _ranks(taxonomy)]
    tags = sheet_tags(genomes)
    for name in sorted({key for row in tags for key in row}):
        found.append(_grouping(name, "tag", [row.get(name, "") for row in tags]))
    by_key = {column["key"]: column["values"] for column in columns}
    for key in ("universe", "medium"):
        found.append(_grouping(key, "run", [value or "" for value in by_key[key]]))
    return [group for group in found if len(group["levels"]) > 1 and (group["unique"] < 0.9 or len(genomes) <= 20)]


def _ranks(taxonomy: Sequence[Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Ranks of lineages: by GTDB's prefixes where they are there, else by place, domain first."""
    if not any(taxonomy):
        return []
    prefixed = any(name.startswith(GTDB_PREFIXES) for lineage in taxonomy for name in lineage)
    depth = min(len(RANKS), max(len(lineage) for lineage in taxonomy))
    named = []
    for level, rank in enumerate(RANKS):
        if prefixed:
            prefix = GTDB_PREFIXES[level]
            values = [next((n[3:] for n in lineage if n.startswith(prefix)), "") for lineage in taxonomy]
        elif level < depth:
            values = [lineage[level] if level < len(lineage) else "" for lineage in taxonomy]
        else:
            continue
        named.append((rank, values))
    return named


def _grouping(name: str, kind: str, values: Sequence[str]) -> dict[str, Any]:
    counts = Counter(value for value in values if value)
    levels = [level for level, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    code = {level: place for place, level in enumerate(levels)}
    return {
        "name": name,
        "kind": kind,
        "levels": levels,
        "codes": [code.get(value, -1) for value in values],
        "unique": len(levels) / max(1, len(values)),
    }


def reaction_content(parts: Parts, genomes: Genomes) -> Content:
    """Read `model_reactions` part by part into a matrix."""
    names: set[str] = set()
    pieces = []
    for part in parts.each("model_reactions", ["genome_id", "reaction", "origin", "gpr"]):
        internal = part.filter(pc.invert(pc.starts_with(part["reaction"], "EX_")))
        encoded = internal["reaction"].combine_chunks().dictionary_encode()
        words = encoded.dictionary.to_pylist()
        names.update(words)
        places = genomes.indices(internal["genome_id"])
        filled = pc.equal(internal["origin"], "gapfill").to_numpy()
        bare = pc.equal(pc.fill_null(internal["gpr"], ""), "").to_numpy()
        pieces.append((places, np.asarray(encoded.indices), words, filled, bare))
    reactions = sorted(names)
    column = {name: place for place, name in enumerate(reactions)}
    present = np.zeros((len(genomes), len(reactions)), dtype=bool)
    gapfilled, without_genes = np.zeros(len(reactions), dtype=int), np.zeros(len(reactions), dtype=int)
    for places, codes, words, filled, bare in pieces:
        columns = np.array([column[word] for word in words], dtype=np.int64)[codes]
        known = places >= 0
        present[places[known], columns[known]] = True
        np.add.at(gapfilled, columns[known & filled], 1)
        np.add.at(without_genes, columns[known & bare], 1)
    modelled = np.asarray(present.any(axis=1))
    return Content(reactions, present, gapfilled, without_genes, modelled)


def principal_components(content: Content) -> dict[str, Any] | None:
    """Two principal components of reaction content; None below three models or without any variation.

    Returns
    -------
    {"x", "y": n numbers or None, "explained": two shares of the variance, "loadings": per axis the reactions that push
    hardest, "fitted_on": genomes}
    """
    models = np.flatnonzero(content.modelled)
    if len(models) < 3:
        return None
    sample = models[np.unique(np.linspace(0, len(models) - 1, min(PCA_SAMPLE, len(models))).astype(int))]
    frequency = content.present[sample].mean(axis=0)
    varies = (frequency > 0) & (frequency < 1)
    if varies.sum() < 2:
        return None
    centre = frequency[varies]
    x = content.present[np.ix_(sample, varies)] - centre
    gram = x @ x.T if len(sample) <= x.shape[1] else x.T @ x
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(values)[::-1][:2]
    values, total = np.maximum(values[order], 0), np.trace(gram)
    axes = vectors[:, order]
    if len(sample) <= x.shape[1]:
        axes = x.T @ axes / np.sqrt(np.maximum(values, 1e-12))
    # An axis has no sign of its own: the reaction that pushes hardest points to the right.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    scores = np.full((len(content.modelled), 2), np.nan)
    for start in range(0, len(models), 4096):
        block = models[start : start + 4096]
        scores[block] = (content.present[np.ix_(block, varies)] - centre) @ axes
    names = [name for name, keep in zip(content.reactions, varies, strict=True) if keep]
    loadings = [
        [[names[j], significant(axes[j, axis], 3)] for j in np.argsort(-np.abs(axes[:, axis]), kind="stable")[:6]]
        for axis in (0, 1)
    ]
    return {
        "x": [significant(v) for v in scores[:, 0].tolist()],
        "y": [significant(v) for v in scores[:, 1].tolist()],
        "explained": [significant(v / total) for v in values.tolist()],
        "loadings": loadings,
        "fitted_on": len(sample),
    }


def pan_reactome(counts: np.ndarray, n: int) -> dict[str, Any] | None:
    """Expected pan- and core-reactome over the number of genomes, and how many reactions are how common.

    Parameters
    ----------
    counts
        r: genomes that hold each reaction, at least 1.
    n
        Genomes.
    """
    counts = counts[counts > 0]
    if n < 2 or not len(counts):
        return None
    steps = np.linspace(1, n, n) if n <= CURVE_POINTS else np.geomspace(1, n, CURVE_POINTS)
    sizes = np.unique(steps.round().astype(int))

    def log_choose(total: np.ndarray, k: int) -> np.ndarray:
        total = total.astype(float)
        with np.errstate(invalid="ignore"):
            value = gammaln(total + 1) - gammaln(k + 1) - gammaln(np.maximum(total - k, 0) + 1)
        return np.where(total >= k, value, -np.inf)

    pan, core = [], []
    for k in sizes.tolist():
        whole = log_choose(np.array([n]), k)[0]
        pan.append(float(np.sum(1 - np.exp(log_choose(n - counts, k) - whole))))
        core.append(float(np.sum(np.exp(log_choose(counts, k) - whole))))
    return {
        "k": sizes.tolist(),
        "pan": [significant(v) for v in pan],
        "core": [significant(v) for v in core],
        "classes": {
            "core": int((counts == n).sum()),
            "soft_core": int(((counts >= 0.95 * n) & (counts < n)).sum()),
            "shell": int(((counts >= 0.15 * n) & (counts < 0.95 * n)).sum()),
            "cloud": int((counts < 0.15 * n).sum()),
        },
        "spectrum": np.histogram(counts / n, bins=20, range=(0, 1))[0].tolist(),
    }


def reaction_table(content: Content, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each reaction's genomes: in all, gap-filled, without genes, and by group (the largest levels of each)."""
    by_group = []
    for group in groups:
        if group["kind"] == "tag" and len(group["levels"]) > MOST_LEVELS:
            continue
        codes = np.array(group["codes"])
        levels = group["levels"][:MOST_LEVELS]
        members = [np.flatnonzero((codes == code) & content.modelled) for code in range(len(levels))]
        by_group.append(
            {
                "name": group["name"],
                "levels": levels,
                "sizes": [len(rows) for rows in members],
                "counts": [content.present[rows].sum(axis=0).tolist() for rows in members],
            }
        )
    return {
        "genomes": content.present.sum(axis=0).tolist(),
        "gapfilled": content.gapfilled.tolist(),
        "without_genes": content.without_genes.tolist(),
        "by_group": by_group,
    }


def screen_matrices(parts: Parts, genomes: Genomes) -> list[dict[str, Any]]:
    """Each screen as one letter per genome and compound: + - ? . and a blank where there is no answer."""
    letters: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    wanted = ["genome_id", "screen", "condition", "compound", "answer"]
    for part in parts.each("screens", wanted):
        places = genomes.indices(part["genome_id"])
        answer = part["answer"].combine_chunks().dictionary_encode()
        letter = np.array([ANSWER_LETTERS.get(a, "?") for a in answer.dictionary.to_pylist()], dtype="U1")
        signs = letter[np.asarray(answer.indices.fill_null(0))]
        keys = [part[name].combine_chunks().dictionary_encode() for name in ("screen", "condition", "compound")]
        screens, conditions, compounds = (key.dictionary.to_pylist() for key in keys)
        codes = [np.asarray(key.indices.fill_null(0)) for key in keys]
        order = np.lexsort(codes[::-1])
        # one run of rows per screen, condition and compound
        sorted_codes = np.stack([code[order] for code in codes])
        starts = np.flatnonzero(np.any(np.diff(sorted_codes, axis=1, prepend=-1) != 0, axis=0))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
            rows = order[start:end]
            s, c, m = sorted_codes[:, start].tolist()
            column = letters.setdefault((screens[s], conditions[c]), {})
            values = column.setdefault(compounds[m], np.full(len(genomes), NO_ANSWER, dtype="U1"))
            known = places[rows] >= 0
            values[places[rows][known]] = signs[rows][known]
    return [
        {
            "screen": screen,
            "condition": condition,
            "compounds": sorted(columns),
            "letters": "".join(np.stack([columns[name] for name in sorted(columns)], axis=1).ravel().tolist()),
        }
        for (screen, condition), columns in sorted(letters.items())
    ]


def positive_counts(screens: Sequence[dict[str, Any]], screen: str, genomes: int) -> list[int | None] | None:
    """Per genome, compounds with a positive answer in a screen; None where the screen was not run at all."""
    chosen = [found for found in screens if found["screen"] == screen]
    if not chosen:
        return None
    counts: list[int | None] = [None] * genomes
    for found in chosen:
        width = len(found["compounds"])
        for place in range(genomes):
            row = found["letters"][place * width : (place + 1) * width]
            if row.strip():
                counts[place] = (counts[place] or 0) + row.count("+")
    return counts


def compound_names() -> dict[str, str]:
    """Names of the screened compounds, by BiGG id without compartment."""
    path = WORKFLOW.parent / "resources" / "screen_compounds.tsv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as handle:
        return {row["compound"]: row["name"] for row in csv.DictReader(handle, delimiter="\t") if row.get("name")}


def reaction_names(cache: Path) -> dict[str, str]:
    """Names of reactions from the compiled universes of the cache; empty where there is none."""
    names: dict[str, str] = {}
    for path in sorted(cache.glob("universe_*-carveme-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            ids, texts = (file[key].tobytes().decode().split("\x1f") for key in ("reactions", "reaction_names"))
        if len(ids) == len(texts):
            names.update((name, text) for name, text in zip(ids, texts, strict=True) if text != f"R_{name}")
    return names


def end_of(rows: Sequence[tuple[str, str, str]], stages: int) -> str:
    """How a genome ended, from its (stage, outcome, reason) in order: `ok`, `unfinished` or `stage: reason`."""
    for stage, outcome, reason in rows:
        if outcome != Outcome.OK:
            return f"{stage}: {reason or outcome}"
    return "ok" if len(rows) == stages else "unfinished"
