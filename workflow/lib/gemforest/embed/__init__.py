"""Embed: a vector for every protein of a shard, in the shared store; who has one, in the table `embeddings`.

The unique proteins of the shard that the store does not hold yet are embedded by the configured encoder and written as
new parts; a protein that was met in any earlier shard, genome or run costs nothing. With `embed.references` CarveMe's
protein database is embedded too, once. `embed.enabled: false` (the default, see the documentation for why) leaves
empty tables and loads nothing.

`tokens.py` letters to tokens · `checkpoint.py` weights · `forward.py` the packed pass · `engine.py` batches, devices;
`gemforest.embeddings` is the store itself, which later stages read.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gemforest.carveme_files import carveme_data
from gemforest.config import WORKFLOW, parameter
from gemforest.embeddings import EmbeddingStore, Identity, Vectors
from gemforest.errors import InputError
from gemforest.ledger import Reason
from gemforest.sequences import fasta_genes, normalise, seq_key
from gemforest.stage import Context, PoolCrashed, Products, Stage, Task
from gemforest.store import digest
from gemforest.tables import TABLES

if TYPE_CHECKING:
    from gemforest.embed.checkpoint import Checkpoint
    from gemforest.embed.engine import Place

RESOURCES = WORKFLOW.parent / "resources"
# Proteins of one part: what an interrupted job loses at most, and what lies in memory at once.
PART = 20_000


def pooled(tasks: Sequence[Task], cores: int) -> dict[str, Products]:
    """Embed what is new of many genomes in one go."""
    context = tasks[0].context
    if not parameter(context.config, "embed.enabled"):
        return {task.genome_id: Products({"embeddings": TABLES["embeddings"].empty()}) for task in tasks}
    from gemforest.embed.engine import choose_place

    checkpoint = _checkpoint(context)
    settings = tasks[0].parameters
    place = choose_place(settings["embed.device"], settings["embed.compute"], cores)
    store = EmbeddingStore(store_root(context), identity(checkpoint, place))
    proteins = {task.genome_id: task.read("proteins", ["gene_id", "seq_key", "sequence"]) for task in tasks}
    wanted: dict[bytes, bytes] = {}
    for table in proteins.values():
        sequences = (sequence.encode() for sequence in table["sequence"].to_pylist())
        wanted.update(zip(table["seq_key"].to_pylist(), sequences, strict=True))
    if settings["embed.references"]:
        wanted.update(reference_proteins())
    fill(store, wanted, checkpoint, place)
    return {
        genome_id: Products({"embeddings": _rows(genome_id, table, store)}) for genome_id, table in proteins.items()
    }


def fill(store: EmbeddingStore, wanted: dict[bytes, bytes], checkpoint: Checkpoint, place: Place) -> int:
    """Embed what the store lacks of `wanted` (seq_key → residues) and write it part by part; how many that were.

    Raises
    ------
    PoolCrashed
        A worker process died.
    """
    from gemforest.embed.engine import OutOfProcess, embed, say

    missing = store.missing(list(wanted))
    # Sorted by length over all parts, and within a length by key, so that the order of genomes changes nothing.
    missing.sort(key=lambda key: (len(wanted[key]), key))
    written: list[Future[Path | None]] = []
    with ThreadPoolExecutor(1) as writer:
        for first in range(0, len(missing), PART):
            keys = missing[first : first + PART]
            try:
                found = embed([wanted[key] for key in keys], checkpoint, place)
            except OutOfProcess as error:
                raise PoolCrashed(Reason.ENCODER_CRASHED, str(error)) from None
            say(found, len(keys), place)
            lengths = np.array([len(wanted[key]) for key in keys])
            norms = np.linalg.norm(found.vectors, axis=1)
            vectors = Vectors(keys, found.vectors.astype(np.float16), lengths, found.windows, norms)
            written.append(writer.submit(store.write, vectors))
        for future in written:
            future.result()
    return len(missing)


def identity(checkpoint: Checkpoint, place: Place) -> Identity:
    """What decides a vector of this checkpoint at this place."""
    from gemforest.embed.checkpoint import load
    from gemforest.embed.forward import CODE_VERSION
    from gemforest.embed.tokens import STRIDE, WINDOW

    model = load(checkpoint)
    return Identity(
        name=checkpoint.name,
        checkpoint=checkpoint.sha256,
        layer=model.num_layers,
        width=model.embed_dim,
        pooling="mean over residues",
        windows=f"{WINDOW} residues, stride {STRIDE}, weighted by length",
        compute=place.compute,
        device=place.device,
        code=CODE_VERSION,
    )


def reference_proteins() -> dict[bytes, bytes]:
    """CarveMe's protein database: seq_key → residues."""
    data = carveme_data("generated/bigg_proteins.faa").read_bytes()
    sequences = (normalise(gene.protein) for gene in fasta_genes(data))
    return {seq_key(sequence): sequence for sequence in sequences if sequence}


def store_root(context: Context) -> Path:
    """Folder of the whole store."""
    return context.project / str(parameter(context.config, "embed.store"))


def _rows(genome_id: str, proteins: pa.Table, store: EmbeddingStore) -> pa.Table:
    columns = {
        "genome_id": pa.array([genome_id] * proteins.num_rows, pa.string()),
        "gene_id": proteins["gene_id"],
        "seq_key": proteins["seq_key"],
        "store": pa.array([store.identity.folder] * proteins.num_rows, pa.string()),
    }
    return pa.table({name: columns[name] for name in TABLES["embeddings"].schema.names})


def _checkpoint(context: Context) -> Checkpoint:
    from gemforest.embed.checkpoint import find

    return find(parameter(context.config, "embed.encoder"), context.project, RESOURCES, context.cache)


def _resources(context: Context) -> dict[str, str]:
    if not parameter(context.config, "embed.enabled"):
        return {}
    return {"encoder": _checkpoint(context).sha256}


def _what_is_seen(products: Products) -> str:
    """Later stages see which gene has which vector in which store: not the settings that change neither."""
    table = products.tables["embeddings"]
    return digest([list(map(str, table[name].to_pylist())) for name in ("gene_id", "seq_key", "store")])


def _versions(context: Context) -> dict[str, str]:
    if not parameter(context.config, "embed.enabled"):
        return {}
    from importlib import metadata

    try:
        return {"torch": metadata.version("torch"), "fair-esm": metadata.version("fair-esm")}
    except metadata.PackageNotFoundError as error:
        raise InputError(f"embed.enabled needs {error.name}; install it, or set `embed.enabled: false`") from None


STAGE = Stage(
    name="embed",
    version=2,
    reads=("proteins",),
    writes=("embeddings",),
    parameters=("embed.enabled", "embed.encoder", "embed.device", "embed.compute", "embed.references", "embed.store"),
    pooled=pooled,
    resources=_resources,
    versions=_versions,
    output=_what_is_seen,
    switch="embed.enabled",
)
