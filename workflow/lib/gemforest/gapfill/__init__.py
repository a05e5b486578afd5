"""Gap-fill: reactions added so that the draft grows on its media: tables `model_reactions`, `gapfills`, `fills`.

The engine `highs` (`filling.py`) finds the cheapest additions without big-M, so that nothing leaks; what each costs is
in `costs.py`, what a fill must not do in `guards.py`, `energy.py` keeps it from energy out of nothing. Media are filled
one after another, each fill staying for the next, or jointly. The engine `carveme` is CarveMe's MILP with SCIP (Machado
et al. 2018), medium by medium. A draft that grows already gets nothing. Where nothing helps, `diagnosis.py` says what
is missing. The model written has the bounds of the genome's first medium.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_version
from gemforest.energy import close, energies_path, free_atp, reaction_energies, universe_closed_directions
from gemforest.errors import GenomeError
from gemforest.fluxes import growth, with_bounds
from gemforest.gapfill.carveme_engine import fill
from gemforest.gapfill.costs import (
    CARVEME,
    Evidence,
    Prices,
    addition_costs,
    addition_problem,
    reaction_kinds,
    split_columns,
    uphill,
)
from gemforest.gapfill.diagnosis import in_words, mending, unmakeable
from gemforest.gapfill.filling import Infeasible, TooLarge, cheapest_fills
from gemforest.gapfill.guards import VITAMINS, carbon_sources, oxidases, oxygen_consumption, uptake_route
from gemforest.gapfill.reach import universe_reach
from gemforest.ledger import Reason
from gemforest.lp import Status
from gemforest.media import Media, exchange_bounds, media_digests, read_media
from gemforest.models import Network
from gemforest.stage import Context, Products, Stage, Task
from gemforest.store import file_sha256
from gemforest.tables import TABLES
from gemforest.universe import Universe, load_universe, subnetwork, universe_sbml

MOST_CANDIDATES = 5
OXIDASE_SCORE = 0.5
"""Normalised score of a terminal oxidase: 0.8 and more in 12 aerobes, 0.3 and less in clostridia and lactobacilli."""
VITAMINS_PER_GROWTH = 0.02
"""Uptake of each vitamin while a fill is looked for, mmol gDW^-1 per growth aimed at: ten times what biomass holds."""
_COUNTING_ROUNDS = 4
_ENOUGH, _UNLIMITED = 1.0 - 1e-6, 0.99

Directions = tuple[tuple[str, int], ...]


def process(task: Task) -> Products:
    """Fill the draft for its media."""
    filling = Filling(task)
    names = task.row["medium"].split(";")
    if task.parameters["gapfill.enabled"]:
        for name in names:
            filling.take_up_vitamins(name)
        joint = filling.exact and task.parameters["gapfill.media"] == "joint"
        for group in [names] if joint else [[name] for name in names]:
            filling.fill(group)
    return filling.products(names)


# -- what the stage, the benchmark and `explain` ask for ---------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way to growth: additions (sorted), those of them that run uphill, their cost, the least cost proven."""

    reactions: tuple[str, ...]
    uphill: frozenset[str]
    cost: float
    bound: float
    limit_fired: str


def without_cycles(network: Network, closed: Directions) -> Network:
    """The network without the directions that make energy from nothing (`energy.closed_directions`)."""
    lower, upper = network.lower.copy(), network.upper.copy()
    index = {reaction: j for j, reaction in enumerate(network.reactions)}
    close(lower, upper, index, closed)
    return replace(network, lower=lower, upper=upper)


def fill_with_highs(
    universe: Universe,
    present: frozenset[str],
    bounds: Sequence[Mapping[str, tuple[float, float]]],
    costs: Mapping[str, float],
    min_growth: float,
    closed: Directions = (),
    surcharge: float = 0.0,
    ensemble: tuple[int, float] = (1, 0.0),
    most: int | None = None,
) -> list[Way]:
    """The cheapest additions without leaks, cheapest first.

    Parameters
    ----------
    present
        Reactions of the draft.
    bounds
        Of the exchanges, per medium; growth must stand on each.
    closed
        Directions that serve nobody while additions are chosen.
    surcharge
        What an uphill direction costs on top.
    ensemble
        Fills at most, and the share of the least cost by which they may be dearer.
    most
        Reactions at most.

    Raises
    ------
    Infeasible
        Growth stays below `min_growth` on a medium with the whole universe added.
    TooLarge
        More than `most` reactions are needed.
    """
    against = uphill(universe.network, reaction_energies()) if surcharge else {}
    limits = []
    for on in bounds:
        network = without_cycles(with_bounds(universe.network, on), closed)
        limits.append((network.lower, network.upper))
    problem = addition_problem(universe.network, limits, present, costs, min_growth, against, surcharge)
    names = universe.network.reactions
    split = split_columns(universe.network, present, against)
    ways = []
    for found in cheapest_fills(problem, *ensemble, most=most):
        columns = [(j, False) if j < len(names) else (split[j - len(names)], True) for j in found.added]
        steep = {names[j] for j, second in columns if second or (j in against and j not in split)}
        reactions = tuple(sorted({names[j] for j, _ in columns}))
        ways.append(Way(reactions, frozenset(steep), found.cost, found.bound, found.limit_fired))
    return ways


