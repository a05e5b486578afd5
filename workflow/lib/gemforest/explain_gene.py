"""`gemforest explain GENOME GENE`: what the sources say of a gene, where they differ, the verdict, where it leads.

Reads the tables on disk, like `explain.py`, which answers for a reaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from gemforest.errors import InputError
from gemforest.explain import did_you_mean, explain, rows_of, shard_of
from gemforest.gprs import genes_of, parse_gpr
from gemforest.stage import Context

MOST_CALLS_SHOWN = 12


def explain_any(context: Context, genome_id: str, name: str) -> str:
    """The case of a gene where the genome has one of that id, else of a reaction.

    Raises
    ------
    InputError
        The genome is not in the plan, or `name` is neither a gene nor a reaction.
    """
    proteins = rows_of(context, "proteins", shard_of(context, genome_id), genome_id)
    if proteins is not None and pc.any(pc.equal(proteins["gene_id"], name)).as_py():
        return explain_gene(context, genome_id, name)
    try:
        return str(explain(context, genome_id, name))
    except InputError as error:
        genes = [] if proteins is None else proteins["gene_id"].to_pylist()
        example = f"; genes of {genome_id} look like {genes[0]!r}{did_you_mean(name, genes)}" if genes else ""
        raise InputError(f"{error}{example}") from error


def explain_gene(context: Context, genome_id: str, gene_id: str) -> str:
    """What is known of a gene of a genome, as text."""
    shard = shard_of(context, genome_id)
    proteins = rows_of(context, "proteins", shard, genome_id)
    assert proteins is not None
    protein = proteins.filter(pc.equal(proteins["gene_id"], gene_id)).to_pylist()[0]
    lines = [f"{gene_id} in {genome_id}: {_protein(protein)}"]
    calls = rows_of(context, "gene_reactions", shard, genome_id)
    if calls is None:
        return "\n".join([*lines, "  evidence  not run; `gemforest status` tells why"])
    mine = calls.filter(pc.equal(calls["gene_id"], gene_id)).sort_by([("probability", "descending")])
    rows = mine.to_pylist()
    lines.append(f"  verdict   {_verdict(rows)}")
    rules = _rules_of_model(context, shard, genome_id)
    for row in rows[:MOST_CALLS_SHOWN]:
        lines += [f"  {line}" for line in _call(row, rules)]
    if len(rows) > MOST_CALLS_SHOWN:
        lines.append(f"  and {len(rows) - MOST_CALLS_SHOWN} more calls, all less probable")
    proposed = rows_of(context, "dark_enzymes", shard, genome_id)
    if proposed is not None:
        lines += [_proposal(row) for row in proposed.filter(pc.equal(proposed["gene_id"], gene_id)).to_pylist()]
    return "\n".join(lines)


def _proposal(row: dict[str, Any]) -> str:
    """A row of `dark_enzymes`: no database knows the protein, but the encoder finds it near an enzyme."""
    ecs = f" (EC {', '.join(row['ec'])})" if row["ec"] else ""
    return (
        f"  proposed  {row['reaction']}{ecs} probability {row['probability']:.4f}, near {row['neighbour']}, "
        f"cosine distance {row['distance']:.2f}; no database hit, not in the draft unless evidence.dark is use"
    )


def _protein(row: dict[str, Any]) -> str:
    parts = [f"{row['length']} residues", row["description"] or ""]
    parts += [f"EC {', '.join(row['ec'])} by its source" if row["ec"] else ""]
    return ", ".join(part for part in parts if part)


def _verdict(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "none of the reactions known to the sources: no homolog speaks for one above the floor (evidence.floor)"
    accepted = [row["reaction"] for row in rows if row["decision"] == "accepted"]
    if not accepted:
        best = rows[0]
        return f"no call accepted; nearest {best['reaction']} with probability {best['probability']:.2f}; {_none(best)}"
    conflicts = sorted({row["conflict"] for row in rows if row["decision"] == "accepted"})
    return f"{len(accepted)} of {len(rows)} calls accepted ({', '.join(conflicts)}); {_none(rows[0])}"


def _none(row: dict[str, Any]) -> str:
    return f"none of these {row['none_of_these']:.2f}"


def _call(row: dict[str, Any], rules: dict[str, str] | None) -> list[str]:
    where = "" if rules is None else f", {_where(row, rules)}"
    head = f"{row['reaction']:<14} probability {row['probability']:.2f}, {row['decision']}, {row['conflict']}{where}"
    return [head, *(f"    {_item(item)}" for item in row["evidence"])]


def _item(item: dict[str, Any]) -> str:
    parts = [
        f"{item['source']} {item['target'] or 'share of the other subunits'}"
        + (f" (version {item['version']})" if item["version"] else "")
    ]
    if item["identity_percent"] is not None:
        parts.append(
            f"{item['value']:.0f} bits, {item['identity_percent']:.0f} % identity over "
            f"{item['query_coverage']:.0%} of the gene and {item['target_coverage']:.0%} of the target"
        )
    elif item["value"] is not None:
        parts.append(f"value {item['value']:.3g}")
    parts.append(f"log-odds {item['log_likelihood_ratio']:+.1f}")
    return ": ".join(parts[:2]) + f"; {parts[-1]}" if len(parts) > 2 else "; ".join(parts)


def _where(row: dict[str, Any], rules: dict[str, str]) -> str:
    """Whether the model holds the reaction, and its rule the gene."""
    rule = rules.get(row["reaction"])
    if rule is None:
        return "not in the model"
    return "in the model" if row["gene_id"] in genes_of(parse_gpr(rule)) else "in the model without this gene"


def _rules_of_model(context: Context, shard: str, genome_id: str) -> dict[str, str] | None:
    """Reaction of the final model to its rule; None where there is no model."""
    rows = rows_of(context, "model_reactions", shard, genome_id)
    if rows is None:
        return None
    return dict(zip(rows["reaction"].to_pylist(), (rule or "" for rule in rows["gpr"].to_pylist()), strict=True))
