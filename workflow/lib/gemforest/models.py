"""A metabolic network as arrays, and its way into and out of SBML.

`Network` is what travels between stages in memory: CarveMe's universe, a draft, a filled model, a user's model. Ids
are BiGG ids without the `M_`, `R_`, `G_` prefixes of SBML.

`write_sbml` writes SBML Level 3 Version 1 with the FBC package, version 2 (Olivier and Bergmann, J. Integr. Bioinform.
15(1), 2018), as text, because a stage writes thousands of models; the same network gives the same bytes. Ids that SBML
does not allow are escaped as cobrapy does (`-` becomes `__45__`), so that cobrapy shows the original id.
`read_sbml` reads FBC 1 and 2 and the older notes and kinetic-law conventions, through expat, and treats the file as
untrusted: no document type, no entities, a limit on its size and depth.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np
from scipy.sparse import csc_array

from gemforest.errors import RefusedError
from gemforest.gprs import Gate, Rule, gate, gpr_text, parse_gpr
from gemforest.ledger import Reason
from gemforest.store import atomic


@dataclass(frozen=True)
class Network:
    """A stoichiometric network.

    Attributes
    ----------
    network_id
        Name of the model; a genome_id for a genome's model.
    metabolites, reactions
        BiGG ids, of lengths m and n.
    stoichiometry
        m x n, float64, canonical csc.
    lower, upper
        n, mmol gDW^-1 h^-1; infinite where the source states no bound.
    objective
        n; 1 at the biomass reaction.
    gprs
        n rules over gene ids with `and`, `or` and parentheses; empty where there is none.
    reaction_names, metabolite_names, formulas, charges, compartments
        As in the source; a charge that is not known is None.
    reaction_notes
        Reaction id to {key: value}, written to the SBML notes of that reaction.
    """

    network_id: str
    metabolites: tuple[str, ...]
    reactions: tuple[str, ...]
    stoichiometry: csc_array
    lower: np.ndarray
    upper: np.ndarray
    objective: np.ndarray
    gprs: tuple[str, ...]
    reaction_names: tuple[str, ...]
    metabolite_names: tuple[str, ...]
    formulas: tuple[str, ...]
    charges: tuple[int | None, ...]
    compartments: tuple[str, ...]
    reaction_notes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def biomass(self) -> int:
        """Index of the one reaction in the objective; ValueError where there is none or more than one."""
        (indices,) = np.nonzero(self.objective)
        if len(indices) != 1:
            raise ValueError(f"{self.network_id}: expected one objective reaction, found {len(indices)}")
        return int(indices[0])

    @property
    def exchanges(self) -> np.ndarray:
        """n, bool: exchange reactions by BiGG's convention (`EX_` and a single metabolite)."""
        return np.array([r.startswith("EX_") for r in self.reactions])


# -- ids and text ------------------------------------------------------------------------------------------------------

_NOT_IN_SID = re.compile(r"[^0-9A-Za-z_]")
_ESCAPED = re.compile(r"__(\d{1,7})__")
_XML_ESCAPES = {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("\t"): "&#9;",
    ord("\n"): "&#10;",
    ord("\r"): "&#13;",
}
# characters that XML 1.0 cannot hold in any spelling
_XML_ESCAPES |= dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\ufffd")


def to_sid(identifier: str, prefix: str) -> str:
    """An SBML SId for any id: `prefix`, then the id with other characters than `[0-9A-Za-z_]` as `__<ordinal>__`."""
    escaped = _NOT_IN_SID.sub(_ordinal, identifier)
    if _unescaped(escaped) != identifier:
        escaped = re.sub("[^0-9A-Za-z]", _ordinal, identifier)
    return prefix + escaped


def from_sid(sid: str, prefix: str) -> str:
    """The id behind an SId: the inverse of `to_sid`; an SId without the prefix keeps its beginning."""
    return _unescaped(sid.removeprefix(prefix))


def _ordinal(match: re.Match[str]) -> str:
    return f"__{ord(match[0])}__"


def _unescaped(sid: str) -> str:
    return _ESCAPED.sub(_character, sid.replace("__SBML_DOT__", "."))


def _character(match: re.Match[str]) -> str:
    ordinal = int(match[1])
    return chr(ordinal) if ordinal <= 0x10FFFF and chr(ordinal).isprintable() else match[0]