@dataclass(frozen=True)
class Draft:
    """What earlier stages say of a genome."""

    universe_name: str
    universe: Universe
    reactions: tuple[str, ...]
    gprs: Mapping[str, str]
    evidence: Evidence

    @property
    def respires(self) -> bool:
        """Whether any terminal oxidase has evidence: without one a genome is taken for one that shuns oxygen."""
        scores, probabilities = self.evidence.scores, self.evidence.probabilities
        return any(
            scores.get(r, 0.0) >= OXIDASE_SCORE or probabilities.get(r, 0.0) >= 0.5
            for r in oxidases(self.universe.network)
        )


def read_draft(draft_reactions: pa.Table, drafts: pa.Table, reaction_scores: pa.Table, context: Context) -> Draft:
    """The draft behind three tables of one genome."""
    rows = draft_reactions.select(["reaction", "in_draft", "gpr", "normalized_score"]).to_pylist()
    name = drafts["universe"][0].as_py()
    spontaneous = {row["reaction"] for row in rows if "spontaneous" in row["gpr"]}
    scored = reaction_scores.select(["reaction", "probability"]).to_pylist()
    return Draft(
        name,
        load_universe(name, context.cache),
        tuple(row["reaction"] for row in rows if row["in_draft"]),
        {row["reaction"]: row["gpr"] for row in rows if row["in_draft"] and row["reaction"] not in spontaneous},
        Evidence(
            {row["reaction"]: row["normalized_score"] for row in rows if row["normalized_score"] is not None},
            {row["reaction"]: row["probability"] for row in scored if row["probability"] is not None},
            frozenset(spontaneous),
        ),
    )


def counted_growth(network: Network, uptakes: Mapping[str, float] | None, default: float) -> tuple[float, float]:
    """Growth on a medium, and on the same medium without its carbon sources: h^-1."""
    return growth_at(network, uptakes, default, 1.0), growth_at(network, uptakes, default, 0.0)


def growth_at(network: Network, uptakes: Mapping[str, float] | None, default: float, share: float) -> float:
    """Growth on a medium with a share of its carbon sources: h^-1."""
    bounds = exchange_bounds(network, uptakes, default)
    for compound in carbon_sources(network, uptakes):
        lower, upper = bounds[f"EX_{compound}_e"]
        bounds[f"EX_{compound}_e"] = (lower * share, upper)
    return _rate(with_bounds(network, bounds))


def _rate(network: Network) -> float:
    status, rate = growth(network)
    return rate + 0.0 if status is Status.OPTIMAL else 0.0


# -- the stage ---------------------------------------------------------------------------------------------------------


@dataclass
class _Addition:
    """One reaction that was added: for which media, at what cost, flagged why, in which share of the fills."""

    media: list[str]
    cost: float
    flags: list[str] = field(default_factory=list)
    frequency: float | None = None


