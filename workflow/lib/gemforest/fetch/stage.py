"""The stage: each row's source becomes a local file with a known digest, and what is known of it, in `genomes`.

Local files and carveme's samples are taken where they lie. Accessions are first accounted for, all of a shard with one
question (whichever worker comes first asks it for the others), then their checksums are read, then the preferred file
is fetched into the cache. The content's SHA-256, or the accession, or the URL's checksum is in the stage's key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from gemforest.content import Limits, read_unpacked, recognise
from gemforest.errors import GenomeError, InputError, RefusedError
from gemforest.fetch.assemblies import Listing, choose, find_listing
from gemforest.fetch.cache import Cache
from gemforest.fetch.client import Client
from gemforest.fetch.datasets import Account, AssemblyReport, Standing, accounts, lineages, report_from_json
from gemforest.fetch.download import Fetched, fetch_file
from gemforest.fetch.pacing import ConnectionSlots, TokenBucket
from gemforest.fetch.quality import require_quality
from gemforest.fetch.settings import CHOICE_KEYS, Choice, Service, choice_of, service_of
from gemforest.ledger import Reason
from gemforest.plan import read_shard
from gemforest.sheet import carveme_sample, local_source
from gemforest.sources import Accession, LocalFile, RemoteFile, Sample, parse_source, read_checksum, without_secrets
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES

KEY_VARIABLE = "NCBI_API_KEY"
LISTING_IN_DOUBT = frozenset({Reason.MD5_MISMATCH, Reason.HTTP_404, Reason.NO_PROTEIN})


def process(task: Task) -> Products:
    """Bring the genome's file here and write down what is known of it.

    Raises
    ------
    GenomeError
        `file_not_found, file_unreadable, unknown_sample` for local sources; `not_found, replaced, suppressed,
        quality_filter, no_protein` for accessions; `no_checksum, http_404, http_error, timeout, md5_mismatch,
        too_large, host_not_allowed` and what `ArchiveCheck` refuses for both kinds of download.
    """
    try:
        source = parse_source(task.row["source"])
    except InputError as error:
        raise RefusedError(Reason.NOT_FOUND, str(error)) from None
    match source:
        case Sample() | LocalFile():
            found = _local(task)
        case RemoteFile():
            found = _remote(task, source)
        case Accession():
            found = _assembly(task, source)
        case _:
            raise RefusedError(
                Reason.NOT_FOUND,
                f"{task.row['source']} stands for many genomes: run `gemforest resolve`, then plan again",
            )
    columns = dict.fromkeys(TABLES["genomes"].schema.names)
    tags = list(json.loads(task.row.get("tags") or "{}").items())
    # The query of a signed URL is a secret, and tables are passed on.
    told = without_secrets(source.url) if isinstance(source, RemoteFile) else task.row["source"]
    columns |= {"genome_id": task.genome_id, "source": told, "tags": tags} | found
    return Products({"genomes": pa.Table.from_pylist([columns], schema=TABLES["genomes"].schema)})


# Local files


def source_path(context: Context, row: Mapping[str, str]) -> Path | None:
    """The file that a local source means, which need not exist; None for a source that is not local."""
    try:
        source = parse_source(row["source"])
    except InputError:
        return None
    if isinstance(source, Sample):
        return carveme_sample(row["source"])
    if isinstance(source, LocalFile):
        return local_source(source.path, (context.project / context.config["genomes"]).parent, context.project)
    return None


def _local(task: Task) -> dict[str, Any]:
    path = source_path(task.context, task.row)
    if path is None or not path.is_file():
        if task.row["source"].startswith("carveme:"):
            raise RefusedError(Reason.UNKNOWN_SAMPLE, f"carveme carries no proteome {task.row['source'][8:]!r}")
        raise RefusedError(Reason.FILE_NOT_FOUND, f"{path}: there is no such file; mend the source in the sheet")
    try:
        sha256 = file_sha256(path)
    except PermissionError:
        raise RefusedError(Reason.FILE_UNREADABLE, f"{path}: not readable by this user; change its mode") from None
    kind = None
    # A file that cannot be used is the next stage's to refuse; here it only stays without a kind.
    with suppress(RefusedError):
        limits = Limits(max_bytes=int(task.context.config["limits"]["unpacked_mb"] * 1e6))
        kind = str(recognise(read_unpacked(path, limits)))
    return {
        "source_kind": kind,
        "file": _portable(path, task.context),
        "file_sha256": sha256,
        "file_bytes": path.stat().st_size,
    }


def _portable(path: Path, context: Context) -> str:
    """Relative to the project where inside it, so that a moved project keeps its keys."""
    return str(path.relative_to(context.project)) if path.is_relative_to(context.project) else str(path)


# Downloads


@dataclass(frozen=True)
class Tools:
    """What a process needs to ask the network; its connections stay open between genomes."""

    service: Service
    cache: Cache
    client: Client


@cache
def tools_for(service: Service) -> Tools:
    """The tools of this process for a service."""
    found = Cache(service.cache)
    found.prepare()
    bucket = TokenBucket(service.cache / "locks" / "bucket", service.requests_per_s)
    slots = ConnectionSlots(service.cache / "locks", service.connections)
    return Tools(service, found, Client(bucket, slots, service.manners, service.patience))


def _tools(context: Context) -> Tools:
    return tools_for(service_of(context.config, context.project, os.environ.get(KEY_VARIABLE, "")))


def _remote(task: Task, source: RemoteFile) -> dict[str, Any]:
    checksum = source.checksum
    if checksum is None and task.row.get("checksum"):
        checksum = read_checksum(task.row["checksum"], task.genome_id)
    if checksum is None:
        raise RefusedError(
            Reason.NO_CHECKSUM,
            "a web file needs its checksum: #sha256=<64 hex digits> behind the URL, or column checksum",
        )
    tools = _tools(task.context)
    return _file(fetch_file(tools.client, tools.cache, source.url, checksum, tools.service.limits), task.context)


def _file(fetched: Fetched, context: Context) -> dict[str, Any]:
    return {
        "source_kind": str(fetched.checked.content),
        "file": _portable(fetched.stored.path, context),
        "file_sha256": fetched.stored.sha256,
        "file_bytes": fetched.stored.size_bytes,
    }


def _assembly(task: Task, source: Accession) -> dict[str, Any]:
    tools, choice = _tools(task.context), choice_of(task.parameters)
    account = _account(
        tools, str(source), lambda: _accessions_of_shard(task), f"{task.context.store.root} {task.shard}"
    )
    accession, report = settle(account, choice, lambda text: _account(tools, text, lambda: [text], text))
    if report:
        require_quality(report, choice.quality)
    fetched = _fetch_assembly(tools, accession, report.name if report else "", choice)
    known = _known(report, _lineage(tools, report, task)) if report else {}
    return known | _file(fetched, task.context) | {"accession": accession}


def _fetch_assembly(tools: Tools, accession: str, name: str, choice: Choice) -> Fetched:
    """The preferred file by the list of checksums; where list and files disagree, by a list that is read once more."""

    def fetch(listing: Listing) -> Fetched:
        chosen = choose(listing, choice.prefer)
        return fetch_file(tools.client, tools.cache, chosen.url, chosen.checksum, tools.service.limits)

    listing = _listing(tools, accession, name)
    try:
        return fetch(listing)
    except GenomeError as error:
        if error.reason not in LISTING_IN_DOUBT:
            raise
        # The archive renews annotations: a list may be older than the files. Or it was damaged on its way.
        again = _listing(tools, accession, name, oldest_s=-1.0)
        if again == listing:
            raise
        return fetch(again)


def settle(account: Account, choice: Choice, look_up: Callable[[str], Account]) -> tuple[str, AssemblyReport | None]:
    """The accession with version that is fetched for an account, and its report; None where only its folder is known.

    `look_up` gives the account of another accession.

    Raises
    ------
    RefusedError
        `not_found`, or `replaced` or `suppressed` where the choice does not want it anyway.
    """
    report = account.report
    if account.standing is Standing.NOT_FOUND or report is None:
        raise RefusedError(Reason.NOT_FOUND, account.note)
    if account.standing is Standing.SUPPRESSED and choice.on_suppressed == "refuse":
        raise RefusedError(
            Reason.SUPPRESSED, f"{account.note}; take it out of the sheet, or set fetch.on_suppressed: keep"
        )
    if account.standing is not Standing.REPLACED:
        return report.accession, report
    if choice.on_replaced == "refuse":
        raise RefusedError(
            Reason.REPLACED, f"{account.note}; name the new one, or set fetch.on_replaced to newest or keep"
        )
    if choice.on_replaced == "keep":
        return account.requested, report if report.accession == account.requested else None
    if report.status == "current":
        return report.accession, report
    successor = look_up(report.current_accession)
    if successor.standing is not Standing.CURRENT or successor.report is None:
        raise RefusedError(Reason.REPLACED, f"{account.note}, which is no longer current either: {successor.note}")
    return successor.report.accession, successor.report


def _accessions_of_shard(task: Task) -> list[str]:
    """All accessions of the genome's shard: one question for a hundred genomes."""
    sources = []
    for row in read_shard(task.context.store.root, task.shard):
        with suppress(InputError):
            source = parse_source(row["source"])
            if isinstance(source, Accession):
                sources.append(str(source))
    return sorted({*sources, task.row["source"].strip()})


