"""BiGG's gene rules for the reactions of a universe, as arrays: which database genes make which proteins and reactions.

The rules (shipped by CarveMe) are sorted once per universe, so that whatever is asked per genome costs a few array
operations: CarveMe's scores (`evidence`) and the growth score (`simulate`).
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from gemforest.carveme_files import carveme_data

SPONTANEOUS_GENES = frozenset({"G_s0001", "G_S0001", "G_s_0001", "G_S_0001", "G_KPN_SPONT", "G_PP_s0001"})


@dataclass(frozen=True)
class Rules:
    """BiGG's gene rules for the reactions of one universe, rows grouped by protein, proteins by reaction.

    Attributes
    ----------
    genes
        Unique database genes, `model.gene`, sorted.
    spontaneous
        len(genes), bool: stands for «needs no enzyme».
    row_gene
        Index into `genes` per row.
    protein_start
        First row of each protein, and the number of rows at the end.
    reactions
        Reactions without R_, sorted.
    reaction_start
        First protein of each reaction, and the number of proteins at the end.
    """

    genes: np.ndarray
    spontaneous: np.ndarray
    row_gene: np.ndarray
    protein_start: np.ndarray
    reactions: tuple[str, ...]
    reaction_start: np.ndarray


def load_rules(reactions: Sequence[str]) -> Rules:
    """Read CarveMe's GPR table and keep the rules of `reactions` (ids without R_)."""
    with gzip.open(carveme_data("generated/bigg_gprs.csv.gz")) as handle:
        table = pacsv.read_csv(pa.BufferReader(handle.read()))
    return group_rules(table, reactions)


def group_rules(table: pa.Table, reactions: Sequence[str]) -> Rules:
    """Group a table with the columns gene, protein, reaction, model."""
    wanted = {f"R_{reaction}" for reaction in reactions}
    columns = {name: np.array(table[name].to_pylist(), dtype=str) for name in ("gene", "protein", "reaction", "model")}
    keep = np.fromiter((reaction in wanted for reaction in columns["reaction"]), bool, table.num_rows)
    columns = {name: values[keep] for name, values in columns.items()}
    # A stable sort keeps the subunits of a protein in the table's order, in which CarveMe adds up their scores.
    order = np.lexsort((columns["model"], columns["protein"], columns["reaction"]))
    columns = {name: values[order] for name, values in columns.items()}
    new_reaction = _changes(columns["reaction"])
    new_protein = new_reaction | _changes(columns["protein"]) | _changes(columns["model"])
    protein_start = np.flatnonzero(new_protein)
    reaction_rows = np.flatnonzero(new_reaction)
    names = np.array([f"{m}.{g[2:]}" for m, g in zip(columns["model"], columns["gene"], strict=True)], dtype=str)
    genes, first, row_gene = np.unique(names, return_index=True, return_inverse=True)
    return Rules(
        genes=genes,
        spontaneous=np.fromiter((gene in SPONTANEOUS_GENES for gene in columns["gene"][first]), bool, len(genes)),
        row_gene=row_gene,
        protein_start=np.append(protein_start, len(row_gene)),
        reactions=tuple(reaction[2:] for reaction in columns["reaction"][reaction_rows].tolist()),
        reaction_start=np.append(np.searchsorted(protein_start, reaction_rows), len(protein_start)),
    )


def _changes(values: np.ndarray) -> np.ndarray:
    changed = np.ones(len(values), dtype=bool)
    changed[1:] = values[1:] != values[:-1]
    return changed
