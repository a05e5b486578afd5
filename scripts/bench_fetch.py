"""Measures the stage fetch against the replay server: faults and a kill, reports, throughput beside curl.

    python scripts/bench_fetch.py [--quick] [--only NAME] [--json FILE]

The server is a process of its own, so that CPU seconds and memory are the client's. Expected contents come from the
archive that the bench writes, counts of requests from the server's notes; curl is the peer for throughput.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import multiprocessing
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "fetch"))

from replay import Archive, Assembly, Faults, ReplayServer, Request, fasta, proteins_of, squeeze  # noqa: E402

from gemforest.config import complete  # noqa: E402
from gemforest.fetch.cache import Cache  # noqa: E402
from gemforest.fetch.client import Client  # noqa: E402
from gemforest.fetch.datasets import Standing, accounts  # noqa: E402
from gemforest.fetch.download import Limits, fetch_file  # noqa: E402
from gemforest.fetch.pacing import ConnectionSlots, TokenBucket  # noqa: E402
from gemforest.fetch.settings import CHOICE_KEYS  # noqa: E402
from gemforest.fetch.stage import process  # noqa: E402
from gemforest.plan import ROW_FIELDS, rows_path  # noqa: E402
from gemforest.sources import Checksum  # noqa: E402
from gemforest.stage import Context, Task  # noqa: E402
from gemforest.store import Store  # noqa: E402

SAMPLES = (
    "Ecoli_K12_MG1655",
    "Bsubtilis_168",
    "Paeruginosa_PAO1",
    "Rsolanacearum_GMI1000",
    "Soneidensis_MR1",
    "M_genitalium_G37",
)
FILE = "_protein.faa.gz"
SPAWN = multiprocessing.get_context("spawn")
FAST = 1e5


@dataclass
class Server:
    """A replay server in a process of its own; `notes` are its requests once it was stopped."""

    datasets_url: str
    genomes_url: str
    notes: list[Request]


def _serve(pipe: Connection, folder: Path, rate: float, bytes_per_s: float | None, reports: bool) -> None:
    archive = Archive(folder)
    if (folder / "assemblies.json").exists():
        for accession in json.loads((folder / "assemblies.json").read_text()):
            archive.assemblies[accession] = Assembly(accession, "asm")
    with ReplayServer(archive, Faults(rate, seed=1), bytes_per_s=bytes_per_s) as server:
        if reports:
            server.report_for = _long_report
        pipe.send((server.datasets_url, server.genomes_url))
        pipe.recv()
        pipe.send(server.requests)


def _long_report(accession: str) -> dict[str, Any]:
    """A report as long as NCBI's: the biosample's attributes are most of it."""
    raw = Assembly(accession).report()
    attributes = [{"name": f"attribute_{n}", "value": "x" * 40} for n in range(25)]
    raw["assembly_info"]["biosample"] = {"accession": "SAMN00000001", "attributes": attributes}
    return raw


@contextmanager
def server(
    folder: Path, rate: float = 0.0, bytes_per_s: float | None = None, reports: bool = False
) -> Iterator[Server]:
    """Serve a folder while the context lasts."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(there, folder, rate, bytes_per_s, reports))
    process.start()
    found = Server(*here.recv(), notes=[])
    try:
        yield found
    finally:
        here.send("stop")
        found.notes = here.recv()
        process.join()


# 1,000 small files with faults and a kill


def write_archive(folder: Path, count: int) -> dict[str, str]:
    """Small proteomes of real proteins, all different; accession to SHA-256."""
    proteins = [protein for sample in SAMPLES for protein in proteins_of(sample)]
    archive, digests = Archive(folder), {}
    for number in range(count):
        first = number * 19 % (len(proteins) - 120)
        content = squeeze(fasta(proteins[first : first + 100]))
        accession = f"GCF_{number + 100_000:09d}.1"
        archive.add(Assembly(accession, "asm", files={FILE: content}))
        digests[accession] = hashlib.sha256(content).hexdigest()
    (folder / "assemblies.json").write_text(json.dumps(list(digests)))
    return digests


def _fetch_all(project: Path, config: dict[str, Any], accessions: list[str], progress: Path) -> None:
    """A client: every genome through the stage's function, in order; a line per genome of what came."""
    logging.disable(logging.WARNING)
    context = Context(project, config, Store(project / "results"))
    parameters = {key: _dotted(config, key) for key in CHOICE_KEYS}
    started = _cpu()
    with progress.open("a") as out:
        for accession in accessions:
            row = {"genome_id": accession, "source": accession, "tags": ""}
            products = process(Task(accession, "0000", row, parameters, context, "", ""))
            (genome,) = products.tables["genomes"].to_pylist()
            told = {"id": accession, "sha256": genome["file_sha256"], "file": genome["file"]}
            out.write(json.dumps(told | {"cpu": _cpu() - started, "rss_mb": _resident_mb()}) + "\n")
            out.flush()


