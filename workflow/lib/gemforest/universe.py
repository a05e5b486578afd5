"""A universe of reactions, compiled once from SBML into arrays that load in a blink.

CarveMe (Machado et al. 2018) ships five universes as SBML that take four seconds each to parse. Here each is read
once, checked, and kept as one `.npz` file in `resources/cache/`, named by the version of carveme and the digest of the
file; a user's own SBML goes through the same door. The archaea's universe lacks the way to methane: what it takes is
added from the universe of all BiGG reactions that CarveMe ships too (`resources/archaeal_reactions.tsv` names it, with
bounds). What is compiled besides the network is what every genome would
otherwise work out again: the reactions that no flux can pass and the sets of reactions whose fluxes are proportional
in every steady state (fully coupled, Burgard et al. 2004, for the stoichiometry alone).

Bounds are those that CarveMe carves with: `load_cbmodel(flavor="bigg")`, then `apply_bounds` (infinite becomes 1000).
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.sparse import coo_array, csc_array, hstack

from gemforest import models
from gemforest.biomass import OPEN, PARTS, biomass_notes, open_name, split_name, variant
from gemforest.config import WORKFLOW
from gemforest.errors import InputError
from gemforest.lp import LinearProgram, Status
from gemforest.models import Network, write_sbml
from gemforest.store import atomic

UNIVERSES = ("bacteria", "gramneg", "grampos", "archaea", "cyanobacteria")
"""The universes inside the carveme package."""

ADDITIONS = {"archaea": "archaeal_reactions.tsv"}
"""Universe to the resource that names what is added to it from the universe of all BiGG reactions."""

FERMENTATION = "fermentation_reactions.tsv"
"""What the variants of bacterial universes (`biomass.py`) have beyond them; the universes themselves stay CarveMe's."""

BACTERIAL = ("bacteria", "gramneg", "grampos")

FORMAT = 2
"""Raised whenever the compiled content changes: part of the digest and of the file's name."""

LARGEST_FLUX = 1000.0
"""CarveMe's stand-in for an infinite bound, mmol gDW^-1 h^-1."""

_TEXTS = ("metabolites", "reactions", "gprs", "reaction_names", "metabolite_names", "formulas", "compartments")
_SEPARATOR = "\x1f"
_FLUX_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Universe:
    """A compiled universe.

    Attributes
    ----------
    network
        The network itself, n reactions; one objective reaction (the biomass).
    digest
        SHA-256 (hex) over the source file and the format of the compilation; goes into stage keys.
    blocked
        n, bool: no steady state carries flux here, all exchanges at their bounds.
    coupled
        n, int64: reactions with the same number are fully coupled; -1 where blocked.
    coupling
        n, float64: flux of a reaction over the flux of the first reaction of its set; 0 where blocked.
    essential
        n, bool: without this reaction the biomass reaction is blocked.
    """

    network: Network
    digest: str
    blocked: np.ndarray
    coupled: np.ndarray
    coupling: np.ndarray
    essential: np.ndarray


def universe_path(name_or_path: str) -> Path:
    """The SBML file of one of CarveMe's universes, or the path itself.

    Raises
    ------
    InputError
        Neither a universe's name nor a file.
    """
    if name_or_path in UNIVERSES:
        found = util.find_spec("carveme")
        if found is None or found.origin is None:
            raise InputError(f"universe {name_or_path}: the carveme package, which carries it, is not installed")
        return Path(found.origin).parent / "data" / "generated" / f"universe_{name_or_path}.xml.gz"
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(f"universe {name_or_path}: expected one of {', '.join(UNIVERSES)} or an SBML file")
    return path


def universe_digest(name_or_path: str) -> str:
    """SHA-256 (hex) for stage keys, without loading the universe."""
    content = universe_path(name_or_path).read_bytes()
    if name_or_path in ADDITIONS:
        content += _resource(ADDITIONS[name_or_path]).read_bytes()
    return _digest(content)


