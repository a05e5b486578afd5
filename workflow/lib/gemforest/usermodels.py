"""Models that somebody else made, simulated as ours are: `gemforest simulate-model FILE...`.

A medium names compounds by BiGG ids, so a model's exchanges are renamed first: they already have such ids (BiGG,
CarveMe), or ids of the Virtual Metabolic Human (AGORA: `EX_glc_D(e)`), or the file's own annotation says which BiGG
metabolite is meant (`bigg.metabolite`, as ModelSEED's and gapseq's may). A model of which too little can be named is
refused: on a medium that it does not understand it would only seem not to grow. Every file leaves a row in
`outcomes.tsv`; tables are those of the stage `simulate`, one Parquet file per model.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.parsers import expat

import numpy as np

from gemforest.errors import GenomeError, InputError, RefusedError
from gemforest.fluxes import boundary
from gemforest.ledger import Outcome, Reason
from gemforest.media import read_media
from gemforest.models import Network, from_sid, read_sbml
from gemforest.sheet import suggested_id
from gemforest.simulate import STAGE, simulate
from gemforest.stage import Context, Task
from gemforest.store import write_table, write_text

LEAST_NAMED_SHARE = 0.5
_ANNOTATION = re.compile(r"bigg\.metabolite[:/](?:M_)?([A-Za-z0-9_]+)")
_OUTSIDE = re.compile(r"(?:\[e0?\]|\(e0?\)|_e0?)$")
_STEREO = re.compile(r"(?<!_)_((?:D|L|R|S|bD)(?:_|$))")
_MODELSEED = re.compile(r"cpd\d{5}")


@dataclass(frozen=True)
class ModelOutcome:
    """What became of a model: `reason` and `detail` are empty for `ok`."""

    model: str
    outcome: Outcome
    reason: str
    detail: str
    growth_per_h: float | None = None


def simulate_models(context: Context, files: Sequence[Path], medium: str, folder: Path) -> list[ModelOutcome]:
    """Simulate SBML files on a medium; tables and `outcomes.tsv` under `folder`, a row per file.

    Raises
    ------
    InputError
        The medium is not known, or two files have the same name.
    """
    media = read_media(context.project / context.config["media"])
    compounds = media.uptakes(medium, float(context.config["growth"]["uptake"]))
    names = _names(files)
    rows = [_one(context, names[file], file, medium, compounds, folder) for file in files]
    lines = ["model\toutcome\treason\tgrowth_per_h\tdetail"]
    for row in rows:
        growth = "" if row.growth_per_h is None else f"{row.growth_per_h:.6g}"
        lines.append("\t".join([row.model, row.outcome, row.reason, growth, row.detail.replace("\n", " ")]))
    write_text(folder / "outcomes.tsv", "\n".join(lines) + "\n")
    return rows


def _names(files: Sequence[Path]) -> dict[Path, str]:
    names: dict[Path, str] = {}
    for file in files:
        name = suggested_id(re.sub(r"\.(xml|sbml)(\.gz)?$", "", file.name))
        if name.lower() in {known.lower() for known in names.values()}:
            raise InputError(f"{file}: another file is also named {name}; rename one of them")
        names[file] = name
    return names


def _one(
    context: Context, name: str, file: Path, medium: str, compounds: Mapping[str, float] | None, folder: Path
) -> ModelOutcome:
    try:
        network, note = in_bigg_ids(file, compounds)
        task = Task(name, "", {"medium": medium}, STAGE.settings(context.config), context, "", "")
        products = simulate(task, network, {"universe": "", "proteins": 0, "gapfilled": 0})
    except FileNotFoundError:
        return ModelOutcome(name, Outcome.REFUSED, Reason.FILE_NOT_FOUND, f"{file}: there is no such file")
    except GenomeError as error:
        return ModelOutcome(name, error.outcome, error.reason, error.detail)
    for table, rows in products.tables.items():
        write_table(folder / table / f"{name}.parquet", table, rows, {"genome_id": name, "table": table})
    return ModelOutcome(name, Outcome.OK, "", note, products.tables["summary"]["growth_per_h"][0].as_py())


def in_bigg_ids(file: Path, compounds: Mapping[str, float] | None) -> tuple[Network, str]:
    """A model with its exchanges named as BiGG does, and what of the medium it cannot take up, in words.

    Parameters
    ----------
    compounds
        Those of the medium; None where everything is offered.

    Raises
    ------
    RefusedError
        `bad_model`: not a model (`read_sbml`), no single objective, no exchanges, or fewer than half of them, or no
        carbon source of the medium, can be named.
    """
    network = read_sbml(file)
    try:
        biomass = network.biomass
    except ValueError as error:
        raise RefusedError(
            Reason.BAD_MODEL, f"{error}; set the biomass reaction as the file's only objective"
        ) from None
    ends = np.flatnonzero(_exchanges(network))
    ends = ends[ends != biomass]
    if not len(ends):
        raise RefusedError(Reason.BAD_MODEL, f"{file.name}: no exchange reaction, so no medium can be given to it")
    named = _named(network, ends, _annotated(file))
    if len(named) < LEAST_NAMED_SHARE * len(ends):
        lost = [network.reactions[j] for j in ends if j not in named][:3]
        raise RefusedError(
            Reason.BAD_MODEL,
            f"{file.name}: only {len(named)} of {len(ends)} exchanges can be named as BiGG does ({', '.join(lost)} "
            "cannot); expected BiGG or VMH ids, or annotations with bigg.metabolite",
        )
    reactions = list(network.reactions)
    for j, compound in named.items():
        reactions[j] = f"EX_{compound}_e"
    renamed = replace(network, reactions=tuple(reactions))
    lacking = sorted(set(compounds or ()) - set(named.values()))
    if compounds and len(lacking) == len(compounds):
        raise RefusedError(Reason.BAD_MODEL, f"{file.name}: has an exchange for no compound of the medium")
    return renamed, f"no exchange for {', '.join(lacking)}" if lacking else ""


def _exchanges(network: Network) -> np.ndarray:
    """n, bool: boundary reactions of metabolites outside the cell; demands and sinks inside are left as they are."""
    matrix = network.stoichiometry
    found = boundary(network)
    for j in np.flatnonzero(found):
        metabolite = network.metabolites[matrix.indices[matrix.indptr[j]]]
        found[j] = network.reactions[j].startswith("EX_") or _OUTSIDE.search(metabolite) is not None
    return found


def _named(network: Network, ends: np.ndarray, annotated: Mapping[str, str]) -> dict[int, str]:
    """Exchange (index) to BiGG compound; none twice, and none for an id that is not understood."""
    matrix = network.stoichiometry
    named: dict[int, str] = {}
    taken: set[str] = set()
    for j in ends:
        metabolite = network.metabolites[matrix.indices[matrix.indptr[j]]]
        base = _OUTSIDE.sub("", metabolite)
        compound = annotated.get(metabolite) or ("" if _MODELSEED.fullmatch(base) else _STEREO.sub(r"__\1", base))
        if compound and compound not in taken:
            taken.add(compound)
            named[int(j)] = compound
    return named


def _annotated(file: Path) -> dict[str, str]:
    """Metabolite id to the BiGG compound that the file's annotation names; the file was read as a model before."""
    found: dict[str, str] = {}
    species: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "species":
            species[:] = [from_sid(attributes.get("id", ""), "M_")]
        elif species and name.rpartition(":")[2] == "li":
            for value in attributes.values():
                if match := _ANNOTATION.search(value):
                    found.setdefault(species[0], re.sub(r"_[a-z]\d?$", "", match[1]) if _placed(match[1]) else match[1])

    def end(name: str) -> None:
        if name.rpartition(":")[2] == "species":
            species.clear()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    for piece in _pieces(file):
        parser.Parse(piece, False)
    return found


def _placed(identifier: str) -> bool:
    """Whether an id ends in a compartment, `glc__D_e`, rather than in a part of its name, `glc__D`."""
    return re.search(r"[^_]_[cep]0?$", identifier) is not None


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        while piece := stream.read(1 << 20):
            yield piece
