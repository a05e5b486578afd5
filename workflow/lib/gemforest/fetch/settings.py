"""The section `fetch` of the config as objects: where to ask, how fast, how long, what is taken.

What decides which file a genome gets is part of the stage's key; addresses, paces and times are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gemforest.content import Limits as UnpackLimits
from gemforest.fetch.client import Manners, Patience
from gemforest.fetch.download import Limits
from gemforest.fetch.quality import QualityLimits

NCBI_RATE, NCBI_RATE_WITH_KEY = 3.0, 10.0
DAY_S = 86400.0


@dataclass(frozen=True)
class Service:
    """How the network is used; equal for all genomes of a run.

    Attributes
    ----------
    oldest_answer_s
        Reports and lists of checksums in the cache are asked for anew when they are older.
    """

    cache: Path
    datasets_url: str
    genomes_url: str
    requests_per_s: float
    connections: int
    manners: Manners
    patience: Patience
    limits: Limits
    oldest_answer_s: float


@dataclass(frozen=True)
class Choice:
    """Which file of which version is taken, and what is not good enough."""

    on_replaced: str
    on_suppressed: str
    prefer: tuple[str, ...]
    quality: QualityLimits


def service_of(config: Mapping[str, Any], project: Path, api_key: str) -> Service:
    """The service that a config describes; `api_key` is NCBI's, empty without one."""
    fetch = config["fetch"]
    hosts = frozenset(urlsplit(fetch[key]).hostname or "" for key in ("datasets_url", "genomes_url"))
    return Service(
        cache=project / Path(fetch["cache"]).expanduser(),
        datasets_url=fetch["datasets_url"],
        genomes_url=fetch["genomes_url"],
        requests_per_s=_rate(fetch["requests_per_second"], hosts, api_key),
        connections=fetch["connections"],
        manners=Manners(
            contact=fetch["contact"],
            api_key=api_key,
            key_hosts=frozenset({urlsplit(fetch["datasets_url"]).hostname or ""}),
            allowed_hosts=frozenset(fetch["allowed_hosts"]),
        ),
        patience=Patience(
            tries=fetch["tries"],
            backoff_s=fetch["backoff_s"],
            connect_s=fetch["connect_s"],
            read_s=fetch["read_s"],
            slow_after_s=fetch["slow_after_s"],
            slowest_bytes_per_s=fetch["slowest_bytes_per_s"],
        ),
        limits=Limits(
            most_bytes=int(fetch["most_file_mb"] * 1e6),
            unpack=UnpackLimits(max_bytes=int(config["limits"]["unpacked_mb"] * 1e6)),
        ),
        oldest_answer_s=fetch["answers_kept_days"] * DAY_S,
    )


def choice_of(parameters: Mapping[str, Any]) -> Choice:
    """The choice that a stage's parameters (dotted keys) describe."""
    return Choice(
        on_replaced=parameters["fetch.on_replaced"],
        on_suppressed=parameters["fetch.on_suppressed"],
        prefer=tuple(parameters["fetch.prefer"]),
        quality=QualityLimits(
            min_completeness_percent=parameters["fetch.quality.min_completeness_percent"],
            max_contamination_percent=parameters["fetch.quality.max_contamination_percent"],
            max_contigs=parameters["fetch.quality.max_contigs"],
            min_n50_bp=parameters["fetch.quality.min_n50_bp"],
            levels=tuple(parameters["fetch.quality.levels"]),
            ani=parameters["fetch.quality.ani"],
            unknown=parameters["fetch.quality.unknown"],
        ),
    )


CHOICE_KEYS = (
    "fetch.on_replaced",
    "fetch.on_suppressed",
    "fetch.prefer",
    "fetch.quality.min_completeness_percent",
    "fetch.quality.max_contamination_percent",
    "fetch.quality.max_contigs",
    "fetch.quality.min_n50_bp",
    "fetch.quality.levels",
    "fetch.quality.ani",
    "fetch.quality.unknown",
)


def _rate(asked: float | None, hosts: frozenset[str], api_key: str) -> float:
    """NCBI's own limit holds for NCBI whatever the config says; a mirror of one's own may be asked faster."""
    limit = NCBI_RATE_WITH_KEY if api_key else NCBI_RATE
    if asked is None:
        return limit
    return min(asked, limit) if any(host.endswith(".nih.gov") for host in hosts) else asked
