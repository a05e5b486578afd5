"""The stage on a shard: every row gets its file or its reason, with few questions, and nothing is fetched twice."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import PROTEINS
from replay import Archive, Assembly, ReplayServer, demonstration, fasta, squeeze

from gemforest.config import complete
from gemforest.fetch import STAGE
from gemforest.fetch.cache import Cache
from gemforest.ledger import read_ledger
from gemforest.loop import run_shard
from gemforest.plan import ROW_FIELDS, rows_path
from gemforest.stage import Context
from gemforest.store import Store

FILE = "_protein.faa.gz"
CONTENT = squeeze(fasta(PROTEINS))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return demonstration(tmp_path / "archive")


@pytest.fixture
def context(tmp_path: Path, server: ReplayServer) -> Iterator[Context]:
    config = complete({"fetch": {"datasets_url": server.datasets_url, "genomes_url": server.genomes_url}})
    config["fetch"] |= {"requests_per_second": 5000.0, "backoff_s": 0.01, "cache": str(tmp_path / "shared")}
    yield Context(tmp_path / "project", config, Store(tmp_path / "project" / "results"))


def run(context: Context, rows: dict[str, str], cores: int = 1, **more: str) -> dict[str, tuple[str, str]]:
    """Outcome and reason by genome_id for a shard of these sources."""
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys([*ROW_FIELDS, *more]), delimiter="\t", lineterminator="\n", restval="")
    writer.writeheader()
    for genome_id, source in rows.items():
        writer.writerow({"genome_id": genome_id, "source": source} | more)
    path = rows_path(context.store.root, "0000")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue())
    run_shard(STAGE, context, "0000", cores)
    ledger = read_ledger(context.store.ledger_path("fetch", "0000"))
    return {row.genome_id: (str(row.outcome), str(row.reason)) for row in _rows(ledger)}


def _rows(ledger: Any) -> list[Any]:
    return list(ledger.values()) if isinstance(ledger, dict) else list(ledger)


def genome(context: Context, genome_id: str) -> dict[str, Any]:
    (row,) = context.store.read("genomes", "0000", genome_id).to_pylist()
    return row


def test_every_accession_gets_its_file_or_its_reason(context: Context, server: ReplayServer) -> None:
    accessions = [*server.archive.assemblies, "GCF_999999999.1"]
    found = run(context, {accession: accession for accession in accessions})
    assert found == {
        "GCF_000027325.1": ("ok", ""),
        "GCF_000005845.2": ("ok", ""),
        "GCF_000009045.1": ("ok", ""),
        "GCA_000000010.1": ("ok", ""),
        "GCF_000000020.1": ("refused", "replaced"),
        "GCF_000000020.2": ("ok", ""),
        "GCF_000000030.1": ("refused", "suppressed"),
        "GCF_000000040.1": ("refused", "no_protein"),
        "GCF_000000050.1": ("refused", "truncated_archive"),
        "GCF_000000060.1": ("ok", ""),
        "GCF_999999999.1": ("refused", "not_found"),
    }
    # One question for the whole shard, one more for versions that did not come back, one for the lineages.
    assert [request.path.rsplit("/", 2)[-2] for request in server.asked("/dataset_report")] == [
        "genome",
        "genome",
        "taxonomy",
    ]
    one = genome(context, "GCF_000027325.1")
    path = Path(one["file"])
    assert path.read_bytes() == CONTENT
    assert one["file_sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (one["file_bytes"], one["source_kind"]) == (len(CONTENT), "protein_fasta")
    assert one["taxonomy"].startswith("d__Bacteria;")
    assert (one["assembly_level"], one["completeness_percent"], one["n50_bp"]) == ("complete", 99.5, 4641652)
    assert genome(context, "GCA_000000010.1")["source_kind"] == "nucleotide_fasta"
    # The same proteins lie under two accessions: one download.
    assert genome(context, "GCF_000000020.2")["file"] == one["file"]
    assert len(server.asked(FILE)) == 4


def test_a_second_run_asks_nothing(context: Context, server: ReplayServer) -> None:
    rows = {"one": "GCF_000005845.2", "two": "GCF_000009045"}
    run(context, rows)
    asked = len(server.requests)
    assert run(context, rows) == {"one": ("ok", ""), "two": ("ok", "")}
    assert len(server.requests) == asked
    assert genome(context, "two")["accession"] == "GCF_000009045.1"


def test_another_project_shares_the_cache(context: Context, server: ReplayServer, tmp_path: Path) -> None:
    run(context, {"one": "GCF_000005845.2"})
    asked = len(server.requests)
    other = Context(tmp_path / "other", context.config, Store(tmp_path / "other" / "results"))
    assert run(other, {"mine": "GCF_000005845.2"}) == {"mine": ("ok", "")}
    assert len(server.requests) == asked
    assert genome(other, "mine")["file"] == genome(context, "one")["file"]


@pytest.mark.parametrize(
    ("choice", "source", "accession"),
    [
        ({"on_replaced": "newest"}, "GCF_000000020.1", "GCF_000000020.2"),
        ({"on_replaced": "keep"}, "GCF_000000020.1", "GCF_000000020.1"),
        ({"prefer": ["nucleotide"]}, "GCA_000000010.1", "GCA_000000010.1"),
    ],
)
def test_the_config_decides_about_versions(
    context: Context, choice: dict[str, Any], source: str, accession: str
) -> None:
    context.config["fetch"] |= choice
    assert run(context, {"one": source}) == {"one": ("ok", "")}
    assert genome(context, "one")["accession"] == accession


def test_a_suppressed_assembly_is_kept_on_demand(context: Context, server: ReplayServer) -> None:
    server.archive.add(Assembly("GCF_000000031.1", "kept", status="suppressed", files={FILE: CONTENT}))
    context.config["fetch"] |= {"on_suppressed": "keep"}
    assert run(context, {"one": "GCF_000000031.1"}) == {"one": ("ok", "")}


def test_quality_limits_refuse_with_a_reason_and_without_a_download(context: Context, server: ReplayServer) -> None:
    context.config["fetch"]["quality"] |= {"max_contamination_percent": 10.0}
    found = run(context, {"dirty": "GCF_000000060.1", "clean": "GCF_000027325.1"})
    assert found == {"dirty": ("refused", "quality_filter"), "clean": ("ok", "")}
    (row,) = (row for row in _rows(read_ledger(context.store.ledger_path("fetch", "0000"))) if row.genome_id == "dirty")
    assert row.detail == "GCF_000000060.1: contamination 21% is above 10%"
    assert not server.asked("GCF_000000060.1_dirty/md5checksums.txt")


def test_urls_need_and_keep_their_checksum(context: Context, server: ReplayServer) -> None:
    url = f"{server.genomes_url}/all/GCF/000/027/325/GCF_000027325.1_ASM2732v1/GCF_000027325.1_ASM2732v1{FILE}"
    sha256, md5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()
    found = run(
        context,
        {
            "good": f"{url}#sha256={sha256}",
            "wrong": f"{url}#md5={md5[:-1]}{'0' if md5[-1] != '0' else '1'}",
            "bare": url,
            "gone": f"{url}x#md5={md5[::-1]}",
        },
    )
    assert found == {
        "good": ("ok", ""),
        "wrong": ("failed", "md5_mismatch"),
        "bare": ("refused", "no_checksum"),
        "gone": ("failed", "http_404"),
    }
    assert genome(context, "good")["accession"] is None


def test_the_query_of_a_signed_url_stays_out_of_the_tables(context: Context, server: ReplayServer) -> None:
    url = f"{server.genomes_url}/all/GCF/000/027/325/GCF_000027325.1_ASM2732v1/GCF_000027325.1_ASM2732v1{FILE}"
    signed = f"{url}?X-Signature=0123456789#sha256={hashlib.sha256(CONTENT).hexdigest()}"
    assert run(context, {"signed": signed}) == {"signed": ("ok", "")}
    assert genome(context, "signed")["source"] == url
    tables = [path.read_bytes() for path in context.store.root.rglob("*.parquet")]
    assert tables
    assert not any(b"X-Signature" in content for content in tables)


def test_a_url_takes_its_checksum_from_the_column(context: Context, server: ReplayServer) -> None:
    url = f"{server.genomes_url}/all/GCF/000/027/325/GCF_000027325.1_ASM2732v1/GCF_000027325.1_ASM2732v1{FILE}"
    found = run(context, {"good": url}, checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    assert found == {"good": ("ok", "")}


def test_local_files_and_samples_are_taken_where_they_lie(context: Context, server: ReplayServer) -> None:
    sheets = context.project / "config"
    sheets.mkdir(parents=True)
    (sheets / "mine.faa").write_bytes(fasta(PROTEINS))
    found = run(
        context,
        {
            "sample": "carveme:M_genitalium_G37",
            "mine": "mine.faa",
            "by_url": f"file://{sheets}/mine.faa",
            "none": "none.faa",
            "unknown": "carveme:Nobody",
            "many": "taxon:562",
        },
    )
    assert found == {
        "sample": ("ok", ""),
        "mine": ("ok", ""),
        "by_url": ("ok", ""),
        "none": ("refused", "file_not_found"),
        "unknown": ("refused", "unknown_sample"),
        "many": ("refused", "not_found"),
    }
    assert genome(context, "mine")["file"] == "config/mine.faa"
    assert genome(context, "by_url")["source_kind"] == "protein_fasta"
    assert server.requests == []


def test_a_transient_failure_is_not_the_genomes_end(context: Context, server: ReplayServer) -> None:
    server.faults.add("/dataset_report", "status_500", times=2)
    server.faults.add("md5checksums.txt", "reset", after=10)
    server.faults.add(FILE, "truncate")
    assert run(context, {"one": "GCF_000005845.2"}) == {"one": ("ok", "")}


def test_a_list_of_checksums_that_is_older_than_the_files_is_read_again(
    context: Context, server: ReplayServer, tmp_path: Path
) -> None:
    run(context, {"one": "GCF_000005845.2"})
    renewed = squeeze(fasta(PROTEINS[:300]))
    assembly = server.archive.assemblies["GCF_000005845.2"]
    assembly.files[FILE] = renewed
    server.archive.add(assembly)
    # The shared cache still has the old list, but the old file was cleaned away.
    shutil.rmtree(Path(context.config["fetch"]["cache"]) / "objects")
    other = Context(tmp_path / "other", context.config, Store(tmp_path / "other" / "results"))
    assert run(other, {"one": "GCF_000005845.2"}) == {"one": ("ok", "")}
    assert Path(genome(other, "one")["file"]).read_bytes() == renewed


@pytest.mark.parametrize("place", [5, 60])
def test_a_damaged_list_of_checksums_is_read_again(context: Context, server: ReplayServer, place: int) -> None:
    server.faults.add("md5checksums.txt", "wrong_bytes", place=place)
    assert run(context, {"one": "GCF_000005845.2"}) == {"one": ("ok", "")}
    assert len(server.asked("md5checksums.txt")) == 2


CHILD = """
import json, sys
from pathlib import Path
from gemforest.fetch import STAGE
from gemforest.loop import run_shard
from gemforest.stage import Context
from gemforest.store import Store
if __name__ == "__main__":
    project = Path(sys.argv[1])
    run_shard(STAGE, Context(project, json.loads(sys.argv[2]), Store(project / "results")), "0000", 1)