def load_universe(name_or_path: str, cache: Path) -> Universe:
    """Load a universe from the cache, compiling it first where it is not there.

    Parameters
    ----------
    name_or_path
        One of `UNIVERSES`, or an SBML file (L3 FBC2, BiGG's conventions, may be gzipped); or a variant of one with
        another biomass, such as `gramneg~any_quinol` (`biomass.py`).
    cache
        Folder of compiled universes; made where it does not exist.

    Raises
    ------
    InputError
        The file cannot be read, or is no universe; all that is wrong is named.
    """
    base, changes = split_name(name_or_path)
    if changes:
        return _load_variant(name_or_path, base, changes, cache)
    digest = universe_digest(name_or_path)
    version = f"carveme-{metadata.version('carveme')}" if name_or_path in UNIVERSES else "user"
    compiled = cache / f"{_file_stem(name_or_path)}-{version}-{digest[:16]}.npz"
    if not compiled.exists():
        network = read_sbml(universe_path(name_or_path))
        if name_or_path in ADDITIONS:
            network = _with_additions(network, ADDITIONS[name_or_path])
        _write(compile_universe(network, digest), compiled)
    return _read(compiled)


def _resource(name: str) -> Path:
    return WORKFLOW.parent / "resources" / name


def _with_additions(network: Network, name: str) -> Network:
    """A network with the reactions that a resource names, from the universe of all BiGG reactions."""
    return _with_bigg_reactions(network, {row["reaction"]: _row_bounds(row) for row in _rows(name)})


def _with_fermentation(network: Network, donor: Network | None) -> Network:
    """A network that can live without oxygen: enzymes' reactions that it lacks, transport that lets acids leave.

    `donor` holds these reactions; without one the universe of all BiGG reactions is read, which takes seconds.
    """
    rows = _rows(FERMENTATION)
    lower, upper = network.lower.copy(), network.upper.copy()
    place = {reaction: j for j, reaction in enumerate(network.reactions)}
    for row in rows:
        if row["reaction"] in place:
            lower[place[row["reaction"]]], upper[place[row["reaction"]]] = _row_bounds(row)
    lacking = {row["reaction"]: _row_bounds(row) for row in rows if row["same_enzyme_as"]}
    return _with_bigg_reactions(replace(network, lower=lower, upper=upper), lacking, donor)


@dataclass(frozen=True)
class SharedEnzyme:
    """A reaction whose enzyme BiGG names for other reactions (`sources`), and the subunits that it has at least."""

    reaction: str
    sources: tuple[str, ...]
    least_subunits: int


def shared_enzymes_path() -> Path:
    """The table of reactions that the variants have beyond CarveMe's universes, and of enzymes that do several."""
    return _resource(FERMENTATION)


@lru_cache(maxsize=1)
def shared_enzyme_table() -> tuple[SharedEnzyme, ...]:
    """Reactions that are scored by what BiGG knows of the same enzyme, in or outside the universe."""
    rows = [row for row in _rows(FERMENTATION) if row["same_enzyme_as"]]
    return tuple(
        SharedEnzyme(row["reaction"], tuple(row["same_enzyme_as"].split(";")), int(row["least_subunits"]))
        for row in rows
    )


def _rows(resource: str) -> list[dict[str, str]]:
    with _resource(resource).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def _row_bounds(row: Mapping[str, str]) -> tuple[float, float]:
    return float(row["lower_bound"]), float(row["upper_bound"])


def _with_bigg_reactions(
    network: Network, wanted: Mapping[str, tuple[float, float]], donor: Network | None = None
) -> Network:
    if wanted.keys() <= set(network.reactions):
        return network
    donor = donor or models.read_sbml(universe_path("bacteria").with_name("bigg_universe.xml.gz"))
    return with_reactions(network, donor, wanted)


