"""From opinions to the table `gene_reactions`: the decision, the kind of conflict, and each source's say.

Conflict classes of a call: `single_source` where one source alone spoke; `only_unreviewed` where annotation or users
speak for it and neither a homolog nor a reviewed enzyme does; `contradiction` where a source names another function;
`same_ec3` where the EC numbers agree to the third field; `multifunctional` where the gene has accepted calls of several
EC subclasses, all agreed upon; else `agree`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gemforest.evidence.calibration import probability
from gemforest.evidence.calls import NOTHING_TO_COMPARE, Calls, Opinion, none_of_these
from gemforest.evidence.combine import LEVELS
from gemforest.tables import EVIDENCE_ITEM, TABLES

ACCEPTED = "accepted"
BELOW_THRESHOLD = "rejected: below threshold"
BETTER_GENE = "rejected: another gene fits better"
OTHER_FUNCTION = "rejected: another source names another function"
REVIEWED = frozenset("DE")
NAMES_FUNCTIONS = frozenset("DEAU")


def gene_reactions_table(genome_id: str, calls: Calls, floor: float) -> pa.Table:
    """The calls from the floor on, by gene and reaction."""
    p = probability(calls.log_odds)
    pairs = calls.pairs
    kept = np.flatnonzero(p >= floor)
    kept = kept[np.lexsort((calls.reactions[pairs.reaction[kept]], pairs.query[kept]))]
    n = len(kept)
    said = _said(calls.opinions, len(p))
    accepted = p >= calls.threshold
    several = _multifunctional(calls, accepted)
    conflicts = [_conflict(calls.opinions, said[row], bool(several[row])) for row in kept.tolist()]
    columns = {
        "genome_id": pa.array([genome_id] * n, pa.string()),
        "gene_id": calls.genes.take(pa.array(pairs.query[kept])),
        "reaction": pa.array(calls.reactions[pairs.reaction[kept]].tolist(), pa.string()),
        "ec": pa.array([list(calls.ecs[r]) for r in pairs.reaction[kept].tolist()], pa.list_(pa.string())),
        "probability": pa.array(p[kept]),
        "log_odds": pa.array(calls.log_odds[kept]),
        "none_of_these": pa.array(none_of_these(calls)[pairs.query[kept]]),
        "decision": pa.array(_decisions(calls, kept, accepted, conflicts), pa.string()),
        "conflict": pa.array(conflicts, pa.string()),
        "independent_groups": pa.array([_groups(calls.opinions, said[row]) for row in kept.tolist()], pa.int16()),
        "evidence": _evidence(calls.opinions, [said[row] for row in kept.tolist()]),
    }
    return pa.table(columns, schema=TABLES["gene_reactions"].schema)


Said = Sequence[tuple[int, int]]
"""Of one candidate: (opinion, place in its arrays), in the order of the sources."""


def _said(opinions: Sequence[Opinion], candidates: int) -> list[list[tuple[int, int]]]:
    said: list[list[tuple[int, int]]] = [[] for _ in range(candidates)]
    for number, opinion in enumerate(opinions):
        for place, row in enumerate(opinion.rows.tolist()):
            said[row].append((number, place))
    return said


def _conflict(opinions: Sequence[Opinion], said: Said, several: bool) -> str:
    voices = [(opinions[o].source, int(opinions[o].level[i])) for o, i in said]
    naming = [voice for voice in voices if voice[0] in NAMES_FUNCTIONS and voice[1] != NOTHING_TO_COMPARE]
    agreeing = [source for source, level in naming if level >= 3]
    if len({source for source, _ in naming}) < 2:
        return "only_unreviewed" if naming and naming[0][0] not in REVIEWED else "single_source"
    if not REVIEWED & set(agreeing):
        return "only_unreviewed"
    if any(level < 3 for _, level in naming):
        return "contradiction"
    if any(level == 3 for _, level in naming):
        return "same_ec3"
    if several:
        return "multifunctional"
    return "agree" if len(set(agreeing)) > 1 else "single_source"


def _multifunctional(calls: Calls, accepted: np.ndarray) -> np.ndarray:
    """Whether the gene of each candidate has accepted calls of more than one EC subclass (first three fields)."""
    classes: dict[int, set[str]] = {}
    for row in np.flatnonzero(accepted).tolist():
        for ec in calls.ecs[calls.pairs.reaction[row]]:
            classes.setdefault(int(calls.pairs.query[row]), set()).add(ec.rsplit(".", 1)[0])
    return np.array([len(classes.get(gene, ())) > 1 for gene in calls.pairs.query.tolist()], dtype=bool)


def _groups(opinions: Sequence[Opinion], said: Said) -> int:
    """Independent groups of sources that speak for the call."""
    return len({opinions[o].group for o, i in said if opinions[o].ratio[i] > 0 or _names_it(opinions[o], i)})


def _names_it(opinion: Opinion, place: int) -> bool:
    return opinion.source != "D" and opinion.level[place] == LEVELS


def _decisions(calls: Calls, kept: np.ndarray, accepted: np.ndarray, conflicts: Sequence[str]) -> list[str]:
    """Accepted from the threshold on; a rejected call says what is the reason."""
    decisions = []
    for row, conflict in zip(kept.tolist(), conflicts, strict=True):
        if accepted[row]:
            decisions.append(ACCEPTED)
        elif calls.outdone[row]:
            decisions.append(BETTER_GENE)
        else:
            decisions.append(OTHER_FUNCTION if conflict == "contradiction" else BELOW_THRESHOLD)
    return decisions


def _evidence(opinions: Sequence[Opinion], said: Sequence[Said]) -> pa.Array:
    """One item for each source that spoke, in the order of the sources."""
    flat = [pair for items in said for pair in items]
    offsets = np.concatenate([[0], np.cumsum([len(items) for items in said])]).astype(np.int32)

    def column(name: str) -> list[object]:
        return [getattr(opinions[o], name)[i] for o, i in flat]

    def numbers(name: str) -> pa.Array:
        return pa.array(np.array(column(name), dtype=float), from_pandas=True)

    items = {
        "source": pa.array([opinions[o].source for o, _ in flat], pa.string()),
        "version": pa.array(column("version"), pa.string()),
        "target": pa.array(column("target"), pa.string()),
        "value": numbers("value"),
        "identity_percent": numbers("identity_percent"),
        "query_coverage": numbers("query_coverage"),
        "target_coverage": numbers("target_coverage"),
        "log_likelihood_ratio": numbers("ratio"),
    }
    structs = pa.StructArray.from_arrays(list(items.values()), fields=[EVIDENCE_ITEM.field(name) for name in items])
    return pa.ListArray.from_arrays(pa.array(offsets), structs)
