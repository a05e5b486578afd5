"""What NCBI knows of assemblies: the Datasets REST API, version 2, read into one report per assembly.

Accessions are asked for by POST, at most 500 at a time, all versions and states included, page by page. Every accession
that was asked for is accounted for, whatever came back: current, replaced, suppressed, or not found. Reports are handed
on as pages arrive, so that a hundred thousand of them need no memory to speak of.
Source: NCBI Datasets v2 OpenAPI, POST /genome/dataset_report and /taxonomy/dataset_report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

from gemforest.errors import GenomeError
from gemforest.fetch.client import Client
from gemforest.ledger import Reason
from gemforest.sources import ACCESSION, LEVELS, Accession, TaxonQuery, parse_source

MOST_ACCESSIONS = 500
PAGE_SIZE = 500
MOST_PAGES = 10_000
Item = TypeVar("Item")
RANKS = ("domain", "phylum", "class", "order", "family", "genus", "species")


class Standing(StrEnum):
    """What has become of an accession that was asked for."""

    CURRENT = "current"
    REPLACED = "replaced"
    SUPPRESSED = "suppressed"
    NOT_FOUND = "not_found"


@dataclass(frozen=True)
class AssemblyReport:
    """What is known of one assembly version; None where the archive does not say. Percent 0 to 100, lengths in bp."""

    accession: str
    current_accession: str
    status: str
    name: str
    suppression_reason: str = ""
    release_date: str = ""
    level: str | None = None
    category: str = ""
    organism: str | None = None
    taxid: int | None = None
    completeness_percent: float | None = None
    contamination_percent: float | None = None
    ani_status: str | None = None
    contigs: int | None = None
    n50_bp: int | None = None
    genome_bp: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain values, for the cache."""
        return asdict(self)


@dataclass(frozen=True)
class Account:
    """What came of one accession: its standing, the report that answers it, and what to say about it."""

    requested: str
    standing: Standing
    report: AssemblyReport | None
    note: str = ""


def read_report(raw: Mapping[str, Any]) -> AssemblyReport:
    """One element of `reports` as an `AssemblyReport`.

    Raises
    ------
    GenomeError
        `http_error` where the answer has no usable accession.
    """
    accession = str(raw.get("accession", ""))
    if not ACCESSION.fullmatch(accession):
        raise GenomeError(Reason.HTTP_ERROR, f"the archive's answer names {accession[:50]!r} as an accession")
    info, stats = _part(raw, "assembly_info"), _part(raw, "assembly_stats")
    organism, checkm = _part(raw, "organism"), _part(raw, "checkm_info")
    current = str(raw.get("current_accession") or accession)
    return AssemblyReport(
        accession=accession,
        current_accession=current if ACCESSION.fullmatch(current) else accession,
        status=str(info.get("assembly_status", "")).lower(),
        name=str(info.get("assembly_name", "")),
        suppression_reason=str(info.get("suppression_reason", "")),
        release_date=str(info.get("release_date", "")),
        level=_level(info.get("assembly_level")),
        category=str(info.get("refseq_category", "")),
        organism=_text(organism.get("organism_name")),
        taxid=_whole(organism.get("tax_id")),
        completeness_percent=_real(checkm.get("completeness")),
        contamination_percent=_real(checkm.get("contamination")),
        ani_status=_text(_part(raw, "average_nucleotide_identity").get("taxonomy_check_status")),
        contigs=_whole(stats.get("number_of_contigs")),
        n50_bp=_whole(stats.get("contig_n50")),
        genome_bp=_whole(stats.get("total_sequence_length")),
    )