def _account(tools: Tools, accession: str, together_with: Callable[[], list[str]], group: str) -> Account:
    """The account of an accession, from the cache or from the archive along with `together_with()`.

    `group` names who would ask the same question, so that one asks and the others wait.
    """
    age = tools.service.oldest_answer_s
    if found := _noted_account(tools.cache, accession, age):
        return found
    with tools.cache.lock(f"accounts {group}"):
        if found := _noted_account(tools.cache, accession, age):
            return found
        asked = [text for text in together_with() if not _noted_account(tools.cache, text, age)]
        for account in accounts(tools.client, tools.service.datasets_url, asked):
            tools.cache.note("reports", account.requested, asdict(account))
            if account.requested == accession:
                found = account
    if found is None:
        raise GenomeError(Reason.HTTP_ERROR, f"{accession} was not among the accessions that were asked for")
    return found


def _noted_account(cache: Cache, accession: str, oldest_s: float) -> Account | None:
    note = cache.noted("reports", accession, oldest_s)
    with suppress(TypeError, KeyError, ValueError):
        if note:
            report = report_from_json(note["report"]) if note["report"] else None
            return Account(note["requested"], Standing(note["standing"]), report, note["note"])
    return None


def _listing(tools: Tools, accession: str, name: str, oldest_s: float | None = None) -> Listing:
    age = tools.service.oldest_answer_s if oldest_s is None else oldest_s
    note = tools.cache.noted("listings", accession, age)
    # A listing of another server names that server's addresses.
    if note and str(note.get("folder_url", "")).startswith(tools.service.genomes_url):
        with suppress(TypeError):
            return Listing(**note)
    listing = find_listing(tools.client, tools.service.genomes_url, accession, name)
    tools.cache.note("listings", accession, asdict(listing))
    return listing


