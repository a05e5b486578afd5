"""The embedding store: one vector per protein and encoder, content-addressed, shared by all shards and later runs.

`<store>/<identity>/part-<digest>.parquet`, where the identity is a digest of everything that decides a vector: the
checkpoint, the layer, the pooling, the window rule, the compute type, the kind of device and the code's version. Each
part repeats its identity in the metadata and is refused under another one, so vectors of two models or devices never
mix. Parts are written to a temporary name and renamed, and never changed: any number of jobs may write at once, and an
interrupted one leaves nothing. Where two jobs embedded the same protein, the part that comes first by name counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gemforest.errors import InfrastructureError
from gemforest.store import digest, read_metadata, write_parquet
from gemforest.tables import EMBEDDING_STORE

IDENTITY_FILE = "identity.json"


@dataclass(frozen=True)
class Identity:
    """Everything that decides a vector.

    Attributes
    ----------
    name, checkpoint
        Name of the encoder, and the SHA-256 of its weights' file.
    layer, width
        Representation layer that is pooled, and the length of a vector.
    pooling, windows
        How residues become one vector, and how long proteins are cut.
    compute, device
        Type of the matrix products, and the kind of device: `cpu` or `cuda`.
    code
        Version of the forward pass; raised by hand when it gives other numbers.
    """

    name: str
    checkpoint: str
    layer: int
    width: int
    pooling: str
    windows: str
    compute: str
    device: str
    code: int

    @property
    def folder(self) -> str:
        """Name of the identity's folder in the store."""
        return f"{self.name}-{digest(asdict(self))[:16]}"

    def to_json(self) -> str:
        """Canonical text, as it stands in the metadata of each part."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Vectors:
    """Vectors of some proteins.

    Attributes
    ----------
    keys
        `seq_key`s, sorted; n of them, 32 bytes each.
    embeddings
        (n, width) float16.
    lengths, windows, norms
        (n,) residues; windows that were averaged; Euclidean norm before the cast to float16.
    """

    keys: list[bytes]
    embeddings: np.ndarray
    lengths: np.ndarray
    windows: np.ndarray
    norms: np.ndarray


class EmbeddingStore:
    """The part of a store that belongs to one identity.

    Parameters
    ----------
    root
        Folder of the whole store.
    identity
        Whose vectors are read and written.

    Raises
    ------
    InfrastructureError
        The identity's folder holds another identity or cannot be read.
    """

    def __init__(self, root: Path, identity: Identity) -> None:
        self.identity = identity
        self.folder = root / identity.folder

    @classmethod
    def open(cls, folder: Path) -> EmbeddingStore:
        """A store by the folder that a run names in its `embeddings` table."""
        try:
            fields = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
            return cls(folder.parent, Identity(**fields))
        except (OSError, ValueError, TypeError) as error:
            raise InfrastructureError(f"{folder} is no embedding store: {error}") from None

    def write(self, vectors: Vectors) -> Path | None:
        """Write vectors as one new part; None where there are none."""
        if not vectors.keys:
            return None
        if vectors.embeddings.shape != (len(vectors.keys), self.identity.width):
            raise ValueError(
                f"expected vectors of shape {(len(vectors.keys), self.identity.width)}, "
                f"found {vectors.embeddings.shape}"
            )
        self._write_identity()
        order = sorted(range(len(vectors.keys)), key=vectors.keys.__getitem__)
        flat = np.ascontiguousarray(vectors.embeddings[order], dtype=np.float16).reshape(-1)
        kind = pa.list_(pa.float16(), self.identity.width)
        schema = EMBEDDING_STORE.set(
            EMBEDDING_STORE.get_field_index("embedding"), EMBEDDING_STORE.field("embedding").with_type(kind)
        )
        keys = [vectors.keys[number] for number in order]
        rows = pa.table(
            [
                pa.array(keys, pa.binary(32)),
                pa.array(np.asarray(vectors.lengths)[order], pa.int32()),
                pa.array(np.asarray(vectors.windows)[order], pa.int16()),
                pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind),
                pa.array(np.asarray(vectors.norms)[order], pa.float32()),
            ],
            schema=schema,
        )
        path = self.folder / f"part-{digest([key.hex() for key in keys])[:24]}.parquet"
        write_parquet(path, rows, {"identity": self.identity.to_json()})
        return path

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of `keys` that have no vector yet, without repetition, in order."""
        wanted = dict.fromkeys(keys)
        for part in self._parts():
            with pq.ParquetFile(part) as file:
                for key in file.read(columns=["seq_key"], use_threads=False)["seq_key"].to_pylist():
                    wanted.pop(key, None)
            if not wanted:
                break
        return list(wanted)

    def read(self, keys: Sequence[bytes]) -> np.ndarray:
        """Vectors of `keys` in their order, (n, width) float32.

        Raises
        ------
        InfrastructureError
            A key has no vector, or a part belongs to another encoder or is damaged.
        """
        place: dict[bytes, list[int]] = {}
        for number, key in enumerate(keys):
            place.setdefault(key, []).append(number)
        found = np.zeros((len(keys), self.identity.width), dtype=np.float32)
        for part in self._parts():
            if not place:
                break
            with pq.ParquetFile(part) as file:
                rows = file.read(columns=["seq_key", "embedding"], use_threads=False)
            taken = [(row, key) for row, key in enumerate(rows["seq_key"].to_pylist()) if key in place]
            if taken:
                values = rows["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                matrix = values.reshape(rows.num_rows, self.identity.width)
                for row, key in taken:
                    found[place.pop(key)] = matrix[row]
        if place:
            raise InfrastructureError(
                f"{self.folder} lacks {len(place)} of {len(keys)} vectors, the first {next(iter(place)).hex()}: "
                "it was emptied since; run `gemforest embed` again on the shard"
            )
        return found

    def _parts(self) -> Iterator[Path]:
        expected = self.identity.to_json()
        for part in sorted(self.folder.glob("part-*.parquet")):
            metadata = read_metadata(part)
            if metadata is None:
                raise InfrastructureError(f"{part} is damaged: remove it, its proteins are embedded again")
            if metadata.get("identity") != expected:
                raise InfrastructureError(
                    f"{part} holds vectors of another encoder: expected {expected}, found {metadata.get('identity')}; "
                    "move it away or name another folder with `embed.store`"
                )
            yield part

    def _write_identity(self) -> None:
        from gemforest.store import write_text

        write_text(self.folder / IDENTITY_FILE, self.identity.to_json() + "\n")