def _attribute(text: str) -> str:
    return text.translate(_XML_ESCAPES)


def _number(value: float) -> str:
    """Shortest text that reads back as the same double."""
    if math.isinf(value):
        return "INF" if value > 0 else "-INF"
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


# -- writing -----------------------------------------------------------------------------------------------------------

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" \
xmlns:fbc="http://www.sbml.org/sbml/level3/version1/fbc/version2" level="3" version="1" fbc:required="false">
"""
_UNITS = """<listOfUnitDefinitions>
<unitDefinition id="mmol_per_gDW_per_hr"><listOfUnits>
<unit kind="mole" exponent="1" scale="-3" multiplier="1"/>
<unit kind="gram" exponent="-1" scale="0" multiplier="1"/>
<unit kind="second" exponent="-1" scale="0" multiplier="3600"/>
</listOfUnits></unitDefinition>
</listOfUnitDefinitions>
"""
_COMPARTMENT_NAMES = {"c": "cytosol", "p": "periplasm", "e": "extracellular space"}
_SBO_EXCHANGE, _SBO_DEMAND, _SBO_SINK, _SBO_BIOMASS, _SBO_REACTION = 627, 628, 632, 629, 176
_FORMULA = re.compile(r"[A-Z][A-Za-z0-9]*")


def write_sbml(network: Network, path: Path | str) -> None:
    """Write a network as SBML L3V1 FBC2, gzipped where the path ends in `.gz`; whole or not at all.

    Raises
    ------
    ValueError
        Where the network cannot be said in SBML: a NaN, lower > upper, a rule that is no rule, two ids alike.
    """
    path = Path(path)
    content = sbml_text(network).encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=5, mtime=0)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def sbml_text(network: Network) -> str:
    """The SBML document of a network; the same text for the same network."""
    _check_network(network)
    rules = [parse_gpr(text) for text in network.gprs]
    bounds = sorted({*network.lower.tolist(), *network.upper.tolist()})
    bound_ids = {value: _bound_id(value) for value in bounds}
    parts = [_HEAD, _model_tag(network), _UNITS]
    parts.extend(_compartment_lines(network))
    parts.extend(_species_lines(network))
    parts.append("<listOfParameters>\n")
    parts.extend(
        f'<parameter sboTerm="SBO:0000625" id="{bound_ids[value]}" value="{_number(value)}" '
        f'units="mmol_per_gDW_per_hr" constant="true"/>\n'
        for value in bounds
    )
    parts.append("</listOfParameters>\n")
    parts.extend(_reaction_lines(network, rules, bound_ids))
    parts.extend(_objective_lines(network))
    parts.extend(_gene_lines(rules))
    parts.append("</model>\n</sbml>\n")
    return "".join(parts)


def _check_network(network: Network) -> None:
    name = network.network_id
    for what, ids in (("metabolite", network.metabolites), ("reaction", network.reactions)):
        if len(set(ids)) != len(ids):
            raise ValueError(f"{name}: a {what} id occurs twice")
    if not np.isfinite(network.stoichiometry.data).all() or not np.isfinite(network.objective).all():
        raise ValueError(f"{name}: a stoichiometric or objective coefficient is not a finite number")
    wrong = np.flatnonzero(~(network.lower <= network.upper))
    if len(wrong):
        raise ValueError(f"{name}: {network.reactions[wrong[0]]} has a lower bound above its upper bound, or NaN")


def _model_tag(network: Network) -> str:
    strict = not ((network.lower == np.inf).any() or (network.upper == -np.inf).any())
    sid = _NOT_IN_SID.sub("_", network.network_id)
    sid = sid if re.match(r"[A-Za-z_]", sid) else f"_{sid}"
    return f'<model id="{sid}" name="{_attribute(network.network_id)}" fbc:strict="{str(strict).lower()}">\n'


def _bound_id(value: float) -> str:
    """`bound_m1000`, `bound_0`, `bound_8p39`, `bound_inf`: readable, and unique because the number's text is."""
    return "bound_" + _number(value).lower().replace("-", "m").replace(".", "p").replace("+", "")


