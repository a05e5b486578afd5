"""`gemforest export gecko`: enzyme-constrained models as GECKO 4 and RAVEN read them, in YAML.

The file is what RAVEN's `writeYAMLmodel` writes of a light GECKO model (`geckoLight: "true"`): the network with
`prot_pool` and the split reactions as in `results/ec_models`, then `ec-rxns`, all enzymes of each reaction and
direction (`001_PFK`, `002_PFK`, ...) with kcat and source, and `ec-enzymes`, their proteins with mass and sequence.
Genes stand for themselves where GECKO has UniProt's accessions. cobrapy's `load_yaml_model` reads the network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gemforest.config import parameter
from gemforest.errors import InputError
from gemforest.export import why_none
from gemforest.kinetics import read_copies
from gemforest.kinetics.costs import REVERSE
from gemforest.kinetics.ecmodel import BACKWARD
from gemforest.models import Network, read_sbml
from gemforest.plan import read_shard, read_shards
from gemforest.stage import Context
from gemforest.store import write_text

# Keys that YAML takes as they are; `y`, `no` and the like would be truth values to it.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{2,}")
_WORDS = frozenset({"yes", "true", "false", "off", "null"})
_COMPARTMENTS = {"c": "cytosol", "p": "periplasm", "e": "extracellular space"}


def export_gecko(context: Context, genomes: Sequence[str], folder: Path) -> list[Path]:
    """Write `<genome_id>.yml` of genomes; of all that have an enzyme-constrained model where `genomes` is empty.

    Raises
    ------
    InputError
        A genome is not in the plan, or has no such model; the message says why.
    """
    store = context.store
    shards = {row["genome_id"]: shard for shard in read_shards(store.root) for row in read_shard(store.root, shard)}
    if unknown := sorted(set(genomes) - set(shards)):
        raise InputError(f"no genome {unknown[0]!r} in the plan")
    path = parameter(context.config, "kinetics.subunit_table")
    copies = read_copies(context.project / path) if path else {}
    written = []
    for genome_id in genomes or sorted(shards):
        shard = shards[genome_id]
        file = store.model_path("ec_models", shard, genome_id)
        if not file.exists():
            if genomes:
                raise InputError(f"{genome_id} has no enzyme-constrained model: {_why(context, shard, genome_id)}")
            continue
        kcats = store.read("kcats", shard, genome_id).to_pylist()
        proteins = store.read("proteins", shard, genome_id, ["gene_id", "mass_g_per_mol", "sequence"]).to_pylist()
        text = gecko_yaml(genome_id, read_sbml(file), kcats, proteins, copies)
        write_text(folder / f"{genome_id}.yml", text)
        written.append(folder / f"{genome_id}.yml")
    if not written:
        raise InputError("no genome has an enzyme-constrained model yet: `gemforest status` shows how far the run is")
    return written


def _why(context: Context, shard: str, genome_id: str) -> str:
    if context.store.table_path("ec_summary", shard, genome_id).exists():
        for row in context.store.read("ec_summary", shard, genome_id).to_pylist():
            if row["measure"] == "ec_model" and row["flagged"]:
                return str(row["detail"])
    return why_none(context.store, shard, genome_id)


def gecko_yaml(
    name: str,
    network: Network,
    kcats: Sequence[Mapping[str, Any]],
    proteins: Sequence[Mapping[str, Any]],
    copies: Mapping[tuple[str, str], float] | None = None,
) -> str:
    """A constrained network, rows of `kcats` and of `proteins` as one YAML text.

    Parameters
    ----------
    copies
        (reaction or `*`, gene) to copies of the subunit; 1 where not named.
    """
    genes = sorted({gene for row in kcats for gene in row["genes"]})
    lines = ["---", "!!omap", "- metaData:"]
    lines += [f"    {key}: {_text(value)}" for key, value in (("id", name), ("name", name), ("geckoLight", "true"))]
    lines += ["- metabolites:", *_metabolites(network), "- reactions:", *_reactions(network), "- genes:"]
    lines += _entries([[("id", _text(gene))] for gene in sorted(_all_genes(network, genes))], "    ")
    lines += ["- compartments: !!omap"]
    lines += [f"    - {c}: {_text(_COMPARTMENTS.get(c, c))}" for c in sorted(set(network.compartments))]
    lines += ["- ec-rxns:", *_ec_reactions(kcats, copies or {}), "- ec-enzymes:"]
    known = {row["gene_id"]: row for row in proteins}
    for gene in genes:
        row = known.get(gene, {})
        fields = [("genes", _text(gene)), ("enzymes", _text(gene))]
        if row.get("mass_g_per_mol"):
            fields.append(("mw", _number(row["mass_g_per_mol"])))
        if row.get("sequence"):
            fields.append(("sequence", _text(row["sequence"])))
        lines += _entries([fields], "  ")
    return "\n".join(lines) + "\n"


def _metabolites(network: Network) -> Iterator[str]:
    for i, metabolite in enumerate(network.metabolites):
        fields = [
            ("id", _text(metabolite)),
            ("name", _text(network.metabolite_names[i])),
            ("compartment", _text(network.compartments[i])),
        ]
        if network.formulas[i]:
            fields.append(("formula", _text(network.formulas[i])))
        charge = network.charges[i]
        if charge is not None:
            fields.append(("charge", _number(charge)))
        yield from _entries([fields], "    ")


def _reactions(network: Network) -> Iterator[str]:
    matrix = network.stoichiometry
    for j, reaction in enumerate(network.reactions):
        part = slice(matrix.indptr[j], matrix.indptr[j + 1])
        taken = sorted(
            (network.metabolites[i], float(value))
            for i, value in zip(matrix.indices[part], matrix.data[part], strict=True)
        )
        yield "    - !!omap"
        yield f"      - id: {_text(reaction)}"
        yield f"      - name: {_text(network.reaction_names[j])}"
        yield "      - metabolites: !!omap"
        yield from (f"          - {_key(metabolite)}: {_number(value)}" for metabolite, value in taken)
        yield f"      - lower_bound: {_number(network.lower[j])}"
        yield f"      - upper_bound: {_number(network.upper[j])}"
        if network.gprs[j]:
            yield f"      - gene_reaction_rule: {_text(network.gprs[j])}"
        if network.objective[j]:
            yield f"      - objective_coefficient: {_number(network.objective[j])}"


def _ec_reactions(kcats: Sequence[Mapping[str, Any]], copies: Mapping[tuple[str, str], float]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for row in kcats:
        reaction = row["reaction"] + (BACKWARD if row["direction"] == REVERSE else "")
        seen[reaction] = seen.get(reaction, 0) + 1
        yield "  - !!omap"
        yield f"    - id: {_text(f'{seen[reaction]:03d}_{reaction}')}"
        yield f"    - kcat: {_number(row['kcat_per_s'])}"
        yield f"    - source: {_text(row['tier'])}"
        yield f"    - notes: {_text(row['source'])}"
        yield "    - enzymes: !!omap"
        for gene in row["genes"]:
            count = copies.get((row["reaction"], gene), copies.get(("*", gene), 1.0))
            yield f"        - {_key(gene)}: {_number(count)}"


def _all_genes(network: Network, genes: Sequence[str]) -> set[str]:
    from gemforest.gprs import genes_of, parse_gpr

    return {gene for rule in network.gprs for gene in genes_of(parse_gpr(rule))} | set(genes)


def _entries(records: Sequence[Sequence[tuple[str, str]]], indent: str) -> Iterator[str]:
    for fields in records:
        yield f"{indent}- !!omap"
        yield from (f"{indent}  - {name}: {value}" for name, value in fields)


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _WORDS else _text(name)


def _text(value: str) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _number(value: float) -> str:
    return f"{float(value):.15g}"