def account_for(requested: Accession, versions: Iterable[AssemblyReport]) -> Account:
    """Judge one accession by the reports of all its versions that came back.

    Without version the newest counts. A version is replaced when the archive calls it previous or names another as
    current; suppressed and retired are told as suppressed, with the archive's reason.
    """
    known = sorted(versions, key=lambda report: _version(report.accession))
    if not known:
        return Account(str(requested), Standing.NOT_FOUND, None, f"NCBI has no assembly {requested}")
    if requested.version is None:
        current = [report for report in known if report.status == "current"]
        return _stand(str(requested), (current or known)[-1])
    for report in known:
        if report.accession == str(requested):
            return _stand(str(requested), report)
    newest = known[-1]
    if _version(newest.accession) > requested.version:
        note = f"{requested} was replaced by {newest.accession}"
        return Account(str(requested), Standing.REPLACED, newest, note)
    note = f"NCBI has no version {requested.version} of {requested.base}; its newest is {newest.accession}"
    return Account(str(requested), Standing.NOT_FOUND, None, note)


def _stand(requested: str, report: AssemblyReport) -> Account:
    if report.status in ("suppressed", "retired"):
        why = report.suppression_reason or "no reason is given"
        return Account(requested, Standing.SUPPRESSED, report, f"{report.accession} is {report.status}: {why}")
    if report.status == "previous" or report.current_accession != report.accession:
        note = f"{report.accession} was replaced by {report.current_accession}"
        return Account(requested, Standing.REPLACED, report, note)
    return Account(requested, Standing.CURRENT, report)


def accounts(client: Client, base_url: str, accessions: Iterable[str]) -> Iterator[Account]:
    """One account for each accession, in the order of the request.

    Versions that did not come back are asked for once more without version, so that a replaced one is not mistaken for
    one that never was.

    Raises
    ------
    GenomeError
        The archive could not be asked (`http_error`, `timeout`).
    InputError
        One of the texts is not an accession.
    """
    for batch in _batches(accessions, MOST_ACCESSIONS):
        asked = [_accession(text) for text in batch]
        found = _by_base(_reports(client, base_url, {"accessions": sorted({str(one) for one in asked})}))
        unanswered = sorted({one.base for one in asked if one.version is not None and not _has(found, one)})
        if unanswered:
            for base, reports in _by_base(_reports(client, base_url, {"accessions": unanswered})).items():
                found.setdefault(base, {}).update(reports)
        for one in asked:
            yield account_for(one, found.get(one.base, {}).values())


def taxon_reports(client: Client, base_url: str, query: TaxonQuery) -> Iterator[AssemblyReport]:
    """The current assemblies of a taxon that pass the query's filters, as the archive orders them.

    Raises
    ------
    GenomeError
        `not_found` for a name or number that is no taxon; otherwise as `accounts`.
    """
    body: dict[str, Any] = {"taxons": [query.taxon], "filters": _filters(dict(query.filters))}
    if dict(query.filters).get("exact") == "true":
        body["tax_exact_match"] = True
    # The archive's own filter lets suppressed ones through (ncbi/datasets, issues 268 and 576).
    return (report for report in _reports(client, base_url, body, current=True) if report.status == "current")


def lineages(client: Client, base_url: str, taxids: Iterable[int]) -> dict[int, str]:
    """Taxonomy id to lineage, domain first, semicolon-separated as `d__Bacteria;p__...;s__...`; ranks as NCBI has them.

    Raises
    ------
    GenomeError
        The archive could not be asked.
    """
    found: dict[int, str] = {}
    for batch in _batches(sorted(set(taxids)), MOST_ACCESSIONS):
        body = {"taxons": [str(taxid) for taxid in batch], "page_size": MOST_ACCESSIONS}
        for raw in _pages(client, f"{base_url.rstrip('/')}/taxonomy/dataset_report", body):
            taxonomy = _part(raw, "taxonomy")
            taxid, classes = _whole(taxonomy.get("tax_id")), _part(taxonomy, "classification")
            names = [
                _part(classes, rank) or (_part(classes, "superkingdom") if rank == "domain" else {}) for rank in RANKS
            ]
            if taxid is not None:
                found[taxid] = ";".join(
                    f"{rank[0]}__{name.get('name', '')}" for rank, name in zip(RANKS, names, strict=True)
                )
    return found


