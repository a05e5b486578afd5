"""The embedding store: one vector per protein and encoder, content-addressed, shared by all shards and later runs.

`<store>/<identity>/part-<digest>.parquet`, where the identity is a digest of everything that decides a vector: the
checkpoint, the layer, the pooling, the window rule, the compute type, the kind of device and the code's version. Each
part repeats its identity in the metadata and is refused under another one, so vectors of two models or devices never
mix. Parts are written to a temporary name and renamed, and never changed: any number of jobs may write at once, and an
interrupted one leaves nothing. Where two jobs embedded the same protein, the part that comes first by name counts.
`vectorindex.py` says which part and row hold a protein, so that a lookup opens no other; a store without an index gets
one at its first lookup.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gemforest.errors import InfrastructureError
from gemforest.store import digest, read_metadata, write_parquet
from gemforest.tables import EMBEDDING_STORE
from gemforest.vectorindex import Place, VectorIndex

IDENTITY_FILE = "identity.json"
INDEX = "index"
# Rows that are read together: a genome's proteins lie scattered over the parts of its shard.
GROUP_ROWS = 1024


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
        name = digest([key.hex() for key in keys])[:24]
        path = self.folder / f"part-{name}.parquet"
        write_parquet(path, rows, {"identity": self.identity.to_json()}, row_group_size=GROUP_ROWS)
        # After the part: what is indexed is there. A job that dies in between leaves a part that nobody looks at.
        if self._index().exists():
            self._index().add([(name, keys)])
        else:
            self._index_all()
        return path

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of `keys` that have no vector yet, without repetition, in order.

        Raises
        ------
        InfrastructureError
            A part that holds one of them belongs to another encoder or is damaged.
        """
        wanted = list(dict.fromkeys(keys))
        found = self._find(wanted)
        for part in {place.part for place in found.values()}:
            self._checked(part)
        return [key for number, key in enumerate(wanted) if number not in found]

    def read(self, keys: Sequence[bytes]) -> np.ndarray:
        """Vectors of `keys` in their order, (n, width) float32; reads the row groups that hold them.

        Raises
        ------
        InfrastructureError
            A key has no vector, or a part belongs to another encoder or is damaged.
        """
        place = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        wanted = list(place)
        found = self._find(wanted)
        if len(found) < len(wanted):
            lost = next(key for number, key in enumerate(wanted) if number not in found)
            raise InfrastructureError(
                f"{self.folder} lacks {len(wanted) - len(found)} of {len(wanted)} vectors, the first {lost.hex()}: "
                "it was emptied since; run `gemforest embed` again on the shard"
            )
        rows_of: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, where in found.items():
            rows_of[where.part].append((where.row, number))
        vectors = np.zeros((len(wanted), self.identity.width), dtype=np.float32)
        for part, pairs in rows_of.items():
            self._read_rows(self._checked(part), sorted(pairs), wanted, vectors)
        return vectors[[place[key] for key in keys]]

    def _read_rows(
        self, path: Path, pairs: Sequence[tuple[int, int]], wanted: Sequence[bytes], vectors: np.ndarray
    ) -> None:
        """Put rows of a part, ascending and each with the number of its key, in their places of `vectors`."""
        try:
            with pq.ParquetFile(path) as file:
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                ends = np.cumsum(sizes)
                rows = np.array([row for row, _ in pairs])
                groups = np.searchsorted(ends, rows, side="right")
                needed = np.unique(groups)
                table = file.read_row_groups(needed.tolist(), columns=["seq_key", "embedding"], use_threads=False)
        except (OSError, pa.ArrowException, IndexError) as error:
            raise InfrastructureError(
                f"{path} is damaged ({error}): remove it, its proteins are embedded again"
            ) from None
        before = np.concatenate([[0], np.cumsum(np.array(sizes)[needed])])
        at = rows - (ends - sizes)[groups] + before[np.searchsorted(needed, groups)]
        taken = table.take(pa.array(at))
        if taken["seq_key"].to_pylist() != [wanted[number] for _, number in pairs]:
            raise InfrastructureError(
                f"{path} does not hold what {self.folder / INDEX} says: remove that folder, it is made again"
            )
        values = taken["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors[[number for _, number in pairs]] = values.reshape(len(pairs), self.identity.width)

    def _find(self, keys: Sequence[bytes]) -> dict[int, Place]:
        """Places of those keys that have a vector, by their number."""
        if not self._index().exists() and not self._index_all():
            return {}
        there = cache(lambda name: self._path(name).exists())
        return self._index().find(keys, there)

    def _index_all(self) -> bool:
        """Index all parts: those of a store from before there was an index, or whose index was removed."""
        parts = [(part.stem.removeprefix("part-"), self._keys(part)) for part in self._parts()]
        if parts:
            self._index().add(parts)
        return bool(parts)

    def _index(self) -> VectorIndex:
        return VectorIndex(self.folder / INDEX)

    def _path(self, name: str) -> Path:
        return self.folder / f"part-{name}.parquet"

    def _keys(self, part: Path) -> list[bytes]:
        with pq.ParquetFile(part) as file:
            keys: list[bytes] = file.read(columns=["seq_key"], use_threads=False)["seq_key"].to_pylist()
        return keys

    def _parts(self) -> Iterator[Path]:
        for part in sorted(self.folder.glob("part-*.parquet")):
            yield self._checked(part.stem.removeprefix("part-"))

    def _checked(self, name: str) -> Path:
        """The part of this name, whole and of this encoder."""
        expected, part = self.identity.to_json(), self._path(name)
        metadata = read_metadata(part)
        if metadata is None:
            raise InfrastructureError(f"{part} is damaged: remove it, its proteins are embedded again")
        if metadata.get("identity") != expected:
            raise InfrastructureError(
                f"{part} holds vectors of another encoder: expected {expected}, found {metadata.get('identity')}; "
                "move it away or name another folder with `embed.store`"
            )
        return part

    def _write_identity(self) -> None:
        from gemforest.store import write_text

        write_text(self.folder / IDENTITY_FILE, self.identity.to_json() + "\n")
