"""Where each enzyme's turnover number comes from: five tiers, the best one that speaks is taken.

`user` tables (`readers.py`) > `measured` for EC number and substrate, preferably in the organism's own domain of life >
`predicted` from sequence, structure and EC, `predicted_no_structure` without the second > `ec_class`, the mean over an
EC class > `global`, the mean over all enzymes. A complex has one turnover number: that of its subunit with the highest,
for the others do not turn over; a subunit with values for several substrates has their mean in log10, for each is an
estimate of the same number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gemforest.kinetics.costs import FORWARD, REVERSE, Enzymes
from gemforest.kinetics.predictor import Prediction, Predictor
from gemforest.kinetics.readers import Entry, Measurement
from gemforest.models import Network

USER, MEASURED, PREDICTED, NO_STRUCTURE, EC_CLASS, GLOBAL = TIERS = (
    "user",
    "measured",
    "predicted",
    "predicted_no_structure",
    "ec_class",
    "global",
)
# The predictor's own word for it
_EC_MEAN = "ec_mean"
PREDICTIONS = (PREDICTED, NO_STRUCTURE)
# Median enzyme of Bar-Even et al., Biochemistry 50, 4402 (2011): 13.7 s^-1; 60 % within 1 to 100 s^-1.
GLOBAL_LOG10, GLOBAL_SD = 1.137, 1.2
# One laboratory against another, log10 (Bar-Even 2011; also the spread of repeated values in BRENDA).
LEAST_MEASURED_SD, SINGLE_MEASURED_SD = 0.3, 0.5
LEAST_OF_CLASS = 5
# Carriers of electrons, phosphate, acyl groups, and what is everywhere: they say little about an enzyme.
_CURRENCY = """
h h2o pi ppi o2 co2 hco3 nh4 h2o2 atp adp amp gtp gdp gmp utp udp ump ctp cdp cmp itp idp nad nadh nadp
nadph fad fadh2 fmn fmnh2 coa accoa q8 q8h2 mqn8 mql8 2dmmq8 2dmmql8 trdox trdrd grxox grxrd fdxox fdxrd
fdxo_42 fdxr_42 flxso flxr thf ACP na1 k cl mg2 mn2 fe2 fe3 zn2 cu2 ca2 so4 so3 pap paps
"""
CURRENCY = frozenset(_CURRENCY.split())


@dataclass(frozen=True)
class Knowledge:
    """All that is known of turnover numbers, from which the tiers are filled.

    Attributes
    ----------
    entries
        Of the user's tables.
    measurements
        Of the user's BRENDA or SABIO-RK tables.
    classes
        EC number or its beginning (`1.1.1`) to mean log10 kcat, sd, count; the empty one stands for all enzymes.
    predictor
        None: no predictions.
    structures
        BiGG metabolite without compartment to SMILES.
    shrink
        Draw other predictors' values toward the mean of the EC class.
    """

    entries: Sequence[Entry] = ()
    measurements: Sequence[Measurement] = ()
    classes: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)
    classes_source: str = ""
    predictor: Predictor | None = None
    structures: Mapping[str, str] = field(default_factory=dict)
    shrink: bool = True


@dataclass(frozen=True)
class Genome:
    """What a genome knows of its enzymes.

    Attributes
    ----------
    genome_id
        As in user tables.
    keys
        Gene to the SHA-256 of its protein.
    sequences
        Gene to its protein.
    ecs
        (gene, reaction) to EC numbers; gene `""` stands for all genes of the reaction.
    domain
        `bacteria`, `archaea`, or empty.
    """

    genome_id: str
    keys: Mapping[str, bytes]
    sequences: Mapping[str, str]
    ecs: Mapping[tuple[str, str], Sequence[str]]
    domain: str = ""


@dataclass(frozen=True)
class Kcats:
    """A turnover number for each enzyme of `Enzymes`; all e long.

    Attributes
    ----------
    log10, sd
        log10 s^-1.
    tier, source, version, substrate
        Where it is from; `substrate` is the metabolite that it was made for, empty where none is meant.
    unused
        Lines of user tables that name genes, proteins or reactions of the model, and fit none of its enzymes.
    """

    log10: np.ndarray
    sd: np.ndarray
    tier: tuple[str, ...]
    source: tuple[str, ...]
    version: tuple[str, ...]
    substrate: tuple[str, ...]
    unused: int = 0

    def counts(self) -> dict[str, int]:
        """Enzymes per tier, best tier first."""
        found = Counter(self.tier)
        return {tier: found[tier] for tier in TIERS if found[tier]}


@dataclass(frozen=True)
class _Value:
    log10: float
    sd: float
    tier: str
    source: str
    version: str = ""
    substrate: str = ""
    predicted: bool = False


def find_kcats(network: Network, enzymes: Enzymes, genome: Genome, knowledge: Knowledge) -> Kcats:
    """The best turnover number known for each enzyme."""
    substrates = {True: _substrates(network, -1.0), False: _substrates(network, 1.0)}
    sides = [substrates[bool(f)][j] for j, f in zip(enzymes.reaction, enzymes.forward, strict=True)]
    ecs = [_ec_numbers(network, genome, j, genes) for j, genes in zip(enzymes.reaction, enzymes.genes, strict=True)]
    values: list[_Value | None] = [None] * len(enzymes)
    unused = 0
    if knowledge.entries:
        table = _UserTable(network, genome, knowledge)
        table.fill(values, enzymes, sides)
        unused = table.unused()
        if knowledge.shrink:
            _shrink(values, ecs, knowledge)
    if knowledge.measurements:
        _fill_measured(values, ecs, sides, network, genome.domain, knowledge.measurements)
    if knowledge.predictor is not None:
        _fill_predicted(values, enzymes, sides, ecs, genome, knowledge)
    for e in range(len(enzymes)):
        if values[e] is None:
            values[e] = _of_class(ecs[e], knowledge)
    found = [value for value in values if value is not None]
    return Kcats(
        np.array([v.log10 for v in found], dtype=np.float64),
        np.array([v.sd for v in found], dtype=np.float64),
        tuple(v.tier for v in found),
        tuple(v.source for v in found),
        tuple(v.version for v in found),
        tuple(v.substrate for v in found),
        unused,
    )


def _shrink(values: list[_Value | None], ecs: Sequence[tuple[str, ...]], knowledge: Knowledge) -> None:
    """Draw predictions of user tables toward their EC class by the two variances: a normal prior, a normal error."""
    for e, value in enumerate(values):
        if value is not None and value.predicted and value.sd > 0.0:
            prior = _of_class(ecs[e], knowledge)
            weight = prior.sd**2 / (prior.sd**2 + value.sd**2)
            values[e] = replace(
                value,
                log10=weight * value.log10 + (1.0 - weight) * prior.log10,
                sd=float(np.sqrt(weight)) * value.sd,
                source=f"{value.source}, shrunk to the {prior.source}",
            )


def _substrates(network: Network, sign: float) -> list[tuple[str, ...]]:
    """Metabolites (without compartment) consumed (-1) or made (1) by each reaction, currency last."""
    matrix, found = network.stoichiometry, []
    for j in range(len(network.reactions)):
        part = slice(matrix.indptr[j], matrix.indptr[j + 1])
        names = {
            network.metabolites[i].rpartition("_")[0]
            for i, value in zip(matrix.indices[part], matrix.data[part], strict=True)
            if value * sign > 0.0
        }
        found.append(tuple(sorted(names - CURRENCY)) + tuple(sorted(names & CURRENCY)))
    return found


def structured(network: Network, structures: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """What structures cover: metabolites (m, bool), and reactions (n, bool) with one of them that is no currency."""
    names = [metabolite.rpartition("_")[0] for metabolite in network.metabolites]
    known = np.array([name in structures for name in names], dtype=bool)
    telling = known & np.array([name not in CURRENCY for name in names], dtype=bool)
    return known, np.asarray(abs(network.stoichiometry).T @ telling.astype(float) > 0.0)


def _ec_numbers(network: Network, genome: Genome, reaction: int, genes: Iterable[str]) -> tuple[str, ...]:
    name = network.reactions[reaction]
    named = [ec for gene in (*genes, "") for ec in genome.ecs.get((gene, name), ())]
    return tuple(dict.fromkeys(named))


# -- user tables -------------------------------------------------------------------------------------------------------


class _UserTable:
    """The user's entries, looked up by reaction, gene and protein."""

    def __init__(self, network: Network, genome: Genome, knowledge: Knowledge) -> None:
        self.network, self.genome = network, genome
        self.structures = knowledge.structures
        self.used: set[int] = set()
        self.by_reaction: dict[str, list[Entry]] = {}
        self.by_gene: dict[str, list[Entry]] = {}
        self.by_protein: dict[bytes, list[Entry]] = {}
        for entry in knowledge.entries:
            if entry.genome_id not in ("", genome.genome_id):
                continue
            if entry.gene:
                self.by_gene.setdefault(entry.gene, []).append(entry)
            elif entry.protein:
                self.by_protein.setdefault(entry.protein, []).append(entry)
            else:
                self.by_reaction.setdefault(entry.reaction, []).append(entry)

    def fill(self, values: list[_Value | None], enzymes: Enzymes, sides: Sequence[tuple[str, ...]]) -> None:
        for e, genes in enumerate(enzymes.genes):
            reaction = self.network.reactions[enzymes.reaction[e]]
            direction = FORWARD if enzymes.forward[e] else REVERSE
            found = [self._best(self._of_gene(gene), reaction, direction, sides[e]) for gene in genes]
            found.append(self._best(self.by_reaction.get(reaction, ()), reaction, direction, sides[e]))
            known = [value for value in found if value is not None]
            if known:
                values[e] = max(known, key=lambda value: value.log10)

    def unused(self) -> int:
        """Entries for genes, proteins or reactions of this model that fitted no enzyme of it."""
        keys = {self.genome.keys.get(gene, b"-") for gene in self.genome.keys}
        meant = [entries for gene, entries in self.by_gene.items() if gene in self.genome.keys]
        meant += [entries for key, entries in self.by_protein.items() if key in keys]
        meant += [entries for reaction, entries in self.by_reaction.items() if reaction in set(self.network.reactions)]
        return sum(id(entry) not in self.used for entries in meant for entry in entries)

    def _of_gene(self, gene: str) -> Sequence[Entry]:
        return [*self.by_gene.get(gene, ()), *self.by_protein.get(self.genome.keys.get(gene, b"-"), ())]

    def _best(self, entries: Sequence[Entry], reaction: str, direction: str, side: tuple[str, ...]) -> _Value | None:
        """Mean over the entries that say most about this reaction."""
        fitting = [
            (entry, named)
            for entry in entries
            if entry.reaction in ("", reaction)
            and entry.direction in ("", direction)
            and (named := self._substrate(entry, side)) is not None
        ]
        if not fitting:
            return None
        self.used.update(id(entry) for entry, _ in fitting)
        # a line that names reaction and direction outranks one that names the gene alone
        most = max(bool(entry.reaction) + bool(entry.direction) for entry, _ in fitting)
        best = [(entry, n) for entry, n in fitting if bool(entry.reaction) + bool(entry.direction) == most]
        specific = [(entry, n) for entry, n in best if n and n not in CURRENCY]
        chosen = specific or best
        return _Value(
            float(np.mean([entry.log10_kcat for entry, _ in chosen])),
            float(np.mean([entry.log10_sd for entry, _ in chosen])),
            USER,
            "; ".join(sorted({entry.source for entry, _ in chosen})),
            "; ".join(sorted({entry.source_version for entry, _ in chosen} - {""})),
            "; ".join(sorted({n for _, n in chosen} - {""})),
            all(entry.predicted for entry, _ in chosen),
        )

    def _substrate(self, entry: Entry, side: tuple[str, ...]) -> str | None:
        """The substrate that an entry is for, `""` where it says none, None where it is for another one."""
        if entry.substrate:
            return entry.substrate if entry.substrate in side else None
        if not entry.smiles:
            return ""
        meant = {skeleton(text) for text in entry.smiles.split(";")} - {""}
        return next((s for s in side if skeleton(self.structures.get(s, "")) in meant), None)