def _reports(client: Client, base_url: str, body: Mapping[str, Any], current: bool = False) -> Iterator[AssemblyReport]:
    url = f"{base_url.rstrip('/')}/genome/dataset_report"
    filters = {"assembly_version": "current" if current else "all_assemblies"} | body.get("filters", {})
    for raw in _pages(client, url, dict(body) | {"filters": filters, "page_size": PAGE_SIZE}):
        yield read_report(raw)


def _pages(client: Client, url: str, body: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    tokens: set[str] = set()
    token = ""
    for _ in range(MOST_PAGES):
        page = client.read_json(url, body | ({"page_token": token} if token else {}))
        for message in page.get("messages") or []:
            error = _part(message, "error") if isinstance(message, Mapping) else {}
            if error:
                raise GenomeError(Reason.NOT_FOUND, f"NCBI answers: {error.get('message') or error.get('reason')}")
        reports = page.get("reports") or []
        if not isinstance(reports, list):
            raise GenomeError(Reason.HTTP_ERROR, "the archive's answer holds no list of reports")
        yield from (report for report in reports if isinstance(report, Mapping))
        token = str(page.get("next_page_token") or "")
        if not token:
            return
        if token in tokens:
            raise GenomeError(Reason.HTTP_ERROR, "the archive sends the same page again and again")
        tokens.add(token)
    raise GenomeError(Reason.HTTP_ERROR, f"more than {MOST_PAGES} pages: narrow the query")


def _filters(asked: Mapping[str, str]) -> dict[str, Any]:
    """Our filter names in the API's words."""
    filters: dict[str, Any] = {}
    if asked.get("reference") == "true":
        filters["reference_only"] = True
    if "level" in asked:
        filters["assembly_level"] = [LEVELS[level] for level in asked["level"].split(",")]
    filters["assembly_source"] = asked.get("source", "refseq")
    if asked.get("annotated") == "true":
        filters["has_annotation"] = True
    filters["exclude_atypical"] = asked.get("atypical", "exclude") == "exclude"
    filters["exclude_paired_reports"] = asked.get("source") == "all"
    if "metagenome" in asked and asked["metagenome"] != "include":
        filters["is_metagenome_derived"] = f"metagenome_derived_{asked['metagenome']}"
    if asked.get("type_material") == "true":
        filters["is_type_material"] = True
    if "released_after" in asked:
        filters["first_release_date"] = asked["released_after"]
    if "released_before" in asked:
        filters["last_release_date"] = asked["released_before"]
    return filters


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _accession(text: str) -> Accession:
    source = parse_source(text)
    if not isinstance(source, Accession):
        raise GenomeError(Reason.NOT_FOUND, f"{text!r} is not an assembly accession")
    return source


def _by_base(reports: Iterable[AssemblyReport]) -> dict[str, dict[str, AssemblyReport]]:
    found: dict[str, dict[str, AssemblyReport]] = {}
    for report in reports:
        found.setdefault(report.accession.partition(".")[0], {})[report.accession] = report
    return found


def _has(found: Mapping[str, Mapping[str, AssemblyReport]], one: Accession) -> bool:
    return str(one) in found.get(one.base, {})


def _version(accession: str) -> int:
    return int(accession.partition(".")[2] or 0)


def _level(text: object) -> str | None:
    """`Complete Genome` and its kin as complete, chromosome, scaffold, contig."""
    return str(text).split()[0].lower() if text else None


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = raw.get(name)
    return part if isinstance(part, Mapping) else {}


def _text(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


def _whole(value: object) -> int | None:
    """The API gives 64-bit integers as text."""
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return None


def _real(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def report_from_json(value: Mapping[str, Any]) -> AssemblyReport:
    """Undo `AssemblyReport.as_json`; TypeError where the fields do not fit."""
    return AssemblyReport(**value)