def with_reactions(network: Network, donor: Network, wanted: Mapping[str, tuple[float, float]]) -> Network:
    """A network with reactions of another one, and the metabolites that they bring.

    Parameters
    ----------
    wanted
        Reaction to its bounds; what the network has already stays as it is.

    Raises
    ------
    InputError
        The donor lacks a reaction.
    """
    place = {reaction: j for j, reaction in enumerate(donor.reactions)}
    lacking = [reaction for reaction in wanted if reaction not in place]
    if lacking:
        raise InputError(f"universe {donor.network_id} has no reactions {', '.join(lacking)}")
    have = set(network.reactions)
    added = [reaction for reaction in wanted if reaction not in have]
    columns = csc_array(donor.stoichiometry[:, np.array([place[reaction] for reaction in added], dtype=np.int64)])
    row_of = {metabolite: i for i, metabolite in enumerate(network.metabolites)}
    brought = [i for i in np.unique(columns.indices).tolist() if donor.metabolites[i] not in row_of]
    row_of |= {donor.metabolites[i]: len(network.metabolites) + k for k, i in enumerate(brought)}
    rows = np.array([row_of[donor.metabolites[i]] for i in columns.indices])
    new = csc_array((columns.data, rows, columns.indptr), shape=(len(row_of), len(added)))
    old = csc_array(network.stoichiometry)
    old.resize(len(row_of), len(network.reactions))
    at = [place[reaction] for reaction in added]
    return replace(
        network,
        metabolites=(*network.metabolites, *(donor.metabolites[i] for i in brought)),
        reactions=(*network.reactions, *added),
        stoichiometry=csc_array(hstack([old, new])),
        lower=np.concatenate([network.lower, [wanted[reaction][0] for reaction in added]]),
        upper=np.concatenate([network.upper, [wanted[reaction][1] for reaction in added]]),
        objective=np.concatenate([network.objective, np.zeros(len(added))]),
        gprs=(*network.gprs, *("" for _ in added)),
        reaction_names=(*network.reaction_names, *(donor.reaction_names[j] for j in at)),
        metabolite_names=(*network.metabolite_names, *(donor.metabolite_names[i] for i in brought)),
        formulas=(*network.formulas, *(donor.formulas[i] for i in brought)),
        charges=(*network.charges, *(donor.charges[i] for i in brought)),
        compartments=(*network.compartments, *(donor.compartments[i] for i in brought)),
    )


def _load_variant(name: str, base: str, changes: tuple[str, ...], cache: Path) -> Universe:
    """A universe with another biomass (`biomass.py`)."""
    content = _resource(FERMENTATION).read_bytes() if base in BACTERIAL else b""
    digest = hashlib.sha256(f"{universe_digest(base)} {changes} {PARTS}".encode() + content).hexdigest()
    compiled = cache / f"{_file_stem(base)}-{metadata.version('carveme')}-{digest[:16]}.npz"
    if not compiled.exists():
        wide = None if changes == (OPEN,) else load_universe(open_name(base), cache)
        network = load_universe(base, cache).network
        if base in BACTERIAL:
            network = _with_fermentation(network, wide.network if wide else None)
        network = variant(network, changes)
        found = compile_universe(network, digest) if wide is None else _within_open(network, wide, digest)
        _write(found, compiled)
    found = _read(compiled)
    notes = biomass_notes(found.network, changes)
    return replace(found, network=replace(found.network, reaction_notes=notes))


def _within_open(network: Network, wide: Universe, digest: str) -> Universe:
    """Compile a variant from the variant `~open`, whose steady states include its own.

    What is coupled or essential there is so here; there may be more here that is not looked for.
    """
    place = {reaction: j for j, reaction in enumerate(wide.network.reactions)}
    at = np.array([place.get(reaction, -1) for reaction in network.reactions])
    blocked = ~consistent(network.stoichiometry, network.lower, network.upper)
    essential = np.where(at >= 0, wide.essential[at], False)
    coupled = np.where((at >= 0) & ~blocked, wide.coupled[at], -1)
    coupling = np.where(coupled >= 0, wide.coupling[at], 0.0)
    return Universe(network, digest, blocked, coupled, coupling, essential)