def _compartment_lines(network: Network) -> Iterator[str]:
    yield "<listOfCompartments>\n"
    for compartment in sorted(set(network.compartments)):
        name = _COMPARTMENT_NAMES.get(compartment, compartment)
        yield f'<compartment id="{_compartment_sid(compartment)}" name="{_attribute(name)}" constant="true"/>\n'
    yield "</listOfCompartments>\n"


def _compartment_sid(compartment: str) -> str:
    sid = to_sid(compartment, "")
    return sid if re.match(r"[A-Za-z]", sid) else f"C_{sid}"


def _species_lines(network: Network) -> Iterator[str]:
    compartment_sids = {c: _compartment_sid(c) for c in set(network.compartments)}
    columns = (
        network.metabolites,
        network.metabolite_names,
        network.formulas,
        network.charges,
        network.compartments,
    )
    yield "<listOfSpecies>\n"
    for identifier, name, formula, charge, compartment in zip(*columns, strict=True):
        charge_text = "" if charge is None else f' fbc:charge="{int(charge)}"'
        formula_text, notes = "", ""
        if _FORMULA.fullmatch(formula):
            formula_text = f' fbc:chemicalFormula="{formula}"'
        elif formula:
            notes = _notes({"FORMULA": formula})
        yield (
            f'<species id="{to_sid(identifier, "M_")}" name="{_attribute(name)}" '
            f'compartment="{compartment_sids[compartment]}" hasOnlySubstanceUnits="false" boundaryCondition="false" '
            f'constant="false"{charge_text}{formula_text}'
        ) + (f">\n{notes}</species>\n" if notes else "/>\n")
    yield "</listOfSpecies>\n"


def _notes(notes: dict[str, str]) -> str:
    lines = "".join(f"<p>{_attribute(key)}: {_attribute(value)}</p>\n" for key, value in notes.items())
    return f'<notes><html xmlns="http://www.w3.org/1999/xhtml">\n{lines}</html></notes>\n'


def _reaction_lines(network: Network, rules: list[Rule | None], bound_ids: dict[float, str]) -> Iterator[str]:
    matrix = network.stoichiometry
    species = [to_sid(m, "M_") for m in network.metabolites]
    starts, rows, values = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
    lower, upper = network.lower.tolist(), network.upper.tolist()
    objective = network.objective.tolist()
    gene_sids = _gene_sids(rules)
    yield "<listOfReactions>\n"
    for j, identifier in enumerate(network.reactions):
        terms = [(species[rows[k]], values[k]) for k in range(starts[j], starts[j + 1]) if values[k] != 0.0]
        sbo = _sbo_term(identifier, len(terms), objective[j] != 0.0)
        yield (
            f'<reaction sboTerm="SBO:{sbo:07d}" id="{to_sid(identifier, "R_")}" '
            f'name="{_attribute(network.reaction_names[j])}" reversible="{"true" if lower[j] < 0.0 else "false"}" '
            f'fast="false" fbc:lowerFluxBound="{bound_ids[lower[j]]}" fbc:upperFluxBound="{bound_ids[upper[j]]}">\n'
        )
        notes = network.reaction_notes.get(identifier)
        if notes:
            yield _notes(notes)
        yield _side("listOfReactants", [(s, -v) for s, v in terms if v < 0.0])
        yield _side("listOfProducts", [(s, v) for s, v in terms if v > 0.0])
        rule = rules[j]
        if rule is not None:
            yield f"<fbc:geneProductAssociation>{_association(rule, gene_sids)}</fbc:geneProductAssociation>\n"
        yield "</reaction>\n"
    yield "</listOfReactions>\n"


def _sbo_term(identifier: str, terms: int, in_objective: bool) -> int:
    if in_objective and terms > 1:
        return _SBO_BIOMASS
    if terms == 1:
        return {"EX_": _SBO_EXCHANGE, "DM_": _SBO_DEMAND, "SK_": _SBO_SINK}.get(identifier[:3], _SBO_EXCHANGE)
    return _SBO_REACTION


def _side(tag: str, terms: list[tuple[str, float]]) -> str:
    if not terms:
        return ""
    references = "".join(
        f'<speciesReference species="{sid}" stoichiometry="{_number(value)}" constant="true"/>\n'
        for sid, value in terms
    )
    return f"<{tag}>\n{references}</{tag}>\n"


