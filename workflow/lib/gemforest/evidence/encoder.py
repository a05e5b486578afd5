"""Where source N gets its vectors: the stage `embed`, if it ran, with the encoder that the fits know.

What is missing is neutral and said: no vectors, an encoder of other weights, or a store without BiGG's proteins leave a
note in the table `evidence_sources` and a line in the log.
"""

from __future__ import annotations

import json
import logging
from functools import cache
from pathlib import Path

import pyarrow as pa

from gemforest.config import parameter
from gemforest.embeddings import EmbeddingStore
from gemforest.evidence.calibration import evidence_resource
from gemforest.evidence.claims import Heard
from gemforest.evidence.homologs import bigg_reference
from gemforest.evidence.neighbours import LETTER, VERSION, Index, Neighbours, database_index, nearest
from gemforest.stage import Context

ENCODER = "encoder.json"


def wanted(context: Context) -> bool:
    """Whether anything in the config asks for vectors."""
    evidence = context.config["evidence"]
    return LETTER in evidence["sources"] or evidence["dark"] != "off"


def hear_encoder(context: Context, embeddings: pa.Table, genes: int) -> tuple[Neighbours | None, Heard | None]:
    """Neighbours of all genes of a genome, and what is to be said of them; None twice where nobody asked.

    Parameters
    ----------
    embeddings
        The genome's table of that name.
    genes
        Number of the genome's proteins.
    """
    if not wanted(context):
        return None, None
    folder = embeddings["store"][0].as_py() if embeddings.num_rows else ""
    missing = _missing(context, embeddings.num_rows, genes, folder)
    if missing:
        say_once(missing)
        return None, Heard(LETTER, folder or "none", VERSION, (), note=missing)
    store, index = _opened(context.project / str(parameter(context.config, "embed.store")) / folder, context.cache)
    near = nearest(index, store.read(embeddings["seq_key"].to_pylist()))
    note = (
        f"{len(index.genes)} of BiGG's proteins, cosines from {near.cosine[:, 0].min():.2f} to {near.cosine.max():.2f}"
    )
    return near, Heard(LETTER, store.identity.name, VERSION, (), note=note)


def _missing(context: Context, vectors: int, genes: int, folder: str) -> str:
    """Why source N has nothing to say, and what would mend it; empty where it has."""
    silent = "source N and dark_enzymes have nothing to say: "
    if not vectors:
        return silent + "no protein has a vector; set `embed.enabled: true`"
    if vectors != genes:
        return silent + f"{vectors} of {genes} proteins have a vector; run `gemforest embed` on the shard"
    if not parameter(context.config, "embed.references"):
        return silent + "BiGG's proteins have no vectors; set `embed.references: true`"
    store = EmbeddingStore.open(context.project / str(parameter(context.config, "embed.store")) / folder)
    if store.identity.checkpoint != fitted_encoder():
        return silent + (
            f"its weights were fitted with another encoder than {store.identity.name}; set `embed.encoder: small`, or "
            "fit them again with scripts/fit_evidence.py"
        )
    return ""


def fitted_encoder() -> str:
    """SHA-256 of the checkpoint that the fits of source N were made with."""
    return str(json.loads(evidence_resource(ENCODER).read_text(encoding="utf-8"))["checkpoint"])


@cache
def _opened(folder: Path, cache_folder: Path) -> tuple[EmbeddingStore, Index]:
    store = EmbeddingStore.open(folder)
    return store, database_index(store, cache_folder, bigg_reference())


@cache
def say_once(text: str) -> None:
    """Once for each process, not for each genome."""
    logging.getLogger(__name__).warning(text)
