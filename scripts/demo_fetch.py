"""Shows the stage fetch without a network: a small NCBI on this machine, with the troubles that an archive may have.

    make demo-fetch

A replay server (tests/fetch/replay.py) serves ten assemblies of real proteins and throws faults in. A sheet with a
taxon query and a few accessions is resolved, planned and fetched by the commands that a user would call; the ledger is
shown, then the requests, then a second run that asks nothing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "fetch"))

from replay import SWITCHES, ReplayServer, Request, demonstration  # noqa: E402

from gemforest.cli import main  # noqa: E402
from gemforest.ledger import read_ledger  # noqa: E402
from gemforest.store import Store  # noqa: E402

FOLDER = REPOSITORY / "build" / "demo-fetch"
SHEET = """genome_id\tsource\tmedium
sample\tcarveme:M_genitalium_G37\tcomplete
\tGCF_000000020.1\tM9
\tGCF_000000030.1\tM9
\tGCA_000000010\tM9
\tGCF_999999999.1\tM9
\ttaxon:562?level=complete\tM9
"""

FAULTS = {
    "/taxonomy/dataset_report": "status_429",
    "GCF_000005845.2_ASM584v2_protein.faa.gz": "truncate",
    "GCF_000009045.1_ASM904v1_protein.faa.gz": "reset",
    "GCF_000000020.2_new_protein.faa.gz": "wrong_bytes",
    "GCA_000000010.1_draft_10/md5checksums.txt": "status_500",
}


def make_project(server: ReplayServer) -> Path:
    """A project whose config points to the replay server."""
    project = FOLDER / "project"
    (project / "config").mkdir(parents=True)
    shutil.copy(REPOSITORY / "config" / "media.tsv", project / "config")
    (project / "config" / "genomes.tsv").write_text(SHEET)
    fetch = {
        "datasets_url": server.datasets_url,
        "genomes_url": server.genomes_url,
        "requests_per_second": 20,
        "backoff_s": 0.1,
        "quality": {"max_contamination_percent": 10},
    }
    (project / "config" / "config.yaml").write_text(yaml.safe_dump({"fetch": fetch}))
    return project


def show_ledger(project: Path, console: Console) -> str:
    """Print what became of each genome; the shard."""
    (rows,) = (project / "results" / "plan" / "shards").glob("*.tsv")
    shard = rows.stem.removeprefix("shard=")
    table = Table("genome_id", "outcome", "reason", "detail")
    for row in read_ledger(Store(project / "results").ledger_path("fetch", shard)):
        table.add_row(row.genome_id, str(row.outcome), str(row.reason), row.detail)
    console.print(table)
    return shard


def show_requests(requests: list[Request], console: Console) -> None:
    """Print what was asked and answered."""
    if not requests:
        console.print("no requests: everything is here\n")
        return
    table = Table("request", "range", "status", "bytes", title=f"{len(requests)} requests")
    for request in requests:
        name = request.path.removeprefix("/genomes/all/")
        table.add_row(
            f"{request.method} {name}", request.headers.get("Range", ""), str(request.status), str(request.sent)
        )
    console.print(table)
    told = ", ".join(f"{SWITCHES[kind]} ({ending.strip('/')})" for ending, kind in FAULTS.items())
    console.print(f"faults thrown in: {told}\n")


def demonstrate() -> int:
    """Run the demonstration; the exit status."""
    console = Console(width=150)
    shutil.rmtree(FOLDER, ignore_errors=True)
    with ReplayServer(demonstration(FOLDER / "archive")) as server:
        for ending, kind in FAULTS.items():
            server.faults.add(ending, kind, after=30_000)
        project = make_project(server)
        for words in (["resolve"], ["plan"]):
            console.print(f"[bold]$ gemforest {' '.join(words)}")
            if status := main([words[0], "--project", str(project)]):
                return status
        (rows,) = (project / "results" / "plan" / "shards").glob("*.tsv")
        shard = rows.stem.removeprefix("shard=")
        for _ in range(2):
            before = len(server.requests)
            console.print(f"[bold]$ gemforest fetch --shard {shard}")
            if status := main(["fetch", "--project", str(project), "--shard", shard]):
                return status
            show_ledger(project, console)
            show_requests(server.requests[before:], console)
    console.print(f"downloads: {project}/resources/cache/downloads")
    return 0


if __name__ == "__main__":
    sys.exit(demonstrate())