def _association(rule: Rule, gene_sids: dict[str, str]) -> str:
    if isinstance(rule, str):
        return f'<fbc:geneProductRef fbc:geneProduct="{gene_sids[rule]}"/>'
    inner = "".join(_association(child, gene_sids) for child in rule.children)
    return f"<fbc:{rule.operator}>{inner}</fbc:{rule.operator}>"


def _objective_lines(network: Network) -> Iterator[str]:
    (columns,) = np.nonzero(network.objective)
    if not len(columns):
        return
    yield '<fbc:listOfObjectives fbc:activeObjective="obj">\n<fbc:objective fbc:id="obj" fbc:type="maximize">\n'
    yield "<fbc:listOfFluxObjectives>\n"
    for j in columns:
        yield (
            f'<fbc:fluxObjective fbc:reaction="{to_sid(network.reactions[j], "R_")}" '
            f'fbc:coefficient="{_number(float(network.objective[j]))}"/>\n'
        )
    yield "</fbc:listOfFluxObjectives>\n</fbc:objective>\n</fbc:listOfObjectives>\n"


def _gene_sids(rules: Iterable[Rule | None]) -> dict[str, str]:
    genes: dict[str, None] = {}
    stack = [rule for rule in rules if rule is not None]
    while stack:
        rule = stack.pop()
        if isinstance(rule, Gate):
            stack.extend(rule.children)
        else:
            genes[rule] = None
    return {gene: to_sid(gene, "G_") for gene in sorted(genes)}


def _gene_lines(rules: list[Rule | None]) -> Iterator[str]:
    gene_sids = _gene_sids(rules)
    if not gene_sids:
        return
    yield "<fbc:listOfGeneProducts>\n"
    for gene, sid in gene_sids.items():
        label = _attribute(gene)
        yield f'<fbc:geneProduct fbc:id="{sid}" fbc:name="{label}" fbc:label="{label}"/>\n'
    yield "</fbc:listOfGeneProducts>\n"


# -- reading -----------------------------------------------------------------------------------------------------------

_MAX_SBML_BYTES = 1 << 30
_MAX_DEPTH = 200


def read_sbml(path: Path | str, max_bytes: int = _MAX_SBML_BYTES) -> Network:
    """Read a model, gzipped or not, of this or another tool.

    Boundary species are left out of the balances. Bounds that the file does not state are infinite (zero below for an
    irreversible reaction). An objective that is minimised is returned with its sign turned.

    Parameters
    ----------
    path
        SBML L3 with FBC 1 or 2, or L2 with bounds in kinetic laws and genes in notes.
    max_bytes
        Most bytes of XML, after unpacking.

    Raises
    ------
    RefusedError
        `bad_model`: not XML, not SBML, an entity or document type in it, too large or too deep, a number that is none,
        an unknown species, lower > upper; `truncated_archive`, `decompression_limit`.
    """
    path = Path(path)
    reader = _SbmlReader()
    try:
        reader.feed(_sbml_chunks(path, max_bytes))
        return reader.network(path.name.removesuffix(".gz").removesuffix(".xml"))
    except expat.ExpatError as error:
        raise RefusedError(Reason.BAD_MODEL, f"{path.name}: not well-formed XML: {error}") from error
    except ValueError as error:
        raise RefusedError(Reason.BAD_MODEL, f"{path.name}: {error}") from error


def _sbml_chunks(path: Path, max_bytes: int) -> Iterator[bytes]:
    """The XML in pieces of 1 MiB, unpacked no further than `max_bytes`."""
    total = 0
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            while chunk := stream.read(1 << 20):
                total += len(chunk)
                if total > max_bytes:
                    raise RefusedError(
                        Reason.DECOMPRESSION_LIMIT, f"{path.name}: more than {max_bytes} bytes of XML when unpacked"
                    )
                yield chunk
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise RefusedError(Reason.TRUNCATED_ARCHIVE, f"{path.name}: {error}") from error


@dataclass
class _ReactionDraft:
    """A reaction while its element is open."""

    sid: str
    name: str
    reversible: bool
    lower: str | None
    upper: str | None
    terms: list[tuple[str, float]] = field(default_factory=list)
    local: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    rule: Rule | None = None