@lru_cache(maxsize=100_000)
def skeleton(structure: str) -> str:
    """First block of the InChIKey of a SMILES or InChI: atoms and bonds without charge and stereo; empty for none."""
    if not structure:
        return ""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = (Chem.MolFromInchi if structure.startswith("InChI=") else Chem.MolFromSmiles)(structure.strip())
        key_of: Any = Chem.MolToInchiKey  # without types
        return "" if molecule is None else str(key_of(molecule)).partition("-")[0]


# -- measured values ---------------------------------------------------------------------------------------------------


def _fill_measured(
    values: list[_Value | None],
    ecs: Sequence[tuple[str, ...]],
    sides: Sequence[tuple[str, ...]],
    network: Network,
    domain: str,
    measurements: Sequence[Measurement],
) -> None:
    wanted = {ec for numbers in ecs for ec in numbers}
    index: dict[tuple[str, str], list[Measurement]] = {}
    for measurement in measurements:
        if measurement.ec in wanted:
            index.setdefault((measurement.ec, measurement.substrate), []).append(measurement)
    lineage = {m.organism: m.domain for m in measurements if m.domain}
    names: dict[str, str] = {}
    for metabolite, name in zip(network.metabolites, network.metabolite_names, strict=True):
        names.setdefault(metabolite.rpartition("_")[0], name.lower())
    for e, numbers in enumerate(ecs):
        if values[e] is not None:
            continue
        for substrate in sides[e]:
            found = [m for ec in numbers for m in index.get((ec, names[substrate]), ())]
            if found:
                values[e] = _measured(found, domain, lineage, substrate)
                break


