"""An atlas of any size without a run: parts written by whole columns, so that ten thousand genomes take seconds.

What a genome holds follows from its number by simple rules, so that tests can state what the report must say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from projects import make_project

from gemforest.atlas import LEDGER_TABLE
from gemforest.plan import make_plan, read_shard, read_shards, write_plan
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES
from gemforest.store import write_parquet
from gemforest.tables import LEDGER, TABLES

CENTRAL = (
    "GLCpts", "PGI", "PFK", "FBA", "TPI", "GAPD", "PGK", "PGM", "ENO", "PYK", "PDH", "CS", "ACONT", "ICDHyr", "AKGDH",
    "SUCOAS", "SUCDi", "FUM", "MDH", "PPC", "Growth", "EX_glc__D_e", "EX_o2_e", "EX_co2_e",
)  # fmt: skip
FLUXES = {"GLCpts": 10.0, "PGK": -17.0, "EX_glc__D_e": -10.0, "EX_o2_e": -18.0, "EX_co2_e": 19.0, "Growth": 0.8}
CARBON = ("glc__D", "ac", "succ", "glyc", "lac__L", "xyl__D", "mnl", "fru", "cit", "ser__L")
NEEDED = ("thm", "btn", "his__L")
PRODUCTS = ("but", "ac", "etoh")
PHYLA = ("Pseudomonadota", "Bacillota", "Bacteroidota", "Actinomycetota", "Cyanobacteriota")
HABITATS = ("soil", "sea", "gut")
RICH_SHARD = "0000"


def make_forest(
    folder: Path, genomes: int, shard_size: int = 100, accessory: int = 40, names: Mapping[int, str] | None = None
) -> Context:
    """A project whose atlas holds so many genomes; every 50th is stopped at `draft`, from the eighth on.

    Tables of a genome's own page are made for the first shard alone; the tables that the collection needs, for all.
    `names` gives organism names by number.
    """
    ids = [f"genome_{i:05d}" for i in range(genomes)]
    named = names or {}
    sheet = "genome_id\tsource\torganism\thabitat\n" + "".join(
        f"{g}\t{g}.faa\t{named.get(i, f'Silva numerus {i}')}\t{('soil', 'sea', 'gut')[i % 3]}\n"
        for i, g in enumerate(ids)
    )
    context = make_project(folder, sheet, shard_size=shard_size)
    write_plan(make_plan(context), context)
    for shard in read_shards(context.store.root):
        numbers = np.array([int(row["genome_id"][-5:]) for row in read_shard(context.store.root, shard)])
        _Shard(context, shard, numbers, accessory).write()
    return context


def is_stopped(number: int) -> bool:
    """Whether a genome does not get through `draft`."""
    return number % 50 == 7


def held(number: int, accessory: int) -> list[str]:
    """Reactions of a genome's model."""
    return [
        *CENTRAL,
        *(f"ACC{j:04d}" for j in range(accessory) if _dice(number % 211, j) < 30 + 40 * (number % 3 == j % 3)),
    ]


def answer(number: int, place: int) -> str:
    """What the carbon screen says of a genome and the compound at `place`."""
    return ("growth", "no_growth", "growth", "not_in_model")[_dice(number, place) % 4]


def _dice(a: int, b: int) -> int:
    """A number below 100 that looks like chance and is none."""
    return (a * 2_654_435_761 + b * 40_503 + a * b * 97) % 1_000_003 % 100


