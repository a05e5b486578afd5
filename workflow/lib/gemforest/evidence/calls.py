"""Calls of a genome's genes for reactions, with calibrated probabilities, and what they add up to for each reaction.

Sources differ in kind: homologs propose reactions, reviewed enzymes and annotation EC numbers, users either. Here they
meet as pairs of a gene and a reaction, `combine.py` weighs them, and every pair above the floor is kept, the rejected
ones with the reason, each with an item of evidence from every source that spoke of it (`verdicts.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gemforest.evidence.calibration import load_calibration, probability
from gemforest.evidence.claims import GROUPS, Claim, Heard
from gemforest.evidence.combine import (
    LEVELS,
    NO_HOMOLOG,
    Combination,
    EcSupport,
    EcWord,
    columns_with_homolog,
    columns_without_homolog,
    combination,
    ec_candidates,
    ec_support,
    logit,
    options_of,
    weigh,
)
from gemforest.evidence.dark import DarkCalls, Encoded, propose
from gemforest.evidence.ec import current_ecs, parse_ecs
from gemforest.evidence.homologs import FEATURES, PRIORS, Candidates, Hits, Reference, bigg_reference, candidates
from gemforest.evidence.homologs import self_bits as bits_with_itself
from gemforest.evidence.neighbours import VERSION as NEIGHBOURS_VERSION
from gemforest.evidence.neighbours import NeighbourSupport, neighbour_support
from gemforest.evidence.reactions import GENE_FEATURES, REACTION_FEATURES, gene_features, reaction_features
from gemforest.evidence.subunits import VERSION as PRESENCE_VERSION
from gemforest.evidence.subunits import Presence, bigg_partners, subunit_presence

BY_HOMOLOG, BY_EC, BY_USER, BY_NEIGHBOUR = 0, 1, 2, 3
NOTHING_TO_COMPARE = -1


@dataclass(frozen=True)
class Pairs:
    """c candidates, a gene and a reaction each; `kind` says who proposed them (`BY_HOMOLOG` and the like)."""

    query: np.ndarray
    reaction: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True)
class Opinion:
    """What one source said of some of the candidates.

    Attributes
    ----------
    source, group
        Letter, and the group of sources that share its ancestry.
    rows
        Candidates that it spoke of; the other arrays go with them.
    ratio
        Log-likelihood ratio: above 0 it speaks for the candidate.
    level
        Fields that its EC number shares with the reaction's; 4 for a source that names reactions, 0 where it names
        another function, NOTHING_TO_COMPARE where the reaction has no number.
    """

    source: str
    group: str
    rows: np.ndarray
    ratio: np.ndarray
    level: np.ndarray
    version: Sequence[str]
    target: Sequence[str]
    value: np.ndarray
    identity_percent: np.ndarray
    query_coverage: np.ndarray
    target_coverage: np.ndarray


@dataclass(frozen=True)
class Calls:
    """Candidates of a genome with what the sources make of them.

    Attributes
    ----------
    genes
        Ids of the genome's genes; `pairs.query` counts them.
    reactions, ecs
        Names that `pairs.reaction` counts (the reference's, then those of users' tables), and their EC numbers.
    log_odds, threshold
        c: combined; a candidate is accepted from `threshold` on, a probability.
    outdone
        c: another gene of the genome fits the reaction much better.
    opinions
        Of every source that spoke.
    kin
        Of each reaction: share of the genome's kin that has it.
    dark
        Proposals for proteins that nothing else speaks of; None where nobody asked.
    """

    genes: pa.Array
    reactions: np.ndarray
    ecs: Sequence[tuple[str, ...]]
    pairs: Pairs
    log_odds: np.ndarray
    threshold: np.ndarray
    outdone: np.ndarray
    opinions: Sequence[Opinion]
    kin: np.ndarray
    fits: Combination
    dark: DarkCalls | None


def call_reactions(
    proteins: pa.Table,
    homologs: pa.Table,
    heard: Sequence[Heard] = (),
    ecs: Mapping[str, tuple[str, ...]] | None = None,
    presence: bool = False,
    weights: Mapping[str, float] | None = None,
    encoded: Encoded | None = None,
) -> Calls:
    """Weigh every reaction that the genome's homologs and the other sources propose.

    Parameters
    ----------
    proteins
        Columns gene_id, sequence.
    homologs
        The table of that name.
    heard
        Claims of the sources E, A and U; a source that is not there is neutral.
    ecs
        Reaction to EC numbers; needed where a claim names an EC number.
    presence
        Whether source P, the other subunits, is asked.
    weights
        Letter to the weight of the source; 0 silences it.
    encoded
        Source N and dark proteins; None where there are no vectors.
    """
    weights = weights or {}
    claims = [c for one in heard if weights.get(one.source, 1.0) > 0 for c in one.claims]
    presence = presence and weights.get("P", 1.0) > 0
    neighbours = encoded.near if encoded and encoded.listened and weights.get("N", 1.0) > 0 else None
    reference, genes = bigg_reference(), proteins["gene_id"].combine_chunks()
    hits = _hits(proteins, homologs, genes, reference)
    found = candidates(hits, reference)
    dark = None
    if encoded is not None and encoded.dark is not None:
        dark = propose(encoded.near, encoded.dark, found.priors, reference)
    used = dark if encoded and encoded.use_dark else None
    names, known_ecs = _reactions(reference, claims, ecs or {})
    words = {letter: made for letter in ("A", "E") if (made := _words(letter, claims, names))}
    fits = combination([*words, *("P" if presence else ""), *("N" if neighbours else "")])
    users = _user_ratios(claims, names, known_ecs)
    pairs = _pairs(found, [w for made in words.values() for w in made], users, known_ecs, len(names), fits, used)
    supports = {s: ec_support(pairs.query, pairs.reaction, made, known_ecs) for s, made in words.items()}
    there = subunit_presence(hits, found, reference, bigg_partners()) if presence else None
    near = neighbour_support(pairs.query, pairs.reaction, neighbours, reference) if neighbours else None

    own = load_calibration("homologs")
    said = _Said(found, pairs, supports, there, near, fits)
    log_odds, threshold, ratios = _weighed(said, weights, len(genes), len(names))
    if used is not None:
        rows = np.flatnonzero(pairs.kind == BY_NEIGHBOUR)
        log_odds[rows] = used.log_odds
        ratios.setdefault("N", np.zeros(len(log_odds)))[rows] = used.log_odds - own.prior_log_odds
    own_ratio = (log_odds - sum(ratios.values(), np.zeros(len(log_odds))))[: len(found.query)] - own.prior_log_odds
    opinions = [_opinion_of_homologs(hits, found, reference, own_ratio, own.version)]
    for letter, support in supports.items():
        opinions += _opinions_of_ecs(words[letter], support, ratios[letter])
    if there is not None:
        opinions.append(_opinion_of_presence(there, ratios["P"]))
    if near is not None:
        opinions.append(_opinion_of_neighbours(near, np.arange(len(log_odds)), reference, ratios["N"]))
    elif used is not None:
        opinions.append(_opinion_of_neighbours(used.support, rows, reference, ratios["N"][rows]))
    for opinion in _opinions_of_users(users, pairs, len(names), own.prior_log_odds, weights.get("U", 1.0)):
        log_odds[opinion.rows] += opinion.ratio
        opinions.append(opinion)
    outdone = np.zeros(len(log_odds), dtype=bool)
    outdone[: len(found.query)] = found.features[:, FEATURES.index("best_in_genome")] < 0.5
    kin = np.zeros(len(names))
    kin[: len(found.priors)] = found.priors[:, PRIORS.index("kin_with_reaction")]
    return Calls(genes, names, known_ecs, pairs, log_odds, threshold, outdone, opinions, kin, fits, dark)


@dataclass(frozen=True)
class _Said:
    """What goes into the fits: D's candidates, all candidates, agreement of EC numbers by source, subunits."""

    found: Candidates
    pairs: Pairs
    supports: Mapping[str, EcSupport]
    there: Presence | None
    near: NeighbourSupport | None
    fits: Combination