class _SbmlReader:
    """Collects an SBML document through expat callbacks; `network` puts it together."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.EntityDeclHandler = self._refuse_doctype
        self.depth = 0
        self.skip_from = 0
        self.is_sbml = False
        self.model_id = self.model_name = ""
        self.species: dict[str, dict[str, str]] = {}
        self.species_notes: dict[str, dict[str, str]] = {}
        self.parameters: dict[str, float] = {}
        self.reactions: list[_ReactionDraft] = []
        self.flux_bounds: list[tuple[str, str, float]] = []
        self.objectives: dict[str, tuple[str, dict[str, float]]] = {}
        self.active_objective = ""
        self.reaction: _ReactionDraft | None = None
        self.owner_notes: dict[str, str] | None = None
        self.open_objective = ""
        self.side = 0.0
        self.gates: list[tuple[str, list[Rule]]] = []
        self.text: list[str] = []

    def feed(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self.parser.Parse(chunk, False)
        self.parser.Parse(b"", True)
        if not self.is_sbml:
            raise ValueError("no <sbml> element: not an SBML file")

    @staticmethod
    def _refuse_doctype(*_: object) -> None:
        raise ValueError("a document type or entity declaration, which SBML has no use for, is refused")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.skip_from:
            return
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"elements nested more than {_MAX_DEPTH} deep")
        local = tag.rpartition(" ")[2]
        if local == "annotation":
            self.skip_from = self.depth
            return
        handler = _START.get(local)
        if handler is not None:
            handler(self, {key.rpartition(" ")[2]: value for key, value in attributes.items()})

    def _end(self, tag: str) -> None:
        if self.skip_from:
            if self.depth == self.skip_from:
                self.skip_from = 0
        else:
            handler = _END.get(tag.rpartition(" ")[2])
            if handler is not None:
                handler(self)
        self.depth -= 1

    # elements, in the order of a document

    def _sbml(self, _: dict[str, str]) -> None:
        self.is_sbml = True

    def _model(self, attributes: dict[str, str]) -> None:
        self.model_id, self.model_name = attributes.get("id", ""), attributes.get("name", "")

    def _one_species(self, attributes: dict[str, str]) -> None:
        sid = attributes["id"] if "id" in attributes else _missing("species", "id")
        self.species[sid] = attributes
        self.owner_notes = self.species_notes.setdefault(sid, {})

    def _parameter(self, attributes: dict[str, str]) -> None:
        if "id" not in attributes or "value" not in attributes:
            return
        target = self.parameters if self.reaction is None else self.reaction.local
        target[attributes["id"]] = _xml_double(attributes["value"])

    def _start_reaction(self, attributes: dict[str, str]) -> None:
        if "reaction" in attributes or "id" not in attributes:
            return
        self.reaction = _ReactionDraft(
            sid=attributes["id"],
            name=attributes.get("name", ""),
            reversible=attributes.get("reversible", "true") in ("true", "1"),
            lower=attributes.get("lowerFluxBound"),
            upper=attributes.get("upperFluxBound"),
        )
        self.owner_notes = self.reaction.notes
        self.reactions.append(self.reaction)

    def _end_reaction(self) -> None:
        self.reaction = self.owner_notes = None

    def _reactants(self, _: dict[str, str]) -> None:
        self.side = -1.0

    def _products(self, _: dict[str, str]) -> None:
        self.side = 1.0

    def _no_side(self) -> None:
        self.side = 0.0

    def _species_reference(self, attributes: dict[str, str]) -> None:
        if self.reaction is not None and self.side:
            value = _xml_double(attributes.get("stoichiometry", "1"))
            if not math.isfinite(value):
                raise ValueError(f"{self.reaction.sid}: a stoichiometric coefficient is {value}")
            self.reaction.terms.append((attributes.get("species", ""), self.side * value))

    def _flux_bound(self, attributes: dict[str, str]) -> None:
        self.flux_bounds.append(
            (attributes.get("reaction", ""), attributes.get("operation", ""), _xml_double(attributes.get("value", "")))
        )

    def _objective_list(self, attributes: dict[str, str]) -> None:
        self.active_objective = attributes.get("activeObjective", "")

    def _objective(self, attributes: dict[str, str]) -> None:
        self.open_objective = attributes.get("id", "")
        self.objectives[self.open_objective] = (attributes.get("type", "maximize"), {})

    def _flux_objective(self, attributes: dict[str, str]) -> None:
        coefficients = self.objectives[self.open_objective][1]
        coefficients[attributes.get("reaction", "")] = _xml_double(attributes.get("coefficient", "1"))

    def _gate(self, operator: str) -> None:
        if self.reaction is not None:
            self.gates.append((operator, []))

    def _gene_ref(self, attributes: dict[str, str]) -> None:
        if self.gates:
            self.gates[-1][1].append(from_sid(attributes.get("geneProduct", ""), "G_"))

    def _end_gate(self) -> None:
        if not self.gates:
            return
        operator, children = self.gates.pop()
        if not children:
            return
        if self.gates:
            self.gates[-1][1].append(gate(operator, children))
        elif self.reaction is not None:
            self.reaction.rule = gate(operator, children)

    def _start_note(self, _: dict[str, str]) -> None:
        self.text = []
        self.parser.CharacterDataHandler = self.text.append

    def _end_note(self) -> None:
        self.parser.CharacterDataHandler = None
        key, colon, value = "".join(self.text).partition(":")
        if colon and self.owner_notes is not None:
            self.owner_notes[key.strip()] = value.strip()

    # putting it together

    def network(self, fallback_id: str) -> Network:
        if not self.reactions:
            raise ValueError("a model without reactions")
        rows = {
            sid: i
            for i, sid in enumerate(
                s for s, a in self.species.items() if a.get("boundaryCondition", "false") not in ("true", "1")
            )
        }
        metabolites = _clipped(rows, "M_")
        reactions = _clipped([r.sid for r in self.reactions], "R_")
        for sid, operation, value in self.flux_bounds:
            self._apply_flux_bound(sid, operation, value)
        bounds = np.array([self._bounds(reaction) for reaction in self.reactions], dtype=float)
        species = [self.species[sid] for sid in rows]
        notes = {
            identifier: {k: v for k, v in reaction.notes.items() if k not in _GPR_NOTES}
            for identifier, reaction in zip(reactions, self.reactions, strict=True)
        }
        return Network(
            network_id=self._network_id(fallback_id),
            metabolites=metabolites,
            reactions=reactions,
            stoichiometry=self._stoichiometry(rows),
            lower=bounds[:, 0],
            upper=bounds[:, 1],
            objective=self._objective_vector(),
            gprs=tuple(gpr_text(_rule_of(reaction)) for reaction in self.reactions),
            reaction_names=tuple(reaction.name for reaction in self.reactions),
            metabolite_names=tuple(a.get("name", "") for a in species),
            formulas=tuple(
                a.get("chemicalFormula") or self.species_notes[s].get("FORMULA", "")
                for s, a in zip(rows, species, strict=True)
            ),
            charges=tuple(_charge(a, self.species_notes[s]) for s, a in zip(rows, species, strict=True)),
            compartments=tuple(from_sid(a.get("compartment", ""), "C_") for a in species),
            reaction_notes={identifier: note for identifier, note in notes.items() if note},
        )

    def _network_id(self, fallback_id: str) -> str:
        escaped = _NOT_IN_SID.sub("_", self.model_name)
        if self.model_name and self.model_id in (escaped, f"_{escaped}"):
            return self.model_name
        return self.model_id or fallback_id

    def _stoichiometry(self, rows: dict[str, int]) -> csc_array:
        i: list[int] = []
        j: list[int] = []
        values: list[float] = []
        for column, reaction in enumerate(self.reactions):
            for sid, value in reaction.terms:
                if sid not in self.species:
                    raise ValueError(f"{reaction.sid} uses {sid or 'a species without a name'}, which is not declared")
                if sid in rows:
                    i.append(rows[sid])
                    j.append(column)
                    values.append(value)
        matrix = csc_array((values, (i, j)), shape=(len(rows), len(self.reactions)), dtype=float)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix

    def _apply_flux_bound(self, sid: str, operation: str, value: float) -> None:
        """FBC 1: a bound is an element of its own."""
        for reaction in self._by_sid().get(sid, ()):
            if operation in ("greaterEqual", "greater", "equal"):
                reaction.local["LOWER_BOUND"] = value
            if operation in ("lessEqual", "less", "equal"):
                reaction.local["UPPER_BOUND"] = value

    def _by_sid(self) -> dict[str, list[_ReactionDraft]]:
        if not hasattr(self, "_reactions_by_sid"):
            self._reactions_by_sid: dict[str, list[_ReactionDraft]] = {}
            for reaction in self.reactions:
                self._reactions_by_sid.setdefault(reaction.sid, []).append(reaction)
        return self._reactions_by_sid

    def _bounds(self, reaction: _ReactionDraft) -> tuple[float, float]:
        lower = self._bound(reaction.lower, reaction.local.get("LOWER_BOUND"))
        upper = self._bound(reaction.upper, reaction.local.get("UPPER_BOUND"))
        if lower is None:
            lower = -math.inf if reaction.reversible else 0.0
        if upper is None:
            upper = math.inf
        if not lower <= upper:
            raise ValueError(f"{reaction.sid}: lower bound {lower} is not below upper bound {upper}")
        return lower, upper

    def _bound(self, parameter: str | None, local: float | None) -> float | None:
        if parameter is None:
            return local
        if parameter not in self.parameters:
            raise ValueError(f"a flux bound refers to parameter {parameter}, which is not declared or has no value")
        return self.parameters[parameter]

    def _objective_vector(self) -> np.ndarray:
        if not self.objectives:
            return np.array([r.local.get("OBJECTIVE_COEFFICIENT", 0.0) for r in self.reactions])
        active = self.active_objective if self.active_objective in self.objectives else next(iter(self.objectives))
        sense, coefficients = self.objectives[active]
        sign = -1.0 if sense == "minimize" else 1.0
        vector = np.array([sign * coefficients.get(r.sid, 0.0) for r in self.reactions])
        if not np.isfinite(vector).all():
            raise ValueError("an objective coefficient is not a finite number")
        return vector + 0.0


_GPR_NOTES = ("GENE_ASSOCIATION", "GENE ASSOCIATION", "GPR_ASSOCIATION")
_START = {
    "sbml": _SbmlReader._sbml,
    "model": _SbmlReader._model,
    "species": _SbmlReader._one_species,
    "parameter": _SbmlReader._parameter,
    "localParameter": _SbmlReader._parameter,
    "reaction": _SbmlReader._start_reaction,
    "listOfReactants": _SbmlReader._reactants,
    "listOfProducts": _SbmlReader._products,
    "speciesReference": _SbmlReader._species_reference,
    "fluxBound": _SbmlReader._flux_bound,
    "listOfObjectives": _SbmlReader._objective_list,
    "objective": _SbmlReader._objective,
    "fluxObjective": _SbmlReader._flux_objective,
    "geneProductAssociation": lambda reader, _: reader._gate("or"),
    "and": lambda reader, _: reader._gate("and"),
    "or": lambda reader, _: reader._gate("or"),
    "geneProductRef": _SbmlReader._gene_ref,
    "p": _SbmlReader._start_note,
}
_END = {
    "reaction": _SbmlReader._end_reaction,
    "listOfReactants": _SbmlReader._no_side,
    "listOfProducts": _SbmlReader._no_side,
    "geneProductAssociation": _SbmlReader._end_gate,
    "and": _SbmlReader._end_gate,
    "or": _SbmlReader._end_gate,
    "p": _SbmlReader._end_note,
}


def _missing(element: str, attribute: str) -> str:
    raise ValueError(f"a <{element}> without {attribute}")


def _xml_double(text: str) -> float:
    value = {"INF": math.inf, "-INF": -math.inf}.get(text.strip())
    if value is None:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"expected a number, found {text[:40]!r}") from None
    if math.isnan(value):
        raise ValueError("a number in the model is NaN")
    return value


def _clipped(sids: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Ids without the prefix; as they stand where clipping would make two alike."""
    sids = list(sids)
    clipped = tuple(from_sid(sid, prefix) for sid in sids)
    if len(set(clipped)) == len(clipped):
        return clipped
    if len(set(sids)) != len(sids):
        raise ValueError(f"an id occurs twice among those beginning with {prefix}")
    return tuple(sids)


def _rule_of(reaction: _ReactionDraft) -> Rule | None:
    if reaction.rule is not None:
        return reaction.rule
    text = next((reaction.notes[key] for key in _GPR_NOTES if key in reaction.notes), "")
    return parse_gpr(text)


def _charge(attributes: dict[str, str], notes: dict[str, str]) -> int | None:
    text = attributes.get("charge") or notes.get("CHARGE", "")
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None