def universe_sbml(name: str, cache: Path) -> Path:
    """An SBML file of a universe or a variant of one, for tools that read nothing else."""
    base, changes = split_name(name)
    if not changes and base not in ADDITIONS:
        return universe_path(base)
    universe = load_universe(name, cache)
    path = cache / f"{_file_stem(base)}-{universe.digest[:16]}.xml.gz"
    if not path.exists():
        write_sbml(universe.network, path)
    return path


def _file_stem(name_or_path: str) -> str:
    return universe_path(name_or_path).name.removesuffix(".gz").removesuffix(".xml")


def compile_universe(network: Network, digest: str) -> Universe:
    """Check a network and work out its blocked reactions and coupled sets."""
    validate(network)
    blocked = ~consistent(network.stoichiometry, network.lower, network.upper)
    coupled, coupling = coupled_sets(network.stoichiometry, ~blocked)
    return Universe(network, digest, blocked, coupled, coupling, essential_reactions(network, blocked))


def subnetwork(universe: Universe, reactions: Sequence[str], gprs: Mapping[str, str], network_id: str) -> Network:
    """The network of some reactions of a universe, with only the metabolites that they use.

    Parameters
    ----------
    reactions
        Ids of the universe, in any order; the result keeps the universe's order.
    gprs
        Reaction id to rule; reactions that are absent get none.
    network_id
        The new name.

    Raises
    ------
    ValueError
        A reaction is not in the universe.
    """
    wanted = set(reactions)
    network = universe.network
    unknown = wanted.difference(network.reactions)
    if unknown:
        raise ValueError(f"not in the universe {network.network_id}: {', '.join(sorted(unknown)[:5])}")
    columns = np.array([j for j, r in enumerate(network.reactions) if r in wanted], dtype=np.int64)
    kept = csc_array(network.stoichiometry[:, columns])
    rows = np.unique(kept.indices)
    return Network(
        network_id=network_id,
        metabolites=_pick(network.metabolites, rows),
        reactions=_pick(network.reactions, columns),
        stoichiometry=csc_array(kept[rows, :]),
        lower=network.lower[columns],
        upper=network.upper[columns],
        objective=network.objective[columns],
        gprs=tuple(gprs.get(network.reactions[j], "") for j in columns),
        reaction_names=_pick(network.reaction_names, columns),
        metabolite_names=_pick(network.metabolite_names, rows),
        formulas=_pick(network.formulas, rows),
        charges=tuple(network.charges[i] for i in rows),
        compartments=_pick(network.compartments, rows),
        reaction_notes={r: dict(notes) for r, notes in network.reaction_notes.items() if r in wanted},
    )


def read_sbml(path: Path) -> Network:
    """Read SBML as CarveMe does: BiGG's ids without prefixes, bounds of 1000 for infinite ones.

    Raises
    ------
    InputError
        The file is not SBML L3 with the FBC package.
    """
    import libsbml

    document = libsbml.readSBMLFromFile(str(path))
    model = document.getModel()
    if document.getNumErrors(libsbml.LIBSBML_SEV_FATAL) or model is None or model.getPlugin("fbc") is None:
        raise InputError(
            f"{path}: expected SBML level 3 with flux balance constraints (FBC), as BiGG and cobrapy write"
        )
    species = [model.getSpecies(i) for i in range(model.getNumSpecies())]
    reactions = [model.getReaction(j) for j in range(model.getNumReactions())]
    row_of = {s.getId(): i for i, s in enumerate(species)}
    bounds = np.array([_bounds(model, reaction) for reaction in reactions]).reshape(-1, 2)
    formulas, charges = zip(*(_composition(s) for s in species), strict=True) if species else ((), ())
    return Network(
        network_id=model.getId() or path.name,
        metabolites=tuple(_bare(s.getId(), "M_") for s in species),
        reactions=tuple(_bare(r.getId(), "R_") for r in reactions),
        stoichiometry=_stoichiometry(reactions, row_of, path),
        lower=bounds[:, 0].copy(),
        upper=bounds[:, 1].copy(),
        objective=_objective(model, reactions),
        gprs=tuple(_rule(r) for r in reactions),
        reaction_names=tuple(r.getName() for r in reactions),
        metabolite_names=tuple(s.getName() for s in species),
        formulas=formulas,
        charges=charges,
        compartments=tuple(_bare(s.getCompartment(), "C_") for s in species),
    )


