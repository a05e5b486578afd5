"""Golden results: the same input gives the same tables, unless the stage's version was raised.

The digests in `golden.json` come from an earlier run, and say nothing of right or wrong: they only notice a change.
Results that change on purpose: raise the stage's `version`, then run this file as a script.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from Bio import SeqIO
from projects import REPOSITORY

from gemforest.carveme_files import carveme_data
from gemforest.config import complete
from gemforest.reviewed import enzyme_ecs
from gemforest.stage import Context, Products, Task
from gemforest.stages import stage
from gemforest.store import Store, digest
from gemforest.tables import TABLES

GOLDEN = Path(__file__).with_name("golden.json")
GENOME = "Ecoli_K12_MG1655"
STAGES = ("genes", "evidence", "draft", "gapfill", "kinetics", "simulate")
# Solvers may differ in the last digits, and in which of many optimal fluxes they return.
COMPARED = {
    "genes": ("proteins",),
    "evidence": ("gene_reactions", "reaction_scores"),
    "draft": ("draft_reactions",),
    "gapfill": ("model_reactions", "gapfills"),
    "kinetics": ("kcats", "enzyme_costs"),
    "simulate": ("summary", "knockouts"),
}


@dataclass(frozen=True)
class FedTask(Task):
    """A task whose earlier tables are given, not read from files."""

    tables: dict[str, pa.Table] = field(default_factory=dict)

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        return self.tables[table].select(columns) if columns else self.tables[table]


def given_tables() -> dict[str, pa.Table]:
    """The shipped proteome, and the hits that the carveme package carries for it."""
    genome = {"genome_id": GENOME, "file": str(carveme_data(f"benchmark/fasta/{GENOME}.faa"))}
    hits = pd.read_csv(carveme_data(f"benchmark/fasta/{GENOME}.tsv"), sep="\t", header=None)
    rows = dict.fromkeys(TABLES["hits"].schema.names) | {
        "genome_id": [GENOME] * len(hits),
        "gene_id": hits[0],
        "target": hits[1],
        "bitscore": hits[11].astype(float),
    }
    columns = {
        field.name: pa.nulls(len(hits), field.type) if rows[field.name] is None else pa.array(rows[field.name])
        for field in TABLES["hits"].schema
    }
    length = {r.id: len(r.seq) for r in SeqIO.parse(genome["file"], "fasta")}
    deep = {
        "genome_id": [GENOME] * len(hits),
        "gene_id": hits[0],
        "target": hits[1],
        "identity_percent": hits[2].astype("float32"),
        "bitscore": hits[11].astype("float32"),
        "query_coverage": [float(c) / length[g] for g, c in zip(hits[0], hits[3], strict=True)],
        "target_coverage": [0.9] * len(hits),
    }
    return {
        "homologs": pa.table(deep).cast(TABLES["homologs"].schema),
        "enzyme_hits": enzyme_hits(),
        "genomes": pa.Table.from_pylist([genome], schema=TABLES["genomes"].schema),
        "hits": pa.table(columns).cast(TABLES["hits"].schema),
    }


def enzyme_hits() -> pa.Table:
    """Reviewed enzymes for two genes, as DIAMOND would give them (alcohol dehydrogenase and glucokinase by number)."""
    numbers = {"b1241": "1.1.1.1", "b2388": "2.7.1.2"}
    rows = []
    for gene, ec in numbers.items():
        accession = min(name for name, ecs in enzyme_ecs().items() if ec in ecs)
        row = {"genome_id": GENOME, "gene_id": gene, "target": accession, "identity_percent": 61.0, "bitscore": 400.0}
        rows.append(row | {"query_coverage": 0.98, "target_coverage": 0.97})
    return pa.Table.from_pylist(rows, schema=TABLES["enzyme_hits"].schema)


def run_all() -> dict[str, Products]:
    # Draws and ranges take most of the stage's time and are in no compared table.
    config = complete({"kinetics": {"draws": 0, "fva": "off"}})
    context = Context(REPOSITORY, config, Store(REPOSITORY / "results"))
    row = {"genome_id": GENOME, "source": "", "universe": "gramneg", "genetic_code": "auto", "medium": "M9"}
    row |= {"content": "auto", "checksum": "", "tags": "{}", "fingerprint": ""}
    tables, products = given_tables(), {}
    for name in STAGES:
        found = stage(name)
        assert found.process
        products[name] = found.process(FedTask(GENOME, "0000", row, found.settings(config), context, "", "", tables))
        tables |= products[name].tables
    return products


def digests(name: str, products: Products) -> dict[str, str]:
    tables = {table: products.tables[table] for table in COMPARED[name]}
    if name == "kinetics":
        tables = {table: _averaged(rows) for table, rows in tables.items()}
    return {table: digest(_plain(rows.to_pylist())) for table, rows in tables.items()}


def _averaged(rows: pa.Table) -> pa.Table:
    """Numbers of the kcat network as their mean to three digits: its sums differ with the threads of the machine."""
    for place, column in enumerate(rows.schema):
        if pa.types.is_floating(column.type):
            mean = pc.mean(rows[column.name]).as_py()
            told = "none" if mean is None else f"{mean:.3g}"
            rows = rows.set_column(place, column.name, pa.array([told] * rows.num_rows))
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.4f}".replace("-0.0000", "0.0000")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


@pytest.fixture(scope="module")
def products() -> dict[str, Products]:
    return run_all()


@pytest.mark.parametrize("name", STAGES)
def test_results_change_only_with_the_version_of_their_stage(products: dict[str, Products], name: str) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    if stage(name).version == golden["version"]:
        assert digests(name, products[name]) == golden["digests"], (
            f"the results of {name} changed under version {golden['version']}: raise its version, or mend the change"
        )
    else:
        pytest.fail(f"version {stage(name).version} of {name} has no golden results yet: run this file as a script")


if __name__ == "__main__":
    made = run_all()
    GOLDEN.write_text(
        json.dumps(
            {name: {"version": stage(name).version, "digests": digests(name, made[name])} for name in STAGES}, indent=1
        )
        + "\n"
    )