def _lineage(tools: Tools, report: AssemblyReport, task: Task) -> str | None:
    if report.taxid is None:
        return None
    age = tools.service.oldest_answer_s
    name = str(report.taxid)
    if (note := tools.cache.noted("taxa", name, age)) is None:
        with tools.cache.lock(f"taxa {task.context.store.root} {task.shard}"):
            if (note := tools.cache.noted("taxa", name, age)) is None:
                wanted = {report.taxid, *_taxids(tools, _accessions_of_shard(task))}
                asked = {taxid for taxid in wanted if tools.cache.noted("taxa", str(taxid), age) is None}
                found = lineages(tools.client, tools.service.datasets_url, asked)
                for taxid in asked:
                    tools.cache.note("taxa", str(taxid), {"lineage": found.get(taxid)})
                note = {"lineage": found.get(report.taxid)}
    lineage: str | None = note["lineage"]
    return lineage


def _taxids(tools: Tools, accessions: Iterable[str]) -> set[int]:
    noted = (_noted_account(tools.cache, text, tools.service.oldest_answer_s) for text in accessions)
    return {one.report.taxid for one in noted if one and one.report and one.report.taxid is not None}


def _known(report: AssemblyReport, lineage: str | None) -> dict[str, Any]:
    return {
        "organism": report.organism,
        "taxid": report.taxid,
        "taxonomy": lineage,
        "assembly_level": report.level,
        "completeness_percent": report.completeness_percent,
        "contamination_percent": report.contamination_percent,
        "ani_status": report.ani_status,
        "contigs": report.contigs,
        "n50_bp": report.n50_bp,
        "genome_bp": report.genome_bp,
    }


# The stage


def _content(context: Context, row: Mapping[str, str]) -> dict[str, str]:
    """What the row refers to: a local file's content; the checksum that a web file must have."""
    path = source_path(context, row)
    if path is None:
        return {"checksum": row.get("checksum", "")}
    try:
        return {"sha256": file_sha256(path)}
    except OSError as error:
        return {"unreadable": type(error).__name__}


def _content_of_file(products: Products) -> str:
    """What later stages see of a genome is the content of its file: not how it was chosen, nor what it is tagged."""
    return str(products.tables["genomes"]["file_sha256"][0].as_py())


STAGE = Stage(
    name="fetch",
    version=2,
    reads=(),
    writes=("genomes",),
    parameters=CHOICE_KEYS,
    row_fields=("source", "tags"),
    process=process,
    row_resources=_content,
    output=_content_of_file,
)