def validate(network: Network) -> None:
    """Refuse what could not serve as a universe.

    Raises
    ------
    InputError
        Naming every fault: doubled ids, crossed bounds, coefficients that are not finite, no or several objective
        reactions, no exchange reactions, exchanges of more than one metabolite, no ATP maintenance.
    """
    faults = []
    for kind, ids in (("metabolite", network.metabolites), ("reaction", network.reactions)):
        doubled = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
        if doubled:
            faults.append(f"{kind} ids occur more than once: {', '.join(doubled[:5])}")
    crossed = np.flatnonzero(~(network.lower <= network.upper))
    if len(crossed):
        faults.append(f"lower bound above upper bound: {', '.join(network.reactions[j] for j in crossed[:5])}")
    if not np.isfinite(network.stoichiometry.data).all():
        faults.append("stoichiometric coefficients that are not finite")
    if np.count_nonzero(network.objective) != 1:
        faults.append(f"expected one biomass reaction in the objective, found {np.count_nonzero(network.objective)}")
    exchanges = np.flatnonzero(network.exchanges)
    if not len(exchanges):
        faults.append("no exchange reactions (BiGG's ids begin with EX_)")
    sizes = np.diff(network.stoichiometry.indptr)
    several = [network.reactions[j] for j in exchanges if sizes[j] != 1]
    if several:
        faults.append(f"exchange reactions of other than one metabolite: {', '.join(several[:5])}")
    if "ATPM" not in network.reactions:
        faults.append("no ATP maintenance reaction (BiGG's id: ATPM)")
    if faults:
        raise InputError(f"universe {network.network_id}: " + "; ".join(faults))


