"""Source U: users' tables, streamed, checked, laid out by genome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gemforest.config import WORKFLOW
from gemforest.errors import InputError, RefusedError
from gemforest.evidence.claims import GeneNames
from gemforest.evidence.usertables import COLUMNS, REQUIRED, IndexedTable, indexed, read_user_rows
from gemforest.ledger import Reason

HEADER = "genome_id\tgene_id\ttarget\tprobability\tscore\tsource\tversion\n"
GOOD = "g\tg1\tR_PFK\t0.9\t\tCLEAN\t1\ng\tg2\tEC:4.2.1.11\t\t7.5\tDeepEC\t2\nother\tx1\tENO\t1\t\tCLEAN\t1\n"


def known() -> frozenset[str]:
    return frozenset({"PFK", "ENO", "PGK"})


def index(folder: Path, text: str, name: str = "table.tsv") -> IndexedTable:
    path = folder / name
    path.write_text(text)
    return indexed(path, folder / "cache", known)


def test_rows_come_back_by_genome_with_canonical_targets(tmp_path: Path) -> None:
    table = index(tmp_path, HEADER + GOOD)
    heard = read_user_rows(table, "g", GeneNames(["g1", "g2"]))
    said = {(one.origin, c.gene, c.target, c.probability, c.value) for one in heard for c in one.claims}
    assert said == {("CLEAN", 0, "PFK", 0.9, None), ("DeepEC", 1, "4.2.1.11", None, 7.5)}
    assert read_user_rows(table, "third", GeneNames(["g1"])) == []


def test_parquet_is_read_as_tsv_is(tmp_path: Path) -> None:
    index(tmp_path, HEADER + GOOD)
    rows = pa.table(
        {"genome_id": ["g"], "gene_id": ["g1"], "target": ["PFK"], "probability": [0.9], "source": ["CLEAN"]}
    )
    pq.write_table(rows, tmp_path / "table.parquet")
    (heard,) = read_user_rows(indexed(tmp_path / "table.parquet", tmp_path / "cache", known), "g", GeneNames(["g1"]))
    assert heard.claims[0].probability == 0.9


def test_new_rows_change_the_digest_of_their_genome_alone(tmp_path: Path) -> None:
    before = index(tmp_path, HEADER + GOOD)
    after = index(tmp_path, HEADER + "g\tg3\tPGK\t0.5\t\tCLEAN\t1\n" + GOOD)
    assert before.digests["g"] != after.digests["g"]
    assert before.digests["other"] == after.digests["other"]


def test_repeated_rows_count_once(tmp_path: Path) -> None:
    table = index(tmp_path, HEADER + GOOD + GOOD)
    assert table.rows("g").num_rows == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("g\tg1\tPFK\t1.2\t\tC\t1\n", r"line 2, probability: 1.2; a probability lies between 0 and 1"),
        ("g\tg1\tPFK\t-0.1\t\tC\t1\n", r"line 2, probability: -0.1"),
        ("g\tg1\tPFK\thigh\t\tC\t1\n", r"line 2, probability: 'high' is no number"),
        ("g\tg1\tPFK\tnan\t\tC\t1\n", r"line 2, probability: 'nan' is no number"),
        ("g\tg1\tPFKx\t0.5\t\tC\t1\n", r"line 2, target: 'PFKx' is neither a known BiGG reaction.*did you mean 'PFK'"),
        ("g\tg1\t1.1.1.1, 2.7.1.11\t0.5\t\tC\t1\n", r"line 2, target: .* holds several EC numbers"),
        ("g\t\tPFK\t0.5\t\tC\t1\n", r"line 2, gene_id: is empty"),
        ("g\tg1\tPFK\t\t\tC\t1\n", r"line 2: neither probability nor score"),
        ("g\tg1\tPFK\t0.5\n", r"as many cells as the header"),
        ("g\tg1\tPFK\t0.5\t\tC\t1\ng\tg1\tPFK\t0.6\t\tC\t1\n", r"lines 2 and 3: 'g1' → 'PFK'.*0.5 and 0.6; keep one"),
    ],
)
def test_bad_rows_are_told_with_line_value_and_mend(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        index(tmp_path, HEADER + line)
    assert not list((tmp_path / "cache" / "user_tables").glob("[!.]*")), "nothing half-made stays"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("genome_id\tgene\ttarget\tprobability\tsource\n", "did you mean 'gene_id'"),
        ("genome_id\tgene_id\ttarget\tsource\n", "neither 'probability' nor 'score'"),
        ("genome_id,gene_id,target,probability,source\n", "the column 'gene_id' is missing"),
    ],
)
def test_a_wrong_header_is_told(tmp_path: Path, header: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        index(tmp_path, header + "g\tg1\tPFK\t0.5\tC\n")


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No such file.*evidence.tables"):
        indexed(tmp_path / "none.tsv", tmp_path / "cache", known)


def test_genes_that_match_no_protein_are_refused_with_both_examples(tmp_path: Path) -> None:
    table = index(tmp_path, HEADER + GOOD)
    with pytest.raises(RefusedError, match=r"there a gene is called 'g1', here 'b0001'") as error:
        read_user_rows(table, "g", GeneNames(["b0001", "b0002"]))
    assert error.value.reason is Reason.BAD_ANNOTATION


def test_single_genes_that_are_not_there_are_counted(tmp_path: Path) -> None:
    heard = read_user_rows(index(tmp_path, HEADER + GOOD), "g", GeneNames(["g1"]))
    assert sum(sum(one.rejected.values()) for one in heard) == 1


def test_the_schema_says_what_the_reader_does() -> None:
    schema = yaml.safe_load((WORKFLOW / "schemas" / "evidence_table.schema.yaml").read_text())
    assert tuple(schema["properties"]) == COLUMNS
    assert tuple(schema["required"]) == REQUIRED
    row = {"genome_id": "g", "gene_id": "g1", "target": "PFK", "probability": 0.9, "source": "C"}
    jsonschema.validate(row, schema)
    for broken in ({**row, "probability": 1.1}, {k: v for k, v in row.items() if k != "probability"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


LARGE = """
import json, resource, sys
from pathlib import Path
from gemforest.evidence.usertables import indexed
table = indexed(Path(sys.argv[1]), Path(sys.argv[2]), lambda: frozenset({"PFK"}))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"genomes": len(table.digests), "peak_mb": peak, "rows": table.rows("genome7").num_rows}))
"""


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    peaks = []
    for rows in (50_000, 500_000):
        path = tmp_path / f"{rows}.tsv"
        with path.open("w") as out:
            out.write(HEADER)
            out.writelines(f"genome{i % 500}\tgene{i}\tPFK\t0.5\t\tCLEAN\t1\n" for i in range(rows))
        command = [sys.executable, "-c", LARGE, str(path), str(tmp_path / "cache")]
        environment = os.environ | {"PYTHONPATH": str(WORKFLOW / "lib")}
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found = json.loads(said.stdout)
        assert (found["genomes"], found["rows"]) == (500, rows // 500)
        peaks.append(found["peak_mb"])
    size_mb = (tmp_path / "500000.tsv").stat().st_size / 2**20
    assert peaks[1] - peaks[0] < 120 + size_mb / 10, peaks