class _Shard:
    """One shard's parts."""

    def __init__(self, context: Context, shard: str, numbers: np.ndarray, accessory: int) -> None:
        self.context, self.shard, self.accessory = context, shard, accessory
        self.all = numbers
        self.ok = [int(n) for n in numbers if not is_stopped(int(n))]

    def write(self) -> None:
        self._ledger()
        self._genomes()
        self._models()
        self._screens()
        if self.shard == RICH_SHARD:
            self._pages()

    def _put(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        schema = LEDGER if table == LEDGER_TABLE else TABLES[table].schema
        size = len(next(iter(columns.values())))
        arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(size, f.type) for f in schema]
        rows = pa.Table.from_arrays(arrays, schema=schema)
        rows = rows.append_column("shard", pa.array([self.shard] * size, pa.string()))
        write_parquet(self.context.store.atlas_path(table, self.shard), rows)

    def _ledger(self) -> None:
        rows = []
        for place, stage in enumerate(STAGE_NAMES):
            for n in self.all.tolist():
                outcome, reason, detail = "ok", "", ""
                if is_stopped(n) and place >= STAGE_NAMES.index("draft"):
                    outcome, reason = "skipped_upstream", "upstream"
                    if stage == "draft":
                        outcome, reason, detail = "refused", "too_few_reactions", "3 reactions, 10 are needed"
                rows.append((_id(n), stage, outcome, reason, detail, 0.5 + place, 100.0, "key", '{"tool": "1.2"}', ""))
        self._put(LEDGER_TABLE, dict(zip(LEDGER.names, zip(*rows, strict=True), strict=True)))

    def _genomes(self) -> None:
        lineages = [
            f"d__Bacteria;p__{PHYLA[n % 5]};c__Class{n % 10};o__Order{n % 30};f__Family{n % 90};g__Genus{n % 270};s__"
            for n in self.all.tolist()
        ]
        self._put(
            "genomes",
            {
                "genome_id": [_id(n) for n in self.all.tolist()],
                "source": [f"{_id(n)}.faa" for n in self.all.tolist()],
                "source_kind": ["protein_fasta"] * len(self.all),
                "file_bytes": [1_000_000] * len(self.all),
                "taxonomy": lineages,
            },
        )

    def _models(self) -> None:
        models = {n: held(n, self.accessory) for n in self.ok}
        who = [_id(n) for n, reactions in models.items() for _ in reactions]
        what = [reaction for reactions in models.values() for reaction in reactions]
        self._put(
            "model_reactions",
            {
                "genome_id": who,
                "reaction": what,
                "origin": ["gapfill" if r == "ACC0001" else "draft" for r in what],
                "lower_bound": np.zeros(len(what)),
                "upper_bound": np.full(len(what), 1000.0),
                "gpr": ["" if r.startswith("EX_") else "g1" for r in what],
            },
        )
        ids = [_id(n) for n in self.ok]
        sizes = [len(reactions) for reactions in models.values()]
        self._put(
            "summary",
            {
                "genome_id": ids,
                "universe": ["gramneg" if n % 5 else "grampos" for n in self.ok],
                "medium": ["M9"] * len(ids),
                "status": ["optimal"] * len(ids),
                "growth_per_h": [(n % 97) / 97 for n in self.ok],
                "grows": [n % 97 > 0 for n in self.ok],
                "proteins": [3000 + n % 2000 for n in self.ok],
                "reactions": sizes,
                "metabolites": [500] * len(ids),
                "genes": [800 + n % 300 for n in self.ok],
                "gapfilled": [int("ACC0001" in reactions) for reactions in models.values()],
                "reactions_without_genes": [3] * len(ids),
                "fva_median_width": [0.1 + (n % 50) / 10 for n in self.ok],
                "essential_genes": [90 + n % 40 for n in self.ok],
                "flags": [["energy"] if n % 31 == 0 else [] for n in self.ok],
            },
        )
        self._put(
            "drafts",
            {"genome_id": ids, "reactions_without_evidence": [n % 60 for n in self.ok], "reactions": sizes},
        )

    def _screens(self) -> None:
        asked = [("carbon", c, "aerobic") for c in CARBON] + [("auxotrophy", c, "aerobic") for c in NEEDED]
        asked += [("product", c, "anaerobic") for c in PRODUCTS]
        rows = []
        for n in self.ok:
            for place, (screen, compound, condition) in enumerate(asked):
                if screen == "carbon":
                    said = answer(n, place)
                elif screen == "auxotrophy":
                    said = "needed" if (n + place) % 5 == 0 else "not_needed"
                else:
                    said = "secreted" if (n + place) % 3 == 0 else "not_secreted"
                status = None if said == "not_in_model" else "optimal"
                growth = 0.5 if said == "growth" else None if said == "not_in_model" else 0.0
                rows.append((_id(n), screen, compound, condition, status, growth, said))
        names = ("genome_id", "screen", "compound", "condition", "status", "growth_per_h", "answer")
        self._put("screens", dict(zip(names, zip(*rows, strict=True), strict=True)))

    def _pages(self) -> None:
        """What only a genome's own page shows."""
        one = [(_id(n), reaction) for n in self.ok for reaction in held(n, self.accessory)]
        who, what = ([pair[i] for pair in one] for i in (0, 1))
        case = {"medium": ["M9"] * len(one), "condition": ["aerobic"] * len(one), "status": ["optimal"] * len(one)}
        flux = [FLUXES.get(r, 5.0 if r in CENTRAL else 0.0) for r in what]
        kind = ["biomass" if r == "Growth" else "exchange" if r.startswith("EX_") else "internal" for r in what]
        base = {"genome_id": who, "reaction": what}
        self._put("fba", {**base, **case, "kind": kind, "flux": flux})
        self._put("ec_fba", {**base, **case, "flux": [0.5 * v for v in flux]})
        width = [0.0 if r.startswith("ACC") else 1.0 + len(r) for r in what]
        ranges = {**base, **case, "fraction": [0.9] * len(one), "minimum": [0.0] * len(one)}
        self._put("fva", {**ranges, "maximum": width, "loopless": [False] * len(one)})
        self._put("ec_fva", {**ranges, "maximum": [w / 2 for w in width]})
        self._put("draft_reactions", {**base, "in_draft": [True] * len(one), "why": ["evidence"] * len(one)})
        ids = [_id(n) for n in self.ok]
        calls = [(g, f"gene_{k}", k) for g in ids for k in range(6)]
        item = {"version": "1", "value": 300.0, "identity_percent": 50.0, "log_likelihood_ratio": 2.0}
        self._put(
            "gene_reactions",
            {
                "genome_id": [g for g, _, _ in calls],
                "gene_id": [gene for _, gene, _ in calls],
                "reaction": ["PFK"] * len(calls),
                "ec": [[]] * len(calls),
                "probability": [0.3 + k / 10 for _, _, k in calls],
                "decision": ["accepted" if k else "rejected: below threshold" for _, _, k in calls],
                "conflict": ["contradiction" if k == 5 else "agree" for _, _, k in calls],
                "evidence": [
                    [
                        {"source": s, "target": f"target {s}", "identity_percent": 50.0, **item}
                        for s in ("DN" if k > 2 else "D")
                    ]
                    for _, _, k in calls
                ],
            },
        )
        self._put(
            "gapfills",
            {
                "genome_id": [g for g, n in zip(ids, self.ok, strict=True) if "ACC0001" in held(n, self.accessory)],
                **{
                    name: [value] * sum("ACC0001" in held(n, self.accessory) for n in self.ok)
                    for name, value in {
                        "medium": "M9", "reaction": "ACC0001", "cost": 0.5, "probability": 0.4,
                        "candidate_genes": ["gene_9"], "unblocks": ["thm_c"], "flags": ["against_dg"],
                    }.items()
                },
            },
        )  # fmt: skip
        deletions = [(g, f"gene_{k}", k) for g in ids for k in range(10)]
        self._put(
            "knockouts",
            {
                "genome_id": [g for g, _, _ in deletions],
                "medium": ["M9"] * len(deletions),
                "condition": ["aerobic"] * len(deletions),
                "kind": ["gene"] * len(deletions),
                "target": [gene for _, gene, _ in deletions],
                "growth_ratio": [0.0 if k < 4 else 1.0 for _, _, k in deletions],
                "essential": [k < 4 for _, _, k in deletions],
            },
        )
        proteins = [(g, f"gene_{k}") for g in ids for k in range(10)]
        self._put(
            "proteins",
            {
                "genome_id": [g for g, _ in proteins],
                "gene_id": [gene for _, gene in proteins],
                "description": ["<b>phosphofructokinase</b> & others"] * len(proteins),
            },
        )
        tiers = [(g, tier, k) for g in ids for k, tier in enumerate(("measured", "predicted", "predicted", "global"))]
        self._put(
            "kcats",
            {
                "genome_id": [g for g, _, _ in tiers],
                "reaction": ["PFK"] * len(tiers),
                "tier": [tier for _, tier, _ in tiers],
                "log10_kcat": [float(k) for _, _, k in tiers],
            },
        )
        self._put(
            "quality",
            {
                "genome_id": ids,
                "measure": ["energy_generating_cycles"] * len(ids),
                "value": [float(n % 2) for n in self.ok],
                "unit": [""] * len(ids),
                "flagged": [n % 2 == 1 for n in self.ok],
                "detail": [""] * len(ids),
            },
        )


def _id(number: int) -> str:
    return f"genome_{number:05d}"