class Filling:
    """A draft that grows medium by medium."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.draft = read_draft(
            task.read("draft_reactions"), task.read("drafts"), task.read("reaction_scores"), task.context
        )
        self.universe = self.draft.universe
        self.media: Media = read_media(task.context.project / task.context.config["media"])
        self.uptake: float = task.parameters["growth.uptake"]
        self.least: float = task.parameters["gapfill.min_growth_per_h"]
        self.exact = task.parameters["gapfill.engine"] == "highs"
        self.closed = universe_closed_directions(self.universe, task.context.cache) if self.exact else ()
        self.prices = prices_of(task.parameters) if self.exact else CARVEME
        evidence = self.draft.evidence if self.exact else Evidence(self.draft.evidence.scores, {})
        network = self.universe.network
        self.costs = addition_costs(network.reactions, evidence, reaction_kinds(network), self.prices)
        self.breathless: Directions = ()
        if self.exact and task.parameters["gapfill.oxygen"] == "auto" and not self.draft.respires:
            kept = set(self.draft.reactions)
            self.breathless = tuple((r, sign) for r, sign in oxygen_consumption(network) if r not in kept)
        self.added: dict[str, _Addition] = {}
        self.ways: dict[str, list[Way]] = {}

    def model(self, more: Sequence[str] = (), less: str = "") -> Network:
        """The draft with what was added so far, and `more`, and without `less`."""
        reactions = [r for r in (*self.draft.reactions, *self.added, *more) if r != less]
        network = subnetwork(self.universe, reactions, self.draft.gprs, self.task.genome_id)
        return without_cycles(network, self.closed + self.breathless)

    def uptakes(self, medium: str) -> dict[str, float] | None:
        """Compound to limit on a medium."""
        return self.media.uptakes(medium, self.uptake)

    def counted(self, network: Network, medium: str) -> tuple[float, float]:
        """Growth with and without the medium's carbon sources."""
        return counted_growth(network, self.uptakes(medium), self.uptake)

    def take_up_vitamins(self, medium: str) -> None:
        """Add what brings in the vitamins of a medium that the draft uses inside and has no way in for."""
        limits = self.uptakes(medium)
        if not self.exact or limits is None or not self.task.parameters["gapfill.vitamins"]:
            return
        present = {*self.draft.reactions, *self.added}
        inside = set(self.model().metabolites)
        for vitamin in sorted(VITAMINS & limits.keys()):
            if f"EX_{vitamin}_e" in present or f"{vitamin}_c" not in inside:
                continue
            costs = self.costs | dict.fromkeys(present, 0.0)
            for reaction in uptake_route(self.universe.network, vitamin, costs):
                if reaction not in present:
                    self.added[reaction] = _Addition([medium], self.costs[reaction], ["vitamin"])

    def fill(self, group: list[str]) -> None:
        """Fill for the media of a group, jointly."""
        network = self.model()
        rates = {medium: self.counted(network, medium) for medium in group}
        lacking = [medium for medium, (rate, without) in rates.items() if rate - without < self.least * _ENOUGH]
        if not lacking:
            return
        if self.exact:
            self._refuse_hopeless(lacking)
            ways = self._search(lacking)
        else:
            ways = [self._carveme(network, lacking[0])]
        if len(ways[0].reactions) > self.task.parameters["gapfill.max_fill"]:
            raise self._too_large(str(len(ways[0].reactions)), lacking)
        for medium in lacking:
            self.ways[medium] = ways
        needed_by = self._needed_by(ways[0], lacking)
        for reaction in ways[0].reactions:
            flags = ["against_dg"] if reaction in ways[0].uphill else []
            extra = self.prices.against_energy if flags else 0.0
            frequency = sum(reaction in way.reactions for way in ways) / len(ways) if len(ways) > 1 else None
            self.added[reaction] = _Addition(needed_by[reaction], self.costs[reaction] + extra, flags, frequency)

    def _refuse_hopeless(self, media: Sequence[str]) -> None:
        """Media without food, and those on which even the whole universe does not grow."""
        for medium in media:
            uptakes = self.uptakes(medium)
            if not carbon_sources(self.universe.network, uptakes):
                raise GenomeError(
                    Reason.INFEASIBLE_MEDIUM,
                    f"{medium} holds no carbon source that the universe {self.draft.universe_name} can take up; "
                    "vitamins in traces do not count. Add one to the medium",
                )
            reach = universe_reach(
                self.universe, self.closed, uptakes, self.uptake, self.least, self.task.context.cache
            )
            if reach.growth_per_h < self.least * _ENOUGH:
                words = in_words(reach.missing, reach.mending)
                raise GenomeError(Reason.INFEASIBLE_MEDIUM, f"on {medium} even the whole universe {words}")

    def _search(self, media: list[str]) -> list[Way]:
        """The cheapest ways to growth that counts on these media."""
        network = self.universe.network
        offers = {medium: self._no_food_from_vitamins(medium) for medium in media}
        bounds = [exchange_bounds(network, offers[medium], self.uptake) for medium in media]
        on_nothing = max(counted_growth(self.model(), offers[medium], self.uptake)[1] for medium in media)
        size = self.task.parameters["gapfill.ensemble_size"]
        ensemble = (size, self.task.parameters["gapfill.ensemble_within"])
        present = frozenset({*self.draft.reactions, *self.added})
        for _ in range(_COUNTING_ROUNDS):
            try:
                ways = fill_with_highs(
                    self.universe,
                    present,
                    bounds,
                    self.costs,
                    self.least + on_nothing,
                    self.closed + self.breathless,
                    self.prices.against_energy,
                    ensemble,
                    self.task.parameters["gapfill.max_fill"],
                )
            except TooLarge as error:
                raise self._too_large(f"at least {error.least}", media) from error
            except Infeasible as error:
                raise GenomeError(Reason.INFEASIBLE_MEDIUM, self._why_not(media[error.medium], on_nothing)) from error
            rates = [[self.counted(self.model(way.reactions), medium) for medium in media] for way in ways]
            counts = [all(rate - without >= self.least * _ENOUGH for rate, without in pairs) for pairs in rates]
            if counts[0]:
                return [way for way, counted in zip(ways, counts, strict=True) if counted]
            on_nothing = max(without for _, without in rates[0])
        raise GenomeError(Reason.INFEASIBLE_MEDIUM, self._why_not(media[0], on_nothing))

    def _no_food_from_vitamins(self, medium: str) -> dict[str, float] | None:
        """The medium as a fill is looked for: with vitamins in traces, unless they are the carbon source."""
        uptakes = self.uptakes(medium)
        if uptakes is None:
            return None
        spared = VITAMINS.difference(carbon_sources(self.universe.network, uptakes))
        return {
            c: min(limit, VITAMINS_PER_GROWTH * self.least) if c in spared else limit for c, limit in uptakes.items()
        }

    def _why_not(self, medium: str, on_nothing: float) -> str:
        """Why no fill helps on a medium that the whole universe grows on."""
        if self.breathless:
            return (
                f"on {medium} the universe grows only with reactions that use oxygen, and no terminal oxidase of the "
                "genome has evidence: an obligate anaerobe is not rescued with oxygen. Give it a medium without "
                "oxygen, or set gapfill.oxygen to allow"
            )
        return (
            f"on {medium} growth does not rise by {self.least:g} 1/h above the {on_nothing:.3g} 1/h that stand without "
            "its carbon sources"
        )

    def _carveme(self, network: Network, medium: str) -> Way:
        sbml = universe_sbml(self.draft.universe_name, self.task.context.cache)
        bounds = exchange_bounds(self.universe.network, self.uptakes(medium), self.uptake)
        found = tuple(sorted(fill(sbml, network.reactions, self.draft.evidence.scores, bounds, self.least, medium)))
        cost = sum(self.costs[r] for r in found)
        return Way(found, frozenset(), cost, float("nan"), "")

    def _too_large(self, count: str, media: Sequence[str]) -> GenomeError:
        draft = self._on(self.model(), media[0])
        words = in_words(unmakeable(draft), mending(draft, self.least))
        return GenomeError(
            Reason.FILL_TOO_LARGE,
            f"{count} additions for {' and '.join(media)}, gapfill.max_fill is "
            f"{self.task.parameters['gapfill.max_fill']}; the draft {words}",
        )

    def _needed_by(self, way: Way, media: list[str]) -> dict[str, list[str]]:
        """Each addition to the media of a joint fill on which growth is lost without it."""
        if len(media) == 1:
            return dict.fromkeys(way.reactions, media)
        found = {}
        for reaction in way.reactions:
            network = self.model(way.reactions, less=reaction)
            needing = [medium for medium in media if _rate(self._on(network, medium)) < self.least * _ENOUGH]
            found[reaction] = needing or media
        return found

    def _on(self, network: Network, medium: str) -> Network:
        return with_bounds(network, exchange_bounds(network, self.uptakes(medium), self.uptake))

    # -- what comes of it

    def products(self, names: list[str]) -> Products:
        """Tables and the model on its first medium."""
        network = self.model()
        on_medium = self._on(network, names[0])
        notes = {
            r: {"GAP_FILL": ";".join(one.media), "GAP_FILL_COST": f"{one.cost:.4g}"} for r, one in self.added.items()
        }
        on_medium.reaction_notes.update(notes)
        tables = {
            "model_reactions": self._model_reactions(network),
            "gapfills": self._gapfills(network),
            "fills": self._fills(network, names),
        }
        return Products(tables, {"models": on_medium})

    def _model_reactions(self, network: Network) -> pa.Table:
        n = len(network.reactions)
        return pa.table(
            {
                "genome_id": [self.task.genome_id] * n,
                "reaction": list(network.reactions),
                "origin": ["gapfill" if r in self.added else "draft" for r in network.reactions],
                "lower_bound": network.lower,
                "upper_bound": network.upper,
                "gpr": list(network.gprs),
            },
            schema=TABLES["model_reactions"].schema,
        )

    def _gapfills(self, network: Network) -> pa.Table:
        candidates = self._candidates()
        cycling = {reaction for reaction, _ in self.closed}
        rows = [
            {
                "genome_id": self.task.genome_id,
                "medium": medium,
                "reaction": reaction,
                "cost": one.cost,
                "probability": self.draft.evidence.probabilities.get(reaction),
                "candidate_genes": candidates.get(reaction, []),
                "unblocks": []
                if "vitamin" in one.flags
                else unmakeable(with_bounds(self._on(network, medium), {reaction: (0.0, 0.0)})),
                "frequency": one.frequency,
                "flags": sorted([*one.flags, *(["breaks_cycle"] if reaction in cycling else [])]),
            }
            for reaction, one in self.added.items()
            for medium in one.media
        ]
        rows.sort(key=lambda row: (row["medium"], row["reaction"]))
        return pa.Table.from_pylist(rows, schema=TABLES["gapfills"].schema)

    def _candidates(self) -> dict[str, list[str]]:
        """Genes that the evidence holds possible for an addition, the most probable first."""
        if not self.added:
            return {}
        calls = self.task.read("gene_reactions", ["gene_id", "reaction", "probability"]).to_pylist()
        found: dict[str, list[str]] = {}
        for call in sorted(calls, key=lambda call: (-(call["probability"] or 0.0), call["gene_id"])):
            if call["reaction"] in self.added:
                found.setdefault(call["reaction"], []).append(call["gene_id"])
        return {reaction: genes[:MOST_CANDIDATES] for reaction, genes in found.items()}

    def _fills(self, network: Network, names: Sequence[str]) -> pa.Table:
        """One row per medium and way; what was measured stands with the way that was taken."""
        before = subnetwork(self.universe, self.draft.reactions, {}, self.task.genome_id)
        free_before, cycle_before = free_atp(before)
        free_after, cycle_after = free_atp(network)
        rows = []
        for medium in names:
            rate, without = self.counted(network, medium)
            half = growth_at(network, self.uptakes(medium), self.uptake, 0.5)
            flags = ["grows_without_carbon"] if without >= self.least else []
            flags += ["not_limited_by_carbon"] if rate > 0.0 and half >= rate * _UNLIMITED else []
            flags += ["free_energy"] if free_after > 0.0 else []
            measured = {
                "growth_per_h": rate,
                "growth_half_carbon_per_h": half,
                "growth_without_carbon_per_h": without,
                "carbon_sources": list(carbon_sources(network, self.uptakes(medium)))[:20],
                "free_atp_draft": None if np.isnan(free_before) else free_before,
                "cycle_draft": list(cycle_before),
                "free_atp_model": None if np.isnan(free_after) else free_after,
                "cycle_model": list(cycle_after),
                "flags": flags,
            }
            nothing = Way((), frozenset(), 0.0, 0.0, "")
            for rank, way in enumerate(self.ways.get(medium, [nothing]), start=1):
                row = {
                    "genome_id": self.task.genome_id,
                    "medium": medium,
                    "rank": rank,
                    "reactions": list(way.reactions),
                    "cost": way.cost,
                    "least_cost": None if np.isnan(way.bound) else way.bound,
                    "limit_fired": way.limit_fired,
                }
                rows.append(row | (measured if rank == 1 else {}))
        return pa.Table.from_pylist(rows, schema=TABLES["fills"].schema)