def _measured(found: Sequence[Measurement], domain: str, lineage: Mapping[str, str], substrate: str) -> _Value:
    own = [m for m in found if domain and (m.domain or lineage.get(m.organism, "")) == domain]
    logs = np.array([m.log10_kcat for m in own or found])
    sd = max(LEAST_MEASURED_SD, float(np.std(logs, ddof=1))) if len(logs) > 2 else SINGLE_MEASURED_SD
    source = "; ".join(sorted({m.source for m in own or found}))
    return _Value(float(np.median(logs)), sd, MEASURED, source, "" if own else "of any organism", substrate)


# -- predictions and means ---------------------------------------------------------------------------------------------


def _fill_predicted(
    values: list[_Value | None],
    enzymes: Enzymes,
    sides: Sequence[tuple[str, ...]],
    ecs: Sequence[tuple[str, ...]],
    genome: Genome,
    knowledge: Knowledge,
) -> None:
    """One call for all distinct (sequence, structure, EC number)."""
    assert knowledge.predictor is not None
    asked: dict[tuple[str, str, tuple[str, ...]], int] = {}
    wanted: list[list[list[tuple[int, str]]]] = []
    for e, genes in enumerate(enzymes.genes):
        per_gene: list[list[tuple[int, str]]] = []
        if values[e] is None:
            known = [s for s in sides[e] if s in knowledge.structures]
            chosen = [s for s in known if s not in CURRENCY] or known[:1] or [""]
            for gene in genes:
                if sequence := genome.sequences.get(gene):
                    questions = [(sequence, knowledge.structures.get(s, ""), ecs[e]) for s in chosen]
                    numbers_of = [asked.setdefault(question, len(asked)) for question in questions]
                    per_gene.append(list(zip(numbers_of, chosen, strict=True)))
        wanted.append(per_gene)
    if not asked:
        return
    sequences, smiles, numbers = (list(part) for part in zip(*asked, strict=True))
    made = knowledge.predictor.predict(sequences, smiles, numbers)
    for e, per_gene in enumerate(wanted):
        best: _Value | None = None
        for pairs in per_gene:
            rows = [row for row, _ in pairs]
            log10 = float(np.mean(made.log10_kcat[rows]))
            if best is None or log10 > best.log10:
                tier = _tier(made, rows)
                named = "; ".join(s for _, s in pairs if s)
                nearest = ", ".join(sorted({str(made.similarity_bin[row]) for row in rows}))
                source = f"gemforest, nearest training enzyme {nearest}" if tier in PREDICTIONS else _class_text(ecs[e])
                sd = float(np.mean(made.sd[rows]))
                best = _Value(log10, sd, tier, source, knowledge.predictor.version, named)
        if best is not None:
            values[e] = best


def _tier(made: Prediction, rows: Sequence[int]) -> str:
    """The weakest tier among predictions that are averaged."""
    named = [EC_CLASS if made.tier[row] == _EC_MEAN else str(made.tier[row]) for row in rows]
    return max(named, key=TIERS.index)


def _class_text(ecs: Sequence[str]) -> str:
    return f"mean of the class of EC {' '.join(ecs)}" if ecs else "mean of all enzymes"


def _of_class(ecs: Sequence[str], knowledge: Knowledge) -> _Value:
    """Mean over the narrowest EC class with enough values, else over all enzymes."""
    for depth in (4, 3, 2, 1):
        for ec in ecs:
            prefix = ".".join(ec.split(".")[:depth])
            mean, sd, count = knowledge.classes.get(prefix, (0.0, 0.0, 0))
            if count >= LEAST_OF_CLASS:
                return _Value(mean, sd, EC_CLASS, f"mean of EC {prefix}", knowledge.classes_source)
    mean, sd, _ = knowledge.classes.get("", (GLOBAL_LOG10, GLOBAL_SD, 0))
    return _Value(mean, sd, GLOBAL, "mean of all enzymes", knowledge.classes_source or "Bar-Even et al. 2011")
