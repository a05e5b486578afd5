"""CarveMe's own benchmark: growth on Biolog plates and gene essentiality of six organisms, judged as its paper does.

Labels, proteomes and media come inside the package `carveme` (Machado et al., Nucleic Acids Res. 46, 7542-7553, 2018).
A source is tried alone in the organism's medium, everything in it at 10 mmol gDW^-1 h^-1; a compound that the model
cannot exchange is no growth. A gene is essential where growth without it is below a tenth of growth with it; genes that
a model does not hold are not counted. Comparing two models, they count as not essential.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Any

import numpy as np

from gemforest.carveme_files import carveme_data
from gemforest.evaluation.metrics import confusion
from gemforest.fluxes import growth, medium_bounds, with_bounds
from gemforest.lp import Status
from gemforest.models import Network
from gemforest.simulate.knockouts import gene_losses, knock_out
from gemforest.simulate.screens import ELEMENTS, Screener

UPTAKE = 10.0
ESSENTIAL_BELOW = 0.1
"""Of the growth with the gene."""
ELEMENT_OF = {letter: name for name, letter in ELEMENTS.items()}
REPLACED = {"C": {"glc__D", "lac__D", "lac__L"}, "N": {"nh4"}, "P": {"pi"}, "S": {"so4"}}
"""What is taken out of the medium when another source of the element is tried."""
Labels = dict[str, tuple[bool, bool]]
"""What was asked to (measured, computed)."""


@dataclass(frozen=True)
class Organism:
    """One of CarveMe's six.

    Attributes
    ----------
    biolog
        Its medium and the letters of the elements tried; None without plates.
    essentiality
        Its medium; None where everything is given.
    """

    proteome: str
    short: str
    universe: str
    biolog: tuple[str, str] | None
    essentiality: str | None
    has_essentiality: bool = True

    @property
    def media(self) -> list[str]:
        """Media to be filled for."""
        growth_medium = self.biolog[0] if self.biolog else None
        return [medium for medium in dict.fromkeys((growth_medium, self.essentiality)) if medium]


ORGANISMS = (
    Organism("M_genitalium_G37", "mgen", "gramneg", None, None),
    Organism("Ecoli_K12_MG1655", "ecol", "gramneg", ("M9", "CNPS"), "M9"),
    Organism("Paeruginosa_PAO1", "paer", "gramneg", ("M9", "C"), "M9[succ]"),
    Organism("Soneidensis_MR1", "sone", "gramneg", ("ShewMM", "CN"), "LB"),
    Organism("Rsolanacearum_GMI1000", "rsol", "gramneg", ("M9", "CNPS"), None, has_essentiality=False),
    Organism("Bsubtilis_168", "bsub", "grampos", ("M9", "CNPS"), "LB"),
)


def benchmark_media() -> dict[str, set[str]]:
    """Medium to its compounds."""
    found: dict[str, set[str]] = {}
    with carveme_data("benchmark/media_db.tsv").open(encoding="utf-8") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            found.setdefault(row["medium"], set()).add(row["compound"])
    return found


def on_medium(network: Network, compounds: set[str]) -> Network:
    """The network with these compounds, and nothing else, to be taken up."""
    return with_bounds(network, medium_bounds(network, {f"EX_{c}_e": UPTAKE for c in compounds}))


def growth_rate(network: Network) -> float:
    """Highest growth, h^-1; 0 where there is none."""
    status, rate = growth(network)
    return rate if status is Status.OPTIMAL else 0.0


def plates(organism: Organism, element: str) -> dict[str, bool]:
    """Compound to measured growth as the only source of an element (its letter); empty entries are left out."""
    path = carveme_data(f"benchmark/biolog/{organism.short}/biolog_{ELEMENT_OF[element]}.tsv")
    with path.open(encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle, delimiter="\t") if row["bigg_id"] and row["growth"]]
    return {row["bigg_id"]: row["growth"] in {"+", "++"} for row in rows}


def biolog(organism: Organism, network: Network, threshold: float) -> Labels:
    """Element and compound to growth, called from `threshold` (h^-1)."""
    found: Labels = {}
    medium, elements = organism.biolog or ("", "")
    measured = {element: plates(organism, element) for element in elements}
    tried = {compound for plate in measured.values() for compound in plate}
    screener = Screener(
        network, dict.fromkeys(sorted(benchmark_media().get(medium, ())), UPTAKE), tried, UPTAKE, threshold
    )
    for element, plate in measured.items():
        for result in screener.sources(ELEMENT_OF[element], plate, removed=REPLACED[element]):
            found[f"{element} {result.compound}"] = (plate[result.compound], result.answer == "growth")
    return found


def essentiality(organism: Organism, network: Network) -> Labels:
    """Gene to essential or not, genes of the model only."""
    compounds = benchmark_media()[organism.essentiality] if organism.essentiality else None
    everything = {r[3:-2] for r in network.reactions if r.startswith("EX_") and r.endswith("_e")}
    losses = knock_out(on_medium(network, everything if compounds is None else compounds), gene_losses(network))
    lethal = losses.essential(ESSENTIAL_BELOW * losses.intact_growth)
    computed = dict(zip(losses.targets, lethal.tolist(), strict=True))
    measured = measured_essential(organism)
    if all(measured.values()):
        # Only essential genes are listed: every other gene is not, as in CarveMe.
        measured = dict.fromkeys(computed, False) | measured
    return {gene: (measured[gene], dead) for gene, dead in computed.items() if gene in measured}


def measured_essential(organism: Organism) -> dict[str, bool]:
    """Gene to whether it was found essential."""
    with carveme_data(f"benchmark/essentiality/{organism.short}.tsv").open(encoding="utf-8") as handle:
        found = {row["bigg_id"]: row["phenotype"] for row in csv.DictReader(handle, delimiter="\t")}
    return {gene: phenotype == "E" for gene, phenotype in found.items() if phenotype in {"E", "NE"}}


def compared(ours: Labels, peer: Labels, draws: int = 2000) -> dict[str, Any]:
    """Matthews correlation of two models on the union of their labels, and the interval of the difference.

    What a model does not hold counts as computed false. The interval is that of a bootstrap over the labels, paired.
    """
    union = sorted({*ours, *peer})
    measured = np.array([(ours.get(k) or peer[k])[0] for k in union], dtype=bool)
    pair = [np.array([k in side and side[k][1] for k in union], dtype=bool) for side in (ours, peer)]
    chosen = np.random.default_rng(0).integers(0, len(union), (draws, len(union)))
    differences = [confusion(measured[d], pair[0][d]).mcc - confusion(measured[d], pair[1][d]).mcc for d in chosen]
    found = [confusion(measured, side) for side in pair]
    own = [confusion([m for m, _ in side.values()], [c for _, c in side.values()]) for side in (ours, peer)]
    return {
        "value": round(found[0].mcc, 3),
        "unit": "MCC",
        "peer_value": round(found[1].mcc, 3),
        "difference_95": [round(float(q), 3) for q in np.percentile(differences, [2.5, 97.5])],
        "n": len(union),
        "on_own_labels": [round(side.mcc, 3) for side in own],
        "n_own": [len(ours), len(peer)],
        "accuracy": [round(side.accuracy, 3) for side in found],
        "sensitivity": [_rounded(side.sensitivity) for side in found],
        "specificity": [_rounded(side.specificity) for side in found],
    }


def _rounded(share: float) -> float | None:
    return None if np.isnan(share) else round(share, 3)
