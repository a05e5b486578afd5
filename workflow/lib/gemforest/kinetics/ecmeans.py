"""Mean log kcats of EC classes, each drawn toward the class above it.

A class of n homology clusters has the mean of its cluster means, weighted by what a cluster tells (members of one
cluster repeat each other), shrunk toward the next shorter prefix as if that were `PRIOR_CLUSTERS` more clusters:
empirical Bayes in the manner of Efron and Morris (1975), one level of the EC tree at a time. The empty prefix is the
global prior.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PRIOR_CLUSTERS = (0.0, 4.0, 3.0, 3.0, 2.0)
"""How many clusters the class above counts for, by number of EC fields."""

WITHIN_CLUSTER = 0.6
"""Correlation of log kcats within a homology cluster: n members tell as much as n / (1 + 0.6 n) independent ones."""


@dataclass(frozen=True)
class ClassMean:
    """What is known of an EC class: shrunk mean and spread of log10(kcat / s^-1), and how many values it rests on."""

    mean: float
    sd: float
    n: int


def prefixes(ec: str) -> list[str]:
    """The class and all above it, shortest first, the empty one included: `1.1.1.-` gives '', 1, 1.1, 1.1.1."""
    fields: list[str] = []
    for field in ec.strip().removeprefix("EC").lstrip(" :").split("."):
        if not field or field == "-":
            break
        fields.append(field)
    return ["", *(".".join(fields[: n + 1]) for n in range(len(fields)))]


def fit(ecs: Sequence[str], log10_kcats: NDArray[np.float64], clusters: Sequence[int]) -> dict[str, ClassMean]:
    """Class means of measured values.

    Parameters
    ----------
    ecs
        n EC numbers, empty where there is none.
    log10_kcats
        n, log10(s^-1).
    clusters
        n, homology cluster of each enzyme.
    """
    members: dict[str, dict[int, list[float]]] = {}
    for ec, value, cluster in zip(ecs, log10_kcats, clusters, strict=True):
        for prefix in prefixes(ec):
            members.setdefault(prefix, {}).setdefault(cluster, []).append(float(value))
    means: dict[str, ClassMean] = {}
    for prefix in sorted(members, key=_level):
        groups = list(members[prefix].values())
        counts = np.array([len(group) for group in groups], float)
        weights = counts / (1 + WITHIN_CLUSTER * counts)
        values = np.array([np.mean(group) for group in groups])
        above = means[prefix.rpartition(".")[0]] if prefix else ClassMean(0.0, 1.0, 0)
        prior = PRIOR_CLUSTERS[_level(prefix)]
        total = float(weights.sum()) + prior
        mean = (float(weights @ values) + prior * above.mean) / total
        # Spread of single values about the shrunk mean, drawn toward that of the class above in the same way.
        squares = np.array([np.mean((np.array(group) - mean) ** 2) for group in groups])
        sd = float(np.sqrt((weights @ squares + prior * above.sd**2) / total))
        means[prefix] = ClassMean(mean, sd, int(counts.sum()))
    return means


def lookup(means: Mapping[str, ClassMean], ecs: Iterable[str]) -> tuple[ClassMean, int]:
    """The mean of the deepest known class of several EC numbers, equal depths averaged, and that depth (0 to 4)."""
    found: dict[int, list[ClassMean]] = {}
    for ec in sorted(set(ecs)):
        known = [prefix for prefix in prefixes(ec) if prefix in means]
        found.setdefault(_level(known[-1]), []).append(means[known[-1]])
    if not found:
        return means[""], 0
    depth = max(found)
    best = found[depth]
    mean = float(np.mean([one.mean for one in best]))
    variance = float(np.mean([one.sd**2 for one in best]) + np.var([one.mean for one in best]))
    return ClassMean(mean, variance**0.5, sum(one.n for one in best)), depth


def write(means: Mapping[str, ClassMean], path: Path) -> None:
    """Write as a table: ec, log10_kcat, sd, n."""
    lines = ["ec\tlog10_kcat\tsd\tn"]
    lines += [f"{ec}\t{means[ec].mean:.4f}\t{means[ec].sd:.4f}\t{means[ec].n}" for ec in sorted(means)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, ClassMean]:
    """Read what `write` wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {ec: ClassMean(float(mean), float(sd), int(n)) for ec, mean, sd, n in rows}


def _level(prefix: str) -> int:
    return prefix.count(".") + 1 if prefix else 0