"""


def test_nothing_is_fetched_twice_after_a_kill(context: Context, server: ReplayServer, tmp_path: Path) -> None:
    accessions = [f"GCF_0000001{number:02d}.1" for number in range(8)]
    contents = {
        accession: squeeze(fasta(PROTEINS[number : number + 200])) for number, accession in enumerate(accessions)
    }
    for accession, content in contents.items():
        server.archive.add(Assembly(accession, "asm", files={FILE: content}))
    # The fifth file comes slowly, so that the kill finds it half here.
    slow = f"{accessions[4]}_asm{FILE}"
    server.faults.add(slow, "drip", step=500, pause=0.05)
    rows_path(context.store.root, "0000").parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(ROW_FIELDS)] + ["\t".join([text, text] + [""] * (len(ROW_FIELDS) - 2)) for text in accessions]
    rows_path(context.store.root, "0000").write_text("\n".join(lines) + "\n")
    (tmp_path / "child.py").write_text(CHILD)
    child = subprocess.Popen(
        [sys.executable, str(tmp_path / "child.py"), str(context.project), json.dumps(context.config)],
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.monotonic() + 60
    slow_md5 = hashlib.md5(contents[accessions[4]]).hexdigest()
    part = Cache(Path(context.config["fetch"]["cache"])).partial(f"md5={slow_md5}")
    while not part.exists() or part.stat().st_size == 0:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    kept = part.stat().st_size
    assert run(context, {accession: accession for accession in accessions}) == dict.fromkeys(accessions, ("ok", ""))
    for accession, content in contents.items():
        assert Path(genome(context, accession)["file"]).read_bytes() == content
        asked = server.asked(f"{accession}_asm{FILE}")
        assert len(server.asked(f"{accession}_asm/md5checksums.txt")) == 1
        assert len(asked) == (2 if accession == accessions[4] else 1)
    _, second = server.asked(slow)
    assert (second.status, second.headers["Range"]) == (206, f"bytes={kept}-")
    assert 0 < kept < len(contents[accessions[4]])
    assert len(server.asked("/dataset_report")) == 2
