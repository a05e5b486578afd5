"""The views of the atlas: one per table over its parts, and a few that answer what people ask first.

Tables have one view each, with the columns that `tables.py` states plus `shard`. The views below join and count them.
Both kinds are written into `atlas.duckdb` with their documentation as comments, so that any DuckDB client sees the same
as `gemforest query`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gemforest.stages import STAGE_NAMES
from gemforest.tables import LEDGER, TABLES

if TYPE_CHECKING:
    import duckdb

LEDGER_TABLE = "ledger"
SHARD_DOC = "shard of the genome"


@dataclass(frozen=True)
class View:
    """A view over other views.

    Attributes
    ----------
    row
        What a row is.
    needs
        Views that it reads; without one of them it is not made.
    columns
        Column to its meaning, in the order of the view.
    """

    name: str
    row: str
    needs: tuple[str, ...]
    sql: str
    columns: dict[str, str]


_STAGES = "[" + ", ".join(f"'{name}'" for name in STAGE_NAMES) + "]"

DERIVED: tuple[View, ...] = (
    View(
        "models",
        "one genome that has a model: `summary` with the organism's name",
        ("summary", "genomes"),
        """
        SELECT summary.genome_id, coalesce(genomes.organism, map_extract(genomes.tags, 'organism')[1]) AS organism,
               genomes.taxonomy, summary.* EXCLUDE (genome_id, shard), summary.shard
        FROM summary LEFT JOIN genomes USING (genome_id)
        """,
        {
            "genome_id": "identity of the genome",
            "organism": "organism name from the archive, or from the sheet's column `organism`",
            "taxonomy": "lineage, semicolon-separated, domain first",
        }
        | {
            field.name: field.metadata[b"doc"].decode()
            for field in TABLES["summary"].schema
            if field.name != "genome_id"
        },
    ),
    View(
        "outcomes",
        "one genome: how it ended",
        (LEDGER_TABLE,),
        f"""
        SELECT genome_id,
               CASE WHEN bool_or(outcome <> 'ok') THEN arg_min(outcome, place) FILTER (outcome <> 'ok')
                    WHEN count(*) < {len(STAGE_NAMES)} THEN 'unfinished' ELSE 'ok' END AS outcome,
               arg_min(stage, place) FILTER (outcome <> 'ok') AS stopped_at,
               arg_min(reason, place) FILTER (outcome <> 'ok') AS reason,
               arg_min(detail, place) FILTER (outcome <> 'ok') AS detail,
               sum(seconds) AS seconds, max(peak_mb) AS peak_mb, any_value(shard) AS shard
        FROM (SELECT *, list_position({_STAGES}, stage) AS place FROM {LEDGER_TABLE})
        GROUP BY genome_id
        """,  # noqa: S608 (the names are ours)
        {
            "genome_id": "identity of the genome",
            "outcome": "ok | unfinished | refused | failed | timeout | out_of_memory: of the first stage not ok",
            "stopped_at": "that stage; null where there is none",
            "reason": "short reason",
            "detail": "what was expected, what was found, how to mend it",
            "seconds": "wall time over all stages, s",
            "peak_mb": "largest resident memory of its workers, MB",
        },
    ),
    View(
        "reaction_content",
        "one reaction: how many models hold it, exchanges and biomass included",
        ("model_reactions",),
        """
        SELECT reaction, count(*) AS models,
               count(*) / (SELECT count(DISTINCT genome_id) FROM model_reactions) AS share,
               count(*) FILTER (gpr <> '') AS with_genes, count(*) FILTER (origin = 'gapfill') AS gapfilled
        FROM model_reactions GROUP BY reaction
        """,
        {
            "reaction": "BiGG reaction id, without R_",
            "models": "models that hold it",
            "share": "share of all models",
            "with_genes": "models that have genes for it",
            "gapfilled": "models that have it from gap-filling",
        },
    ),
    View(
        "growth_calls",
        "one compound tried as a source of an element in one model",
        ("screens",),
        """
        SELECT genome_id, screen, compound, condition,
               CASE answer WHEN 'growth' THEN true WHEN 'no_growth' THEN false END AS grows,
               answer, growth_per_h, growth_score, shard
        FROM screens WHERE screen IN ('carbon', 'nitrogen', 'phosphorus', 'sulfur')
        """,
        {
            "genome_id": "identity of the genome",
            "screen": "carbon | nitrogen | phosphorus | sulfur",
            "compound": "BiGG metabolite id without compartment",
            "condition": "aerobic | anaerobic",
            "grows": "growth on it; null where the model says nothing of the compound",
            "answer": "growth | no_growth | not_in_model | undecided",
            "growth_per_h": "growth with the compound, h^-1",
            "growth_score": "graded evidence for growth on the compound",
        },
    ),
    View(
        "same_genomes",
        "one file that several genomes of the sheet come from: they count several times in every summary",
        ("genomes",),
        """
        SELECT file_sha256, list(genome_id ORDER BY genome_id) AS genome_ids, count(*) AS genomes
        FROM genomes WHERE file_sha256 IS NOT NULL GROUP BY file_sha256 HAVING count(*) > 1
        """,
        {
            "file_sha256": "SHA-256 of the file",
            "genome_ids": "the genomes that have it",
            "genomes": "how many they are",
        },
    ),
)


def row_of(view: str) -> str:
    """What a row of a view is."""
    if view == LEDGER_TABLE:
        return "one genome at one stage: what became of it"
    return TABLES[view].row if view in TABLES else next(found.row for found in DERIVED if found.name == view)


def columns_of(view: str) -> dict[str, tuple[str, str]]:
    """Column to (meaning, unit) of a view; KeyError where there is no such view."""
    derived = {found.name: found for found in DERIVED}
    if view in derived:
        shard = {"shard": SHARD_DOC} if "genome_id" in derived[view].columns else {}
        return {name: (doc, "") for name, doc in (derived[view].columns | shard).items()}
    schema = LEDGER if view == LEDGER_TABLE else TABLES[view].schema
    found = {
        field.name: (field.metadata[b"doc"].decode(), field.metadata.get(b"unit", b"").decode()) for field in schema
    }
    return found | {"shard": (SHARD_DOC, "")}


def create_views(database: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """Make the views over the parts in `folder` (the atlas, absolute); names of those for which there are parts."""
    made = []
    for name in [*TABLES, LEDGER_TABLE]:
        if any((folder / name).glob("shard=*.parquet")):
            # hive_partitioning off: `shard=0007.parquet` is a file name, and shard is a column already.
            parts = quoted(str(folder / name / "shard=*.parquet"))
            # DuckDB takes neither names nor comments as parameters; the names are ours.
            database.execute(
                f"CREATE VIEW {name} AS SELECT * FROM read_parquet({parts}, hive_partitioning = false)"  # noqa: S608
            )
            made.append(name)
    for view in DERIVED:
        if set(view.needs) <= set(made):
            database.execute(f"CREATE VIEW {view.name} AS {view.sql}")
            made.append(view.name)
    for name in made:
        database.execute(f"COMMENT ON VIEW {name} IS {quoted(row_of(name))}")
    return made


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