def consistent(stoichiometry: csc_array, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Which reactions can carry flux in some steady state: n, bool.

    Only the signs of the bounds count: a finite limit does not block. Flux vectors add up, so one LP finds every
    irreversible reaction that can run: maximise the sum of z, 0 <= z <= 1, z <= v (Vlassis, Pacheco & Sauter 2014,
    LP-7, without upper bounds). Those that can, run at any level, so what is left is a linear subspace: reversible
    reactions are found by maximising random weights on the ones not yet seen until the optimum is 0; for weights in
    general position that happens only when none of them can run.
    """
    if not stoichiometry.nnz:
        return (lower < 0) | (upper > 0)
    backward_only = (lower < 0) & (upper <= 0)
    signs = np.where(backward_only, -1.0, 1.0)
    one_way = backward_only | ((lower >= 0) & (upper > 0))
    reversible = (lower < 0) & (upper > 0)
    able = np.zeros(len(lower), dtype=bool)
    oriented = csc_array(stoichiometry.multiply(signs[None, :]))
    flux = _most_flux(oriented, np.flatnonzero(one_way), np.flatnonzero(reversible))
    able |= np.abs(flux) > _FLUX_TOLERANCE
    names = np.flatnonzero(able | reversible)
    within = csc_array(oriented[:, names])
    weights = np.random.default_rng(0).uniform(1.0, 2.0, len(names)) * np.where(np.arange(len(names)) % 2, 1.0, -1.0)
    program = None
    while not able[names].all():
        unseen = ~able[names]
        limit = np.where(unseen, 1.0, np.inf)
        if program is None:
            program = LinearProgram(within, -limit, limit, costs=weights * unseen, maximize=True)
        else:
            program.set_objective(weights * unseen)
            program.set_bounds(np.arange(len(names)), -limit, limit)
        values = _optimum(program)
        seen = (np.abs(values) > _FLUX_TOLERANCE) & unseen
        if not seen.any():
            break
        able[names[seen]] = True
    return able


def _most_flux(stoichiometry: csc_array, one_way: np.ndarray, reversible: np.ndarray) -> np.ndarray:
    """A flux vector with flux in every irreversible reaction that can have it: n."""
    # v = z + rest: z in [0, 1] is rewarded, rest in [0, inf) goes on where others need more.
    columns = np.concatenate([one_way, one_way, reversible])
    k, r = len(one_way), len(reversible)
    cost = np.concatenate([-np.ones(k), np.zeros(k + r)])
    low = np.concatenate([np.zeros(2 * k), np.full(r, -np.inf)])
    high = np.concatenate([np.ones(k), np.full(k + r, np.inf)])
    if not len(columns):
        return np.zeros(stoichiometry.shape[1])
    program = LinearProgram(stoichiometry[:, columns], low, high, costs=-cost, maximize=True)
    values = _optimum(program)
    flux = np.zeros(stoichiometry.shape[1])
    flux[one_way] = values[:k] + values[k : 2 * k]
    flux[reversible] = values[2 * k :]
    return flux


def _optimum(program: LinearProgram) -> np.ndarray:
    """Values at the optimum of a program that has one: 0 is feasible and the objective is bounded."""
    solution = program.solve()
    if solution.status is not Status.OPTIMAL or solution.values is None:
        raise ArithmeticError(f"the search for blocked reactions ended with {solution.status}")
    return solution.values


def essential_reactions(network: Network, blocked: np.ndarray) -> np.ndarray:
    """Reactions without which the biomass reaction is blocked, all exchanges at their bounds: n, bool.

    Only reactions with flux in every vector seen so far can be essential, so few need an LP of their own. Signs of
    the bounds count, not their size.
    """
    n = len(network.reactions)
    essential = np.zeros(n, dtype=bool)
    if blocked[network.biomass]:
        return essential
    split = csc_array(hstack([network.stoichiometry, -network.stoichiometry]))
    ends = np.concatenate([network.upper > 0, network.lower < 0]) & ~np.concatenate([blocked, blocked])
    low, high = np.zeros(2 * n), np.where(ends, np.inf, 0.0)
    low[network.biomass] = high[network.biomass] = 1.0
    program = LinearProgram(split, low, high, costs=np.ones(2 * n))
    needed = _active(_optimum(program), n)
    needed.discard(network.biomass)
    essential[network.biomass] = True
    while needed:
        j = min(needed)
        needed.discard(j)
        both = np.array([j, j + n])
        program.set_bounds(both, 0.0, 0.0)
        solution = program.solve()
        if solution.status is Status.OPTIMAL and solution.values is not None:
            needed &= _active(solution.values, n)
        elif solution.status is Status.INFEASIBLE:
            essential[j] = True
        else:
            raise ArithmeticError(f"the search for essential reactions ended with {solution.status}")
        program.set_bounds(both, 0.0, high[both])
    return essential


def _active(values: np.ndarray, n: int) -> set[int]:
    return {int(k) % n for k in np.flatnonzero(values > 1e-9)}


def coupled_sets(stoichiometry: csc_array, able: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sets of reactions whose fluxes are proportional in every steady state.

    First every metabolite with just two reactions merges them, again and again (the bulk, exactly); then the null
    space of what is left, from one QR with column pivoting, shows the rest as proportional rows.

    Parameters
    ----------
    stoichiometry
        m x n.
    able
        n, bool: reactions that are not blocked.

    Returns
    -------
    The set's number per reaction (n, int64; -1 where blocked), numbered by first reaction, and the flux relative to
    the first reaction of the set (n, float64).
    """
    n = stoichiometry.shape[1]
    merging = {int(j): _column(stoichiometry, int(j)) for j in np.flatnonzero(able)}
    members: dict[int, dict[int, float]] = {j: {j: 1.0} for j in merging}
    users: dict[int, set[int]] = {}
    for j, column in merging.items():
        for i in column:
            users.setdefault(i, set()).add(j)
    ready = sorted(i for i, js in users.items() if len(js) == 2)
    while ready:
        i = ready.pop()
        if len(users[i]) != 2:
            continue
        keep, drop = sorted(users[i])
        factor = -merging[keep][i] / merging[drop][i]
        for k, value in merging.pop(drop).items():
            users[k].discard(drop)
            total = merging[keep].get(k, 0.0) + factor * value
            if abs(total) <= 1e-12 * (abs(factor * value) + 1e-300):
                merging[keep].pop(k, None)
                users[k].discard(keep)
            else:
                merging[keep][k] = total
                users[k].add(keep)
            if len(users[k]) == 2:
                ready.append(k)
        members[keep].update({j: factor * f for j, f in members.pop(drop).items()})
    heads = sorted(merging)
    groups = _proportional(merging, heads)
    coupled, coupling = np.full(n, -1, dtype=np.int64), np.zeros(n)
    together: dict[int, dict[int, float]] = {}
    for head, (group, factor) in zip(heads, groups, strict=True):
        together.setdefault(group, {}).update({j: factor * f for j, f in members[head].items()})
    for number, fluxes in enumerate(sorted(together.values(), key=min)):
        first = fluxes[min(fluxes)]
        for j, flux in fluxes.items():
            coupled[j], coupling[j] = number, flux / first
    return coupled, coupling


def _proportional(columns: dict[int, dict[int, float]], heads: list[int]) -> list[tuple[int, float]]:
    """Group columns whose rows in the null space are proportional: (group, factor) per head."""
    rows = {i: k for k, i in enumerate(sorted({i for c in columns.values() for i in c}))}
    matrix = np.zeros((len(rows), len(heads)))
    for k, j in enumerate(heads):
        for i, value in columns[j].items():
            matrix[rows[i], k] = value
    scale = np.abs(matrix).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0
    _, r, order = qr(matrix / scale, mode="economic", pivoting=True, overwrite_a=True)
    diagonal = np.abs(np.diag(r))
    rank = int((diagonal > 1e-9 * diagonal.max(initial=1.0)).sum())
    kernel = np.zeros((len(heads), len(heads) - rank))
    kernel[order[:rank]] = -solve_triangular(r[:rank, :rank], r[:rank, rank:])
    kernel[order[rank:]] = np.eye(len(heads) - rank)
    kernel /= scale[:, None]
    # Proportional rows are found by two random projections' ratio, then verified in full.
    projections = kernel @ np.random.default_rng(0).standard_normal((kernel.shape[1], 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = projections[:, 1] / projections[:, 0]
    groups = [(k, 1.0) for k in range(len(heads))]
    ranked = np.argsort(ratios, kind="stable")
    for a, b in itertools.pairwise(ranked):
        if not abs(ratios[a] - ratios[b]) <= 1e-7 * abs(ratios[a]):
            continue
        factor = projections[b, 0] / projections[a, 0]
        if np.abs(kernel[b] - factor * kernel[a]).max() <= 1e-7 * np.abs(kernel[b]).max():
            groups[b] = (groups[a][0], groups[a][1] * factor)
    return groups


def _column(stoichiometry: csc_array, j: int) -> dict[int, float]:
    part = slice(stoichiometry.indptr[j], stoichiometry.indptr[j + 1])
    return dict(zip(stoichiometry.indices[part].tolist(), stoichiometry.data[part].tolist(), strict=True))


def _digest(content: bytes) -> str:
    return hashlib.sha256(f"universe {FORMAT}\n".encode() + hashlib.sha256(content).digest()).hexdigest()


def _pick(values: tuple[str, ...], indices: np.ndarray) -> tuple[str, ...]:
    return tuple(values[i] for i in indices)


def _bare(identifier: str, prefix: str) -> str:
    return identifier.removeprefix(prefix)


def _bounds(model: object, reaction: object) -> tuple[float, float]:
    """CarveMe's bounds: those of 1000 and more, and those not stated, are infinite, and infinite is 1000."""
    flux = reaction.getPlugin("fbc")  # type: ignore[attr-defined]
    found = []
    for parameter, default in ((flux.getLowerFluxBound(), -math.inf), (flux.getUpperFluxBound(), math.inf)):
        stated = model.getParameter(parameter) if parameter else None  # type: ignore[attr-defined]
        value = default if stated is None else stated.getValue()
        found.append(math.copysign(LARGEST_FLUX, value) if abs(value) >= LARGEST_FLUX else value)
    return found[0], found[1]


def _composition(species: object) -> tuple[str, int | None]:
    composition = species.getPlugin("fbc")  # type: ignore[attr-defined]
    charge = composition.getCharge() if composition.isSetCharge() else None
    return composition.getChemicalFormula(), charge


def _rule(reaction: object) -> str:
    association = reaction.getPlugin("fbc").getGeneProductAssociation()  # type: ignore[attr-defined]
    if association is None:
        return ""
    return str(association.getAssociation().toInfix()).replace("G_", "")


def _objective(model: object, reactions: Sequence[object]) -> np.ndarray:
    weights = {}
    objective = model.getPlugin("fbc").getActiveObjective()  # type: ignore[attr-defined]
    for i in range(objective.getNumFluxObjectives() if objective is not None else 0):
        weights[objective.getFluxObjective(i).getReaction()] = objective.getFluxObjective(i).getCoefficient()
    return np.array([weights.get(r.getId(), 0.0) for r in reactions])  # type: ignore[attr-defined]


def _stoichiometry(reactions: Sequence[object], row_of: Mapping[str, int], path: Path) -> csc_array:
    rows, columns, values = [], [], []
    for j, reaction in enumerate(reactions):
        sides = ((reaction.getListOfReactants(), -1.0), (reaction.getListOfProducts(), 1.0))  # type: ignore[attr-defined]
        for species, sign in sides:
            for reference in species:
                if reference.getSpecies() not in row_of:
                    raise InputError(
                        f"{path}: reaction {reaction.getId()} names a species that is not listed: "  # type: ignore[attr-defined]
                        f"{reference.getSpecies()}"
                    )
                rows.append(row_of[reference.getSpecies()])
                columns.append(j)
                values.append(sign * reference.getStoichiometry())
    matrix = csc_array(coo_array((values, (rows, columns)), shape=(len(row_of), len(reactions))), dtype=np.float64)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def _write(universe: Universe, path: Path) -> None:
    """Write atomically: a reader never sees half a file."""
    network = universe.network
    texts = {name: _SEPARATOR.join(getattr(network, name)) for name in _TEXTS}
    texts |= {"network_id": network.network_id, "digest": universe.digest}
    arrays: dict[str, Any] = {name: np.frombuffer(text.encode(), dtype=np.uint8) for name, text in texts.items()}
    arrays["charges"] = np.array([math.nan if c is None else float(c) for c in network.charges])
    matrix = network.stoichiometry
    arrays |= {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    arrays |= {"lower": network.lower, "upper": network.upper, "objective": network.objective}
    arrays |= {"blocked": universe.blocked, "coupled": universe.coupled, "coupling": universe.coupling}
    arrays["essential"] = universe.essential
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read(path: Path) -> Universe:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}

    def texts(name: str) -> tuple[str, ...]:
        return tuple(arrays[name].tobytes().decode().split(_SEPARATOR))

    metabolites, reactions = texts("metabolites"), texts("reactions")
    entries = (arrays["data"], arrays["indices"], arrays["indptr"])
    network = Network(
        network_id=arrays["network_id"].tobytes().decode(),
        metabolites=metabolites,
        reactions=reactions,
        stoichiometry=csc_array(entries, shape=(len(metabolites), len(reactions))),
        lower=arrays["lower"],
        upper=arrays["upper"],
        objective=arrays["objective"],
        gprs=texts("gprs"),
        reaction_names=texts("reaction_names"),
        metabolite_names=texts("metabolite_names"),
        formulas=texts("formulas"),
        charges=tuple(None if math.isnan(c) else int(c) for c in arrays["charges"].tolist()),
        compartments=texts("compartments"),
    )
    digest = arrays["digest"].tobytes().decode()
    sets = (arrays["blocked"], arrays["coupled"], arrays["coupling"])
    return Universe(network, digest, *sets, arrays["essential"])