def bench_faults(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Small files, one request in twenty faulty, the client killed in the middle and started again."""
    count = 200 if quick else 1000
    digests = write_archive(folder / "archive", count)
    project, progress = folder / "project", folder / "progress.jsonl"
    rows = rows_path(project / "results", "0000")
    rows.parent.mkdir(parents=True)
    lines = ["\t".join(ROW_FIELDS)]
    lines += ["\t".join([text, text, *[""] * (len(ROW_FIELDS) - 2)]) for text in digests]
    rows.write_text("\n".join(lines) + "\n")
    with server(folder / "archive", rate=0.05) as replay:
        config = complete({"fetch": {"datasets_url": replay.datasets_url, "genomes_url": replay.genomes_url}})
        config["fetch"] |= {"requests_per_second": FAST, "backoff_s": 0.01, "cache": str(folder / "cache")}
        arguments = (project, config, list(digests), progress)
        first = SPAWN.Process(target=_fetch_all, args=arguments)
        first.start()
        while not progress.exists() or progress.read_text().count("\n") < 0.4 * count:
            time.sleep(0.02)
        os.kill(first.pid or 0, signal.SIGKILL)
        first.join()
        killed_after = len(told(progress))
        progress.unlink()
        started = time.monotonic()
        second = SPAWN.Process(target=_fetch_all, args=arguments)
        second.start()
        second.join()
        seconds = time.monotonic() - started
    found = told(progress)
    right = sum(
        digests[one["id"]] == one["sha256"] == hashlib.sha256((project / one["file"]).read_bytes()).hexdigest()
        for one in found
    )
    whole = Counter(
        note.path for note in replay.notes if note.path.endswith(FILE) and note.status in (200, 206) and not note.fault
    )
    new = count - killed_after
    cpu = (found[-1]["cpu"] - found[killed_after - 1]["cpu"]) / new
    early, late = found[count // 5]["rss_mb"], found[-1]["rss_mb"]
    return [
        record("small files fetched and verified", right, f"of {count}"),
        record("faults thrown in", sum(bool(note.fault) for note in replay.notes), f"of {len(replay.notes)} requests"),
        record("files whole before the kill", killed_after, f"of {count}"),
        record("files sent whole more than once", sum(times > 1 for times in whole.values()), "files"),
        record("client CPU for a new file, two requests", round(1000 * cpu, 2), "ms"),
        record(
            "client CPU for a file from the cache", round(1000 * found[killed_after - 1]["cpu"] / killed_after, 2), "ms"
        ),
        record("wall time of the second client", round(seconds, 2), "s"),
        record("client memory at a fifth", round(early, 1), "MB"),
        record("client memory at the end", round(late, 1), "MB", ratio=round(late / early, 3)),
    ]


def told(progress: Path) -> list[dict[str, Any]]:
    """The whole lines that a client wrote."""
    return [json.loads(line) for line in progress.read_text().splitlines() if line.endswith("}")]


# 100,000 accessions


def _resolve_all(pipe: Connection, url: str, cache: Path, count: int) -> None:
    kept = Cache(cache)
    kept.prepare()
    before, started = _cpu(), time.monotonic()
    bucket, slots = TokenBucket(cache / "locks" / "bucket", FAST), ConnectionSlots(cache / "locks", 4)
    with Client(bucket, slots) as client:
        wanted = (f"GCF_{number:09d}.1" for number in range(count))
        standings = Counter(account.standing for account in accounts(client, url, wanted))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    pipe.send((standings, time.monotonic() - started, _cpu() - before, peak))


def bench_reports(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Accessions resolved from replayed reports."""
    count = 10_000 if quick else 100_000
    (folder / "archive").mkdir()
    with server(folder / "archive", reports=True) as replay:
        here, there = SPAWN.Pipe()
        client = SPAWN.Process(target=_resolve_all, args=(there, replay.datasets_url, folder / "cache", count))
        client.start()
        standings, seconds, cpu, peak = here.recv()
        client.join()
    posts = len(replay.notes)
    return [
        record("accessions resolved", standings[Standing.CURRENT], f"of {count}"),
        record("requests for them", posts, "POST", bytes=sum(note.sent for note in replay.notes)),
        record("wall time to resolve them, no pace set", round(seconds, 2), "s"),
        record("client CPU to resolve them", round(cpu, 2), "s"),
        record("shortest wall time at NCBI's pace with a key (10/s)", round(max(seconds, posts / 10), 1), "s"),
        record("shortest wall time at NCBI's pace without (3/s)", round(max(seconds, posts / 3), 1), "s"),
        record("client's peak memory", round(peak, 1), "MB"),
    ]


# Large files beside curl


def write_large(path: Path, megabytes: int) -> str:
    """A gzip file of random protein letters, which pack as real ones do; its MD5."""
    import gzip

    letters = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", dtype=np.uint8)
    random = np.random.default_rng(0)
    with gzip.open(path, "wb", compresslevel=1) as out:
        number = 0
        while path.stat().st_size < megabytes * 1e6:
            out.write(b">protein_%d\n%s\n" % (number, letters[random.integers(0, 20, 5_000_000)].tobytes()))
            number += 1
    return hashlib.md5(path.read_bytes()).hexdigest()


def bench_throughput(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """One large file, with and without a line's speed; curl alone, curl and the same checks, and the client."""
    megabytes, rounds = (40, 2) if quick else (240, 5)
    (folder / "archive" / "genomes").mkdir(parents=True)
    large = folder / "archive" / "genomes" / "large.faa.gz"
    md5 = write_large(large, megabytes)
    size = large.stat().st_size
    records = []
    for line, speed in (("50 MB/s line", 50e6), ("loopback, no limit", None)):
        with server(folder / "archive", bytes_per_s=speed) as replay:
            url = f"{replay.genomes_url}/large.faa.gz"
            times: dict[str, list[tuple[float, float]]] = {"curl": [], "checked": [], "client": []}
            for _ in range(rounds):
                times["curl"].append(timed(["curl", "-sf", "-o", str(folder / "by_curl"), url]))
                check = f"md5sum {folder}/by_curl && sha256sum {folder}/by_curl && gzip -tc < {folder}/by_curl"
                checks = timed(["sh", "-c", check])
                times["checked"].append(tuple(sum(pair) for pair in zip(times["curl"][-1], checks, strict=True)))  # type: ignore[arg-type]
                times["client"].append(fetch_large(folder, url, md5))
        wall = {name: median(one[0] for one in found) for name, found in times.items()}
        cpu = {name: median(one[1] for one in found) for name, found in times.items()}
        ratios = sorted(ours[0] / theirs[0] for ours, theirs in zip(times["client"], times["curl"], strict=True))
        records += [
            record(
                f"{size / 1e6:.0f} MB, {line}: fetched, hashed and unpacked",
                round(size / wall["client"] / 1e6, 1),
                "MB/s",
                peer=peer,
                peer_value=round(size / wall[name] / 1e6, 1),
                ratio=round(wall[name] / wall["client"], 3),
                cpu_s=round(cpu["client"], 2),
                peer_cpu_s=round(cpu[name], 2),
                wall_ratio_range=[round(ratios[0], 3), round(ratios[-1], 3)] if name == "curl" else None,
            )
            for name, peer in (("curl", "curl, nothing checked"), ("checked", "curl, md5sum, sha256sum, gzip -t"))
        ]
    return records


def fetch_large(folder: Path, url: str, md5: str) -> tuple[float, float]:
    """Wall and CPU seconds of one download into an empty cache."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    cache = Cache(folder / "cache")
    cache.prepare()
    bucket, slots = TokenBucket(cache.folder / "locks" / "bucket", FAST), ConnectionSlots(cache.folder / "locks", 4)
    with Client(bucket, slots) as client:
        wall, cpu = time.monotonic(), _cpu()
        fetched = fetch_file(client, cache, url, Checksum("md5", md5), Limits())
        wall, cpu = time.monotonic() - wall, _cpu() - cpu
    assert not fetched.reused
    return wall, cpu


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a program."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Common


def record(what: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    """One figure."""
    return {"what": what, "value": value, "unit": unit} | {name: it for name, it in more.items() if it is not None}


def _dotted(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


BENCHES = {"faults": bench_faults, "reports": bench_reports, "throughput": bench_throughput}


def main() -> None:
    """Run the benches and print or write their records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=list(BENCHES))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    records = []
    for name in [asked.only] if asked.only else list(BENCHES):
        with tempfile.TemporaryDirectory() as folder:
            for one in BENCHES[name](Path(folder), asked.quick):
                records.append({"bench": name} | one)
                print(json.dumps(one))
    machine = {
        "cpu": next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if "model name" in line
            ),
            platform.processor(),
        ),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_at_end": round(os.getloadavg()[0], 1),
    }
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
