"""What people bring, through fetch and genes: each bad file is one row with a reason, the others are untouched."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from gemforest.check import check
from gemforest.config import complete
from gemforest.errors import InfrastructureError
from gemforest.ledger import REASON_TEXT, LedgerRow, Outcome, Reason, read_ledger
from gemforest.loop import run_shard
from gemforest.plan import make_plan, write_plan
from gemforest.stage import Context
from gemforest.stages import stage
from gemforest.store import Store

PROTEOME = Path(str(files("carveme") / "data" / "benchmark" / "fasta" / "M_genitalium_G37.faa")).read_bytes()
REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS = [b">" + record for record in PROTEOME.strip().lstrip(b">").split(b"\n>")]


def contigs(bases: int) -> bytes:
    chance = random.Random(7)
    return b">contig_1\n" + bytes(chance.choices(b"ACGT", k=bases)) + b"\n"


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = b"A" * 1024**2
    return b"".join([packer.compress(block) for _ in range(megabytes)]) + packer.flush()


def renamed(name) -> bytes:
    """The proteome with other headers."""
    return b"\n".join(b">" + name(n).encode() + b"\n" + r.split(b"\n", 1)[1] for n, r in enumerate(RECORDS)) + b"\n"


def odd_letters() -> bytes:
    body = b">lower\n" + b"mkvlaedtrw" * 20 + b"\n>stops\nMKV*LAE*DTRW" + b"A" * 50 + b"*\n>j\n" + b"MKJVLAEDTRW" * 9
    return body + b"\n>giant\n" + b"MKVLAEDTRW" * 4000 + b"\n" + PROTEOME


# File content, the sheet's column `content`, expected reason.
REFUSED: dict[str, tuple[bytes, str, Reason]] = {
    "empty": (b"", "auto", Reason.EMPTY_FILE),
    "blank": (b"\n\n  \n", "auto", Reason.EMPTY_FILE),
    "empty_gzip": (gzip.compress(b""), "auto", Reason.EMPTY_FILE),
    "not_fasta": (b"the quick brown fox\njumps\n", "auto", Reason.NOT_A_GENOME),
    "web_page": (b"<html><body>404 Not Found</body></html>", "auto", Reason.NOT_A_GENOME),
    "reads": (b"@read1\nACGTACGT\n+\nIIIIIIII\n" * 50, "auto", Reason.NOT_A_GENOME),
    "binary": (bytes(range(256)) * 40, "auto", Reason.NOT_A_GENOME),
    "zip": (b"PK\x03\x04" + bytes(100), "auto", Reason.NOT_A_GENOME),
    "fasta_of_noise": (b">a\n" + bytes(range(1, 32)) * 40, "auto", Reason.NOT_A_GENOME),
    "cut_gzip": (gzip.compress(PROTEOME)[:5000], "auto", Reason.TRUNCATED_ARCHIVE),
    "cut_xz": (lzma.compress(PROTEOME)[:5000], "auto", Reason.TRUNCATED_ARCHIVE),
    "cut_genbank": (b"LOCUS       X 60 bp DNA linear BCT 01-JAN-2020\nFEATURES\n", "auto", Reason.TRUNCATED_FILE),
    "bomb": (bomb(300), "auto", Reason.DECOMPRESSION_LIMIT),
    "contigs_as_proteins": (contigs(30_000), "proteins", Reason.LOOKS_LIKE_CONTIGS),
    "proteins_as_contigs": (PROTEOME, "nucleotides", Reason.LOOKS_LIKE_PROTEINS),
    "proteins_as_genbank": (PROTEOME, "genbank", Reason.LOOKS_LIKE_PROTEINS),
    "mixture": (PROTEOME + b"".join(contigs(300).replace(b"contig_1", b"c%d" % n) for n in range(300)), "auto",
                Reason.MIXED_SEQUENCES),
    "headers_alone": (b">a\n>b\n>c\n", "auto", Reason.NO_PROTEINS),
    "bin_of_30": (b"\n".join(RECORDS[:30]) + b"\n", "auto", Reason.TOO_FEW_PROTEINS),
    "short_contig": (contigs(60), "auto", Reason.NO_PROTEINS),
}  # fmt: skip
ACCEPTED: dict[str, bytes] = {
    "plain": PROTEOME,
    "gz_named_faa": gzip.compress(PROTEOME),
    "bz2": bz2.compress(PROTEOME),
    "xz": lzma.compress(PROTEOME),
    "windows_lines": PROTEOME.replace(b"\n", b"\r\n"),
    "duplicate_ids": renamed(lambda n: f"gene{n % 3}"),
    "numeric_ids": renamed(lambda n: str(n + 1)),
    "no_ids": renamed(lambda n: ""),
    "odd_letters": odd_letters(),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Context, dict[str, LedgerRow], dict[str, LedgerRow]]:
    """One shard with every file, through fetch and genes; the ledgers of both."""
    context = project(
        tmp_path_factory.mktemp("bad"), {**REFUSED, **{n: (d, "auto", None) for n, d in ACCEPTED.items()}}
    )
    fetched, read = (run(context, name) for name in ("fetch", "genes"))
    return context, fetched, read


def project(folder: Path, inputs: dict[str, tuple[bytes, str, Reason | None]]) -> Context:
    (folder / "config").mkdir()
    (folder / "config" / "media.tsv").write_bytes((REPOSITORY / "config" / "media.tsv").read_bytes())
    rows = ["genome_id\tsource\tcontent\n"]
    for name, (data, declared, _) in inputs.items():
        (folder / "config" / f"{name}.faa").write_bytes(data)
        rows.append(f"{name}\t{name}.faa\t{declared}\n")
    rows += ["missing\tnowhere.faa\tauto\n", "unknown_sample\tcarveme:No_such\tauto\n", "a_folder\t../config\tauto\n"]
    (folder / "config" / "genomes.tsv").write_text("".join(rows))
    context = Context(folder, complete({}), Store(folder / "results"))
    write_plan(make_plan(context), context)
    return context


def run(context: Context, name: str) -> dict[str, LedgerRow]:
    run_shard(stage(name), context, "0000", 2)
    return {row.genome_id: row for row in read_ledger(context.store.ledger_path(name, "0000"))}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_with_their_reason(ran, name):
    row = ran[2][name]
    assert (row.outcome, row.reason) == (Outcome.REFUSED, REFUSED[name][2])
    assert len(row.detail) > 15
    assert REASON_TEXT[row.reason]


def test_sources_that_are_not_there_are_refused_by_fetch(ran):
    fetched = ran[1]
    assert fetched["missing"].reason is Reason.FILE_NOT_FOUND
    assert fetched["unknown_sample"].reason is Reason.UNKNOWN_SAMPLE
    assert fetched["a_folder"].outcome is Outcome.REFUSED
    assert ran[2]["missing"].outcome is Outcome.SKIPPED_UPSTREAM


def test_no_genome_is_lost_and_none_ends_unforeseen(ran):
    fetched, read = ran[1], ran[2]
    assert set(fetched) == set(read) == {*REFUSED, *ACCEPTED, "missing", "unknown_sample", "a_folder"}
    assert not [row for row in read.values() if row.reason is Reason.UNEXPECTED]


@pytest.mark.parametrize("name", ACCEPTED)
def test_unusual_files_beside_them_are_read(ran, name):
    context, _, read = ran
    assert read[name].outcome is Outcome.OK
    proteins = context.store.read("proteins", "0000", name)
    gene_ids = proteins["gene_id"].to_pylist()
    assert len(set(gene_ids)) == len(gene_ids)
    keys = set(proteins["seq_key"].to_pylist())
    assert keys >= set(context.store.read("proteins", "0000", "plain")["seq_key"].to_pylist())


def test_numeric_ids_and_duplicates_are_kept_readable(ran):
    context = ran[0]
    assert context.store.read("proteins", "0000", "numeric_ids")["gene_id"].to_pylist()[:3] == ["1", "2", "3"]
    assert context.store.read("proteins", "0000", "duplicate_ids")["gene_id"].to_pylist()[3] == "gene0_2"
    assert context.store.read("proteins", "0000", "no_ids")["gene_id"].to_pylist()[:2] == ["gene_1", "gene_2"]


def test_a_table_cut_short_by_a_crash_is_found_and_made_again(tmp_path):
    context = project(tmp_path, {"one": (PROTEOME, "auto", None), "two": (gzip.compress(PROTEOME), "auto", None)})
    run(context, "fetch")
    before = run(context, "genes")
    path = context.store.table_path("proteins", "0000", "one")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    other = context.store.table_path("proteins", "0000", "two").stat().st_mtime_ns
    found = [
        (damage.stage, damage.genome_id) for damage in check(context) if damage.genome_id and damage.stage == "genes"
    ]
    assert found == [("genes", "one")]
    after = run(context, "genes")
    assert after["one"].outcome is Outcome.OK and after["one"].key == before["one"].key
    assert context.store.read("proteins", "0000", "one").num_rows == len(RECORDS)
    assert context.store.table_path("proteins", "0000", "two").stat().st_mtime_ns == other


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A small file system of its own at `folder`; the test is skipped where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("mounting a file system needs root and the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_job_with_nothing_half_written_and_it_goes_on_when_there_is_room(tmp_path):
    # A long random protein makes the files of the four genomes differ, and hard to compress.
    chance = random.Random(5)
    more = [b">more\n" + bytes(chance.choices(b"ACDEFGHIKLMNPQRSTVWY", k=6000)) + b"\n" for _ in range(4)]
    inputs = {f"g{n}": (PROTEOME + extra, "auto", None) for n, extra in enumerate(more)}
    context = project(tmp_path, inputs)
    with mounted(tmp_path / "small", "1m"):
        full = Context(tmp_path, context.config, Store(tmp_path / "small" / "results"))
        write_plan(make_plan(full), full)
        run(full, "fetch")
        ballast = tmp_path / "small" / "ballast"
        free = os.statvfs(tmp_path / "small").f_bavail * os.statvfs(tmp_path / "small").f_frsize
        ballast.write_bytes(bytes(max(free - 200_000, 0)))
        with pytest.raises((InfrastructureError, OSError)):
            run(full, "genes")
        assert not full.store.ledger_path("genes", "0000").exists()
        for path in (tmp_path / "small").rglob("*.parquet"):
            assert path.read_bytes()[:4] == path.read_bytes()[-4:] == b"PAR1"
        ballast.unlink()
        finished = run(full, "genes")
        assert {n: finished[n].outcome for n in inputs} == dict.fromkeys(inputs, Outcome.OK)
        assert not list((tmp_path / "small" / "results").rglob("*.tmp"))


def test_a_read_only_results_folder_is_an_error_of_the_machine_not_of_a_genome(tmp_path):
    context = project(tmp_path, {"one": (PROTEOME, "auto", None)})
    with mounted(tmp_path / "fixed", "8m"):
        fixed = Context(tmp_path, context.config, Store(tmp_path / "fixed" / "results"))
        write_plan(make_plan(fixed), fixed)
        run(fixed, "fetch")
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "fixed")], check=True)
        with pytest.raises((InfrastructureError, OSError)):
            run(fixed, "genes")
        subprocess.run(["mount", "-o", "remount,rw", str(tmp_path / "fixed")], check=True)
        assert run(fixed, "genes")["one"].outcome is Outcome.OK