def prices_of(parameters: Mapping[str, float]) -> Prices:
    """Prices by the config's keys."""
    return Prices(
        1.0,
        parameters["gapfill.transport_cost"],
        parameters["gapfill.exchange_cost"],
        parameters["gapfill.spontaneous_cost"],
        parameters["gapfill.uphill_cost"],
    )


def _versions(_context: Context) -> dict[str, str]:
    from importlib import metadata

    return {"carveme": carveme_version()} | {name: metadata.version(name) for name in ("highspy", "pyscipopt")}


def _resources(_context: Context) -> dict[str, str]:
    return {"reaction_energies": file_sha256(energies_path())}


STAGE = Stage(
    name="gapfill",
    version=7,
    reads=("draft_reactions", "drafts", "reaction_scores", "gene_reactions"),
    writes=("model_reactions", "gapfills", "fills"),
    parameters=(
        "gapfill.enabled",
        "gapfill.engine",
        "gapfill.ensemble_size",
        "gapfill.ensemble_within",
        "gapfill.exchange_cost",
        "gapfill.max_fill",
        "gapfill.media",
        "gapfill.min_growth_per_h",
        "gapfill.oxygen",
        "gapfill.spontaneous_cost",
        "gapfill.transport_cost",
        "gapfill.uphill_cost",
        "gapfill.vitamins",
        "growth.uptake",
    ),
    row_fields=("medium",),
    process=process,
    folders=("models",),
    resources=_resources,
    row_resources=media_digests,
    versions=_versions,
)
