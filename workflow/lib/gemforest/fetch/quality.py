"""Whether an assembly is good enough to build a model from, by what the archive says of it.

A limit that is not set is not asked about. Where the archive does not know a value that a limit needs, `unknown`
decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemforest.errors import RefusedError
from gemforest.fetch.datasets import AssemblyReport
from gemforest.ledger import Reason


@dataclass(frozen=True)
class QualityLimits:
    """What is asked of an assembly; None asks nothing.

    Attributes
    ----------
    min_completeness_percent, max_contamination_percent
        By CheckM, as NCBI runs it.
    max_contigs, min_n50_bp
        Of the contigs.
    levels
        Allowed assembly levels: complete, chromosome, scaffold, contig; empty allows all.
    ani
        any, not_failed or ok: NCBI's check of the declared species by average nucleotide identity.
    unknown
        accept or refuse: what happens where the archive does not know a value that a limit needs.
    """

    min_completeness_percent: float | None = None
    max_contamination_percent: float | None = None
    max_contigs: int | None = None
    min_n50_bp: int | None = None
    levels: tuple[str, ...] = ()
    ani: str = "any"
    unknown: str = "accept"


def shortcomings(report: AssemblyReport, limits: QualityLimits) -> list[str]:
    """Each limit that the assembly does not keep, in words; empty where it passes."""
    found = [
        _below("completeness", report.completeness_percent, limits.min_completeness_percent, "%", limits),
        _above("contamination", report.contamination_percent, limits.max_contamination_percent, "%", limits),
        _above("contigs", report.contigs, limits.max_contigs, "", limits),
        _below("contig N50", report.n50_bp, limits.min_n50_bp, " bp", limits),
        _level(report, limits),
        _ani(report, limits),
    ]
    return [text for text in found if text]


def require_quality(report: AssemblyReport, limits: QualityLimits) -> None:
    """Raise RefusedError (`quality_filter`) with all shortcomings, if there are any."""
    if found := shortcomings(report, limits):
        raise RefusedError(Reason.QUALITY_FILTER, f"{report.accession}: {'; '.join(found)}")


def _below(name: str, value: float | None, limit: float | None, unit: str, limits: QualityLimits) -> str:
    if limit is None:
        return ""
    if value is None:
        return _unknown(name, limits)
    return f"{name} {value:g}{unit} is below {limit:g}{unit}" if value < limit else ""


def _above(name: str, value: float | None, limit: float | None, unit: str, limits: QualityLimits) -> str:
    if limit is None:
        return ""
    if value is None:
        return _unknown(name, limits)
    return f"{name} {value:g}{unit} is above {limit:g}{unit}" if value > limit else ""


def _level(report: AssemblyReport, limits: QualityLimits) -> str:
    if not limits.levels:
        return ""
    if report.level is None:
        return _unknown("assembly level", limits)
    return (
        "" if report.level in limits.levels else f"assembly level {report.level} is none of {', '.join(limits.levels)}"
    )


def _ani(report: AssemblyReport, limits: QualityLimits) -> str:
    if limits.ani == "any":
        return ""
    if report.ani_status is None:
        return _unknown("ANI status", limits)
    status = report.ani_status.lower()
    passes = status == "ok" or (limits.ani == "not_failed" and status != "failed")
    return "" if passes else f"NCBI's ANI check of the species says {report.ani_status}"


def _unknown(name: str, limits: QualityLimits) -> str:
    return f"{name} is not known" if limits.unknown == "refuse" else ""
