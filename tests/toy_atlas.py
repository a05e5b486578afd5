"""A finished run without a run: some genomes with made-up tables, gathered by the real atlas."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
from projects import make_project

from gemforest.atlas import finish, gather_shard
from gemforest.ledger import LedgerRow, Outcome, Reason, write_ledger
from gemforest.plan import make_plan, read_shard, read_shards, write_plan
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES, all_stages
from gemforest.store import write_table
from gemforest.tables import TABLES

LINEAGE = "d__Bacteria;p__Bacillota;c__Bacilli;o__Bacillales;f__Bacillaceae;g__Bacillus;s__Bacillus {}"
CORE = ("PFK", "PGI", "ENO", "Growth", "EX_glc__D_e")
OPTIONAL = ("ETHAAL", "MMM", "ADOCBIK", "LDH_L", "PTAr", "ACKr", "NITR", "TKT1", "EX_ac_e", "CPGNexs")
COMPOUNDS = ("glc__D", "ac", "succ", "glyc", "lac__L")
STOPPED = (
    ("fetch", Outcome.REFUSED, Reason.FILE_NOT_FOUND),
    ("draft", Outcome.TIMEOUT, Reason.WALL_CLOCK),
    ("gapfill", Outcome.FAILED, Reason.INFEASIBLE_MEDIUM),
)


def make_atlas(folder: Path, genomes: int = 14, shard_size: int = 5, names: tuple[str, ...] = ()) -> Context:
    """A project with results of so many genomes; the first three are stopped at a stage each."""
    ids = [f"g{i:02d}" for i in range(genomes)]
    organisms = dict(zip(ids, [*names, *(f"Toyus parvus {i}" for i in range(len(names), genomes))], strict=True))
    sheet = "genome_id\tsource\torganism\n" + "".join(f"{g}\t{g}.faa\t{organisms[g]}\n" for g in ids)
    context = make_project(folder, sheet, shard_size=shard_size)
    write_plan(make_plan(context), context)
    for shard in read_shards(context.store.root):
        rows = read_shard(context.store.root, shard)
        for stage_number, stage in enumerate(all_stages()):
            ledger = []
            for row in rows:
                genome = row["genome_id"]
                outcome, reason = _fate(ids.index(genome), stage_number)
                detail = "a detail" if reason not in (Reason.NONE, Reason.UPSTREAM) else ""
                seconds = random.Random(f"{genome}{stage.name}").uniform(0.1, 9)
                ledger.append(LedgerRow(genome, stage.name, outcome, reason, detail, seconds, 100.0, "k", "{}"))
                if outcome is Outcome.OK:
                    for table in stage.writes:
                        made = rows_of(table, genome, organisms[genome])
                        write_table(
                            context.store.table_path(table, shard, genome),
                            table,
                            pa.Table.from_pylist(made, schema=TABLES[table].schema),
                            {},
                        )
            write_ledger(context.store.ledger_path(stage.name, shard), ledger)
        gather_shard(context, shard)
    finish(context)
    return context


def _fate(number: int, stage_number: int) -> tuple[Outcome, Reason]:
    if number >= len(STOPPED):
        return Outcome.OK, Reason.NONE
    stage, outcome, reason = STOPPED[number]
    place = STAGE_NAMES.index(stage)
    if stage_number < place:
        return Outcome.OK, Reason.NONE
    return (outcome, reason) if stage_number == place else (Outcome.SKIPPED_UPSTREAM, Reason.UPSTREAM)


def rows_of(table: str, genome: str, organism: str) -> list[dict[str, Any]]:
    """Made-up rows of one genome in one table; the same whenever they are asked for."""
    makers = {
        "genomes": _genome,
        "summary": _summary,
        "model_reactions": _reactions,
        "gapfills": _fills,
        "screens": _screens,
        "quality": _quality,
    }
    if table == "genomes":
        return _genome(genome, organism)
    return makers[table](genome) if table in makers else []  # type: ignore[operator]


def _genome(genome: str, organism: str) -> list[dict[str, Any]]:
    # Every second genome comes from an archive, with a lineage; the others have the sheet's word only.
    number = int(genome[1:])
    known = {"organism": f"Bacillus toy{number}", "taxonomy": LINEAGE.format(f"toy{number}")} if number % 2 else {}
    return [{"genome_id": genome, "source": f"{genome}.faa", "tags": [("organism", organism)], **known}]


def _held(genome: str) -> dict[str, str]:
    """Reaction to origin; what a model holds depends on the genome alone."""
    dice = random.Random(genome)
    held = dict.fromkeys(CORE, "draft") | {r: "draft" for r in OPTIONAL if dice.random() < 0.6}
    return held | {fill["reaction"]: "gapfill" for fill in _fills(genome)}


def _fills(genome: str) -> list[dict[str, Any]]:
    dice = random.Random(genome + "fill")
    rows = []
    for reaction in ("CA2abc", "ASNS2", "DHMPTR"):
        if dice.random() < 0.5:
            genes = [f"{genome}_{reaction}"] if dice.random() < 0.5 else []
            precursors = dice.sample(["ca2_c", "asn__L_c", "thmpp_c"], 2)
            rows.append(
                {"genome_id": genome, "medium": "M9", "reaction": reaction, "cost": dice.random()}
                | {"candidate_genes": genes, "unblocks": precursors, "flags": []}
            )
    return rows


def _gene(genome: str, reaction: str) -> str:
    return "" if random.Random(genome + reaction).random() < 0.3 or reaction.startswith("EX_") else f"{genome}_1"


def _reactions(genome: str) -> list[dict[str, Any]]:
    bounds = {"lower_bound": 0.0, "upper_bound": 1000.0}
    return [
        {"genome_id": genome, "reaction": reaction, "origin": origin, "gpr": _gene(genome, reaction), **bounds}
        for reaction, origin in _held(genome).items()
    ]


def _summary(genome: str) -> list[dict[str, Any]]:
    held, dice = _held(genome), random.Random(genome + "summary")
    genes = sum(bool(_gene(genome, reaction)) for reaction in held)
    growth = dice.random()
    counts = {"proteins": dice.randint(500, 5000), "reactions": len(held), "metabolites": 9, "genes": genes}
    return [
        {"genome_id": genome, "universe": "gramneg", "medium": "M9", "status": "optimal", "growth_per_h": growth}
        | {"grows": growth > 0.01, **counts, "gapfilled": len(_fills(genome)), "flags": []}
        | {"reactions_without_genes": len(held) - genes, "fva_median_width": dice.random() * 9, "essential_genes": 3}
    ]


def _screens(genome: str) -> list[dict[str, Any]]:
    dice = random.Random(genome + "screens")
    rows: list[dict[str, Any]] = []

    def add(screen: str, compound: str, condition: str, answer: str, growth: float | None, flux: float | None) -> None:
        one = {"genome_id": genome, "screen": screen, "compound": compound, "condition": condition, "answer": answer}
        rows.append(one | {"status": "optimal", "growth_per_h": growth, "flux": flux, "growth_score": growth})

    for compound in COMPOUNDS:
        answer = dice.choice(["growth", "no_growth", "not_in_model"])
        rate = {"growth": dice.uniform(0.1, 1), "no_growth": 0.0, "not_in_model": None}[answer]
        add("carbon", compound, "aerobic", answer, rate, None)
        add("nitrogen", compound, "aerobic", "no_growth", 0.0, None)
    for compound in ("thm", "btn", "his__L"):
        add("auxotrophy", compound, "aerobic", dice.choice(["needed", "not_needed", "not_in_model"]), 0.1, None)
    for compound in ("but", "ac", "etoh"):
        answer = dice.choice(["secreted", "not_secreted", "not_in_model"])
        flux = {"secreted": dice.uniform(1, 9), "not_secreted": 0.0, "not_in_model": None}[answer]
        add("product", compound, "anaerobic", answer, 0.2, flux)
    return rows


def _quality(genome: str) -> list[dict[str, Any]]:
    flagged = random.Random(genome + "quality").random() < 0.4
    return [
        {"genome_id": genome, "measure": "energy_generating_cycles", "value": float(flagged), "unit": ""}
        | {"flagged": flagged, "detail": "ATPM" if flagged else ""}
    ]