def _weighed(
    said: _Said, weights: Mapping[str, float], genes: int, names: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Log-odds and threshold of each candidate, and the log-likelihood ratios of the sources E, A, N and P."""
    own, pairs, found = load_calibration("homologs"), said.pairs, said.found
    features = {name: found.features[:, i] for i, name in enumerate(FEATURES)}
    by_homologs = own.log_odds(features) if len(found.query) else np.zeros(0)
    log_odds = np.full(len(pairs.query), own.prior_log_odds)
    threshold = np.full(len(pairs.query), own.threshold)
    spoke = [*said.supports, *("P" if said.there is not None else ""), *("N" if said.near is not None else "")]
    ratios = {letter: np.zeros(len(pairs.query)) for letter in spoke}
    first = _columns_of_homologs(by_homologs, features, said)
    second = _columns_of_ecs(by_homologs, said, genes, names)
    fits = ((BY_HOMOLOG, said.fits.with_homolog, first), (BY_EC, said.fits.without_homolog, second))
    for kind, fit, columns in fits:
        rows = np.flatnonzero(pairs.kind == kind)
        if len(rows) and fit is not None:
            weighed = weigh(fit, columns, weights)
            log_odds[rows], threshold[rows] = weighed.log_odds, fit.threshold
            for letter, ratio in weighed.by_source.items():
                ratios[letter][rows] = ratio
    _credit(pairs, said.supports, ratios, log_odds - own.prior_log_odds)
    return log_odds, threshold, ratios


def reaction_probabilities(
    calls: Calls, floor: float, universe: Collection[str], always: Collection[str]
) -> dict[str, float]:
    """Probability of each reaction of the universe that some gene speaks for: from the floor on, and of `always`."""
    if not len(calls.pairs.query):
        return {}
    kin = calls.kin[calls.pairs.reaction]
    rows = reaction_features(calls.pairs.query, calls.pairs.reaction, calls.log_odds, kin)
    columns = {name: rows.features[:, i] for i, name in enumerate(REACTION_FEATURES)}
    p = probability(calls.fits.reactions.log_odds(columns))
    names = calls.reactions[rows.reaction].tolist()
    return {
        name: value
        for name, value in zip(names, p.tolist(), strict=True)
        if name in always or (value >= floor and name in universe)
    }


def none_of_these(calls: Calls) -> np.ndarray:
    """Of each gene: probability that it does none of the reactions proposed for it; nan where none is proposed."""
    none = np.full(len(calls.genes), np.nan)
    if len(calls.pairs.query):
        genes, features = gene_features(calls.pairs.query, calls.log_odds)
        columns = {name: features[:, i] for i, name in enumerate(GENE_FEATURES)}
        none[genes] = probability(-load_calibration("genes").log_odds(columns))
    return none


def _hits(proteins: pa.Table, homologs: pa.Table, genes: pa.Array, reference: Reference) -> Hits:
    target = pc.index_in(homologs["target"], pa.array(reference.genes.tolist()))
    query = pc.index_in(homologs["gene_id"], genes)
    known = homologs.append_column("q", query).append_column("t", target).filter(pc.is_valid(target))
    return Hits(
        query=known["q"].to_numpy().astype(np.int64),
        target=known["t"].to_numpy().astype(np.int64),
        bits=known["bitscore"].to_numpy().astype(float),
        identity=known["identity_percent"].to_numpy().astype(float) / 100,
        query_coverage=known["query_coverage"].to_numpy().astype(float),
        target_coverage=known["target_coverage"].to_numpy().astype(float),
        self_bits=bits_with_itself(proteins["sequence"].to_pylist()),
    )


def _is_ec(target: str) -> bool:
    return target[:1].isdigit() and "." in target


def _reactions(
    reference: Reference, claims: Iterable[Claim], ecs: Mapping[str, tuple[str, ...]]
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Names of all reactions that may be called, the reference's first, and their EC numbers."""
    known = set(reference.reactions.tolist())
    further = sorted({c.target for c in claims if not _is_ec(c.target)} - known)
    names = np.array([*reference.reactions.tolist(), *further], dtype=str)
    return names, [ecs.get(name, ()) for name in names.tolist()]


def _words(letter: str, claims: Iterable[Claim], names: np.ndarray) -> list[EcWord]:
    """What a source says in EC numbers, today's, or reactions. Users' words without a probability are annotation."""
    place = {name: number for number, name in enumerate(names.tolist())}
    words = []
    for claim in claims:
        as_annotation = letter == "A" and claim.source == "U" and claim.probability is None
        if claim.source != letter and not as_annotation:
            continue
        if not _is_ec(claim.target):
            words.append(EcWord(claim.gene, "", 0.5, claim.weight, claim, place[claim.target]))
            continue
        strength = 0.5
        if claim.identity_percent is not None:
            covered = min(claim.query_coverage or 0.0, claim.target_coverage or 0.0)
            strength = claim.identity_percent / 100 * covered**0.5
        for number in parse_ecs(claim.target).numbers:
            for ec, share in current_ecs(number).items():
                words.append(EcWord(claim.gene, ec, strength, share * claim.weight, claim))
    return words


def _user_ratios(
    claims: Iterable[Claim], names: np.ndarray, ecs: Sequence[tuple[str, ...]]
) -> dict[tuple[str, str], dict[int, tuple[float, Claim]]]:
    """By table's origin: candidate `gene · names + reaction` to the probability that it gives, and the claim.

    An EC number's probability is shared among the reactions that it leads to: one gene seldom does them all.
    """
    place = {name: number for number, name in enumerate(names.tolist())}
    reactions_of = _reactions_of(ecs)
    found: dict[tuple[str, str], dict[int, tuple[float, Claim]]] = {}
    for claim in claims:
        if claim.source != "U" or claim.probability is None:
            continue
        if _is_ec(claim.target):
            today = current_ecs(claim.target)
            meant = {
                r: share / len(reactions_of[ec]) ** 0.5 for ec, share in today.items() for r in reactions_of.get(ec, ())
            }
        else:
            meant = {place[claim.target]: 1.0}
        said = found.setdefault((claim.origin, claim.version), {})
        for reaction, share in meant.items():
            key = claim.gene * len(names) + reaction
            said[key] = max(said.get(key, (0.0, claim)), (claim.probability * share, claim), key=lambda one: one[0])
    return found


def _reactions_of(ecs: Sequence[tuple[str, ...]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for reaction, numbers in enumerate(ecs):
        for ec in numbers:
            found.setdefault(ec, []).append(reaction)
    return found


def _pairs(
    found: Candidates,
    words: Sequence[EcWord],
    users: Mapping[tuple[str, str], Mapping[int, object]],
    ecs: Sequence[tuple[str, ...]],
    n: int,
    fits: Combination,
    dark: DarkCalls | None,
) -> Pairs:
    """All candidates: of homologs in their order, then of EC numbers alone, of users alone, of neighbours alone."""
    keys = found.query * n + found.reaction
    # Reactions without any gene in BiGG are beyond what the fit has seen: only users propose them.
    reachable = _reactions_of(ecs[: len(found.priors)])
    by_ec = ec_candidates(words, reachable, keys, n) if fits.without_homolog else np.zeros(0, dtype=np.int64)
    said = {key for claims in users.values() for key in claims}
    by_user = np.array(sorted(said - set(keys.tolist()) - set(by_ec.tolist())), dtype=np.int64)
    before = np.concatenate([keys, by_ec, by_user])
    # Dark proteins are those that no other source knows: their pairs are new.
    by_neighbour = np.zeros(0, dtype=np.int64) if dark is None else dark.query * n + dark.reaction
    kind = np.repeat(
        [BY_HOMOLOG, BY_EC, BY_USER, BY_NEIGHBOUR], [len(keys), len(by_ec), len(by_user), len(by_neighbour)]
    )
    everything = np.concatenate([before, by_neighbour])
    return Pairs(everything // n, everything % n, kind)


def _columns_of_homologs(
    by_homologs: np.ndarray, own: Mapping[str, np.ndarray], said: _Said
) -> Mapping[str, np.ndarray]:
    """Columns of candidates that homologs propose; where no other source speaks, D's own features."""
    if not said.supports and said.there is None and said.near is None:
        return own
    rows = np.flatnonzero(said.pairs.kind == BY_HOMOLOG)
    supports = {s: support.take(rows) for s, support in said.supports.items()}
    return columns_with_homolog(by_homologs, supports, said.there, said.near and said.near.take(rows))


def _columns_of_ecs(by_homologs: np.ndarray, said: _Said, genes: int, n: int) -> Mapping[str, np.ndarray]:
    found, pairs = said.found, said.pairs
    best = np.full(genes, NO_HOMOLOG)
    np.maximum.at(best, found.query, by_homologs)
    rows = np.flatnonzero(pairs.kind == BY_EC)
    query, reaction = pairs.query[rows], pairs.reaction[rows]
    return columns_without_homolog(
        {s: support.take(rows) for s, support in said.supports.items()},
        found.priors[reaction],
        best[query],
        options_of(query * n + reaction, n),
        said.near and said.near.take(rows),
    )


def _credit(
    pairs: Pairs, supports: Mapping[str, EcSupport], ratios: Mapping[str, np.ndarray], total: np.ndarray
) -> None:
    """What EC numbers alone propose rests on the sources that gave the number, in equal parts."""
    rows = np.flatnonzero(pairs.kind == BY_EC)
    total = total - ratios["N"] if "N" in ratios else total
    named = {letter: support.level[rows] == LEVELS for letter, support in supports.items()}
    count = np.maximum(sum(said.astype(int) for said in named.values()), 1) if named else np.ones(len(rows))
    for letter, said in named.items():
        ratios[letter][rows] = np.where(said, total[rows] / count, 0.0)


def _opinion_of_homologs(
    hits: Hits, found: Candidates, reference: Reference, ratio: np.ndarray, version: str
) -> Opinion:
    """The best alignment that speaks for each candidate of homologs."""
    n, hit = len(found.query), found.hit
    return Opinion(
        source="D",
        group=GROUPS["D"],
        rows=np.arange(n),
        ratio=ratio,
        level=np.full(n, 4),
        version=[version] * n,
        target=reference.genes[hits.target[hit]].tolist(),
        value=hits.bits[hit],
        identity_percent=hits.identity[hit] * 100,
        query_coverage=hits.query_coverage[hit],
        target_coverage=hits.target_coverage[hit],
    )


def _opinions_of_ecs(words: Sequence[EcWord], support: EcSupport, ratio: np.ndarray) -> list[Opinion]:
    """The nearest number that a source gives to each candidate's gene, by letter: users' words go with annotation."""
    chosen = np.array([words[w].claim.source if w >= 0 else "" for w in support.word.tolist()], dtype=str)
    opinions = []
    for letter in sorted(set(chosen.tolist()) - {""}):
        rows = np.flatnonzero(chosen == letter)
        claims = [words[w].claim for w in support.word[rows].tolist()]
        targets = [
            " ".join(filter(None, (c.target, c.entry, c.origin if c.origin != "reviewed" else ""))) for c in claims
        ]
        opinions.append(
            Opinion(
                source=letter,
                group=claims[0].group,
                rows=rows,
                ratio=ratio[rows],
                level=np.where(support.annotated[rows], support.level[rows], NOTHING_TO_COMPARE),
                version=[claim.version for claim in claims],
                target=targets,
                value=_column(claims, "value"),
                identity_percent=_column(claims, "identity_percent"),
                query_coverage=_column(claims, "query_coverage"),
                target_coverage=_column(claims, "target_coverage"),
            )
        )
    return opinions


def _opinion_of_presence(there: Presence, ratio: np.ndarray) -> Opinion:
    rows = np.flatnonzero(there.in_complex)
    nothing = np.full(len(rows), np.nan)
    return Opinion(
        source="P",
        group=GROUPS["P"],
        rows=rows,
        ratio=ratio[rows],
        level=np.full(len(rows), 4),
        version=[PRESENCE_VERSION] * len(rows),
        target=[""] * len(rows),
        value=there.share[rows],
        identity_percent=nothing,
        query_coverage=nothing,
        target_coverage=nothing,
    )


def _opinion_of_neighbours(
    near: NeighbourSupport, rows: np.ndarray, reference: Reference, ratio: np.ndarray
) -> Opinion:
    """The nearest neighbour that does the reaction, else the nearest of all, with its cosine."""
    n = len(rows)
    nothing = np.full(n, np.nan)
    return Opinion(
        source="N",
        group=GROUPS["N"],
        rows=rows,
        ratio=ratio,
        # A neighbour among thirty is no annotation: it names no function that others could contradict.
        level=np.full(n, NOTHING_TO_COMPARE),
        version=[NEIGHBOURS_VERSION] * n,
        target=reference.genes[near.target].tolist(),
        value=near.cosine,
        identity_percent=nothing,
        query_coverage=nothing,
        target_coverage=nothing,
    )


def _opinions_of_users(
    users: Mapping[tuple[str, str], Mapping[int, tuple[float, Claim]]],
    pairs: Pairs,
    n: int,
    prior_log_odds: float,
    weight: float,
) -> Iterable[Opinion]:
    """Each origin's probabilities against the prior: independent of the other sources as far as we know."""
    row_of = {key: row for row, key in enumerate((pairs.query * n + pairs.reaction).tolist())}
    for (_, version), said in sorted(users.items()):
        rows = np.array([row_of[key] for key in said], dtype=np.int64)
        claims = [claim for _, claim in said.values()]
        nothing = np.full(len(rows), np.nan)
        p = np.array([p for p, _ in said.values()])
        yield Opinion(
            source="U",
            group=claims[0].group,
            rows=rows,
            ratio=weight * (logit(p) - prior_log_odds),
            level=np.full(len(rows), 4),
            version=[version] * len(rows),
            target=[f"{claim.target} {claim.origin}" for claim in claims],
            value=p,
            identity_percent=nothing,
            query_coverage=nothing,
            target_coverage=nothing,
        )


def _column(claims: Sequence[Claim], name: str) -> np.ndarray:
    return np.array([np.nan if getattr(c, name) is None else getattr(c, name) for c in claims], dtype=float)
