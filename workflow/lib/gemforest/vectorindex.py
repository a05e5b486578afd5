"""Where the vector of a protein lies: sorted index files, so that a lookup opens the parts that it needs and no other.

`<store>/<identity>/index/<level>-<digest>.idx`. A file is made of n keys' first eight bytes, ascending, as unsigned
64-bit numbers, and n records of 40 bytes in the same order: the key's other 24 bytes, 12 bytes that name the part, and
the row in it. It is mapped, and a search touches a few pages of the first block. Each new part brings a small file;
`FAN` files of one level are merged to one of the next (O'Neil et al. 1996, Acta Informatica 33:351), so that their
number grows with the logarithm of the store, up to `LARGEST` keys a file, beyond which they are left alone.

Files never change and have the digest of their content in their name: any number of jobs may add and merge at once, and
two that merge the same files write the same one. Merged files move to `index/old` and are removed a day later, so that
a job that has mapped one keeps it.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemforest.errors import InfrastructureError
from gemforest.store import atomic

KEY, PART, RECORD = 32, 12, 40
HEAD = 8
FAN = 16
# Keys of a file beyond which nothing is merged any more: a merge holds its result in memory four times, 0.3 GB each.
LARGEST = 6_000_000
# Keys of a file of level 0 at most: what is indexed at once may be more, when an older store gets its index.
LEVEL_0 = 50_000
GRACE = 24 * 3600.0


@dataclass(frozen=True)
class Place:
    """Where a vector lies: name of the part (24 hexadecimal digits) and row in it."""

    part: str
    row: int


@dataclass(frozen=True)
class Run:
    """One index file: heads (n,) uint64 ascending, records (n, 40) bytes, mapped or in memory."""

    heads: np.ndarray
    records: np.ndarray

    @classmethod
    def mapped(cls, path: Path) -> Run:
        """The file at `path`.

        Raises
        ------
        FileNotFoundError
            Another job has merged it.
        InfrastructureError
            Its size is no whole number of records.
        """
        count, rest = divmod(path.stat().st_size, HEAD + RECORD)
        if rest or not count:
            raise InfrastructureError(f"{path} is damaged: remove the folder {path.parent}, it is made again")
        heads = np.memmap(path, np.dtype("<u8"), mode="r", shape=(count,))
        return cls(heads, np.memmap(path, np.uint8, mode="r", offset=count * HEAD, shape=(count, RECORD)))

    @classmethod
    def of_part(cls, part: str, keys: Sequence[bytes]) -> Run:
        """The index of one part, whose keys are sorted."""
        return cls.sorted(_whole(keys), np.frombuffer(bytes.fromhex(part) * len(keys), np.uint8).reshape(-1, PART))

    @classmethod
    def sorted(cls, keys: np.ndarray, parts: np.ndarray) -> Run:
        """Keys (n, 32) of one part in the order of its rows."""
        rows = np.arange(len(keys), dtype=">u4").view(np.uint8).reshape(-1, 4)
        return cls(_heads(keys), np.concatenate([keys[:, HEAD:], parts, rows], axis=1))

    @classmethod
    def merged(cls, runs: Sequence[Run]) -> Run:
        """All records in the order of their keys, and of one key by the part's name; each once."""
        heads = np.concatenate([run.heads for run in runs])
        records = np.concatenate([run.records for run in runs])
        order = np.lexsort((records.view(f"S{RECORD}")[:, 0], heads))
        heads, records = heads[order], records[order]
        new = np.ones(len(heads), dtype=bool)
        new[1:] = (heads[1:] != heads[:-1]) | (records[1:] != records[:-1]).any(axis=1)
        return cls(heads[new], records[new])

    def find(self, heads: np.ndarray, keys: Sequence[bytes]) -> Iterator[tuple[int, Place]]:
        """Number of the key and place, for each record of each key; `heads` belong to `keys`."""
        first = np.searchsorted(self.heads, heads, side="left")
        inside = np.flatnonzero(first < len(self.heads))
        for number in inside[self.heads[first[inside]] == heads[inside]].tolist():
            row, rest = int(first[number]), keys[number][HEAD:]
            while row < len(self.heads) and self.heads[row] == heads[number]:
                record = self.records[row].tobytes()
                if record[: KEY - HEAD] == rest:
                    part = record[KEY - HEAD : KEY - HEAD + PART].hex()
                    yield number, Place(part, int.from_bytes(record[-4:], "big"))
                row += 1


@dataclass(frozen=True)
class VectorIndex:
    """The index of one identity's folder."""

    folder: Path

    def exists(self) -> bool:
        """Whether anything was indexed."""
        return bool(self._files())

    def add(self, parts: Sequence[tuple[str, Sequence[bytes]]]) -> None:
        """Index new parts (name, sorted keys) in one file, and merge where enough files have gathered."""
        run = Run.merged([Run.of_part(name, keys) for name, keys in parts])
        level = 0
        while len(run.heads) > LEVEL_0 * FAN**level:
            level += 1
        self._write(run, level)
        self._merge()

    def find(self, keys: Sequence[bytes], usable: Callable[[str], bool]) -> dict[int, Place]:
        """Places by the key's number in `keys`; of several the usable part that comes first by name.

        Parameters
        ----------
        usable
            Whether a part of this name is there.
        """
        heads = _heads(_whole(keys))
        while True:
            try:
                runs = [Run.mapped(path) for path in self._files()]
                break
            except FileNotFoundError:
                # Merged since the folder was listed.
                continue
        found: dict[int, list[Place]] = defaultdict(list)
        for run in runs:
            for number, place in run.find(heads, keys):
                found[number].append(place)
        answers = {}
        for number, places in found.items():
            for place in sorted(set(places), key=lambda place: (place.part, place.row)):
                if usable(place.part):
                    answers[number] = place
                    break
        return answers

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.idx"))

    def _write(self, run: Run, level: int) -> Path:
        data = np.ascontiguousarray(run.heads, dtype="<u8").tobytes() + np.ascontiguousarray(run.records).tobytes()
        path = self.folder / f"{level}-{hashlib.sha256(data).hexdigest()[:24]}.idx"
        if not path.exists():
            with atomic(path) as temporary:
                temporary.write_bytes(data)
        return path

    def _merge(self) -> None:
        """Merge files of one level while there are enough of them."""
        levels: dict[int, list[Path]] = defaultdict(list)
        for path in self._files():
            levels[int(path.name.split("-")[0])].append(path)
        for level, paths in sorted(levels.items()):
            if len(paths) < FAN:
                continue
            try:
                runs = [Run.mapped(path) for path in paths]
                if sum(len(run.heads) for run in runs) > LARGEST:
                    continue
                self._write(Run.merged(runs), level + 1)
            except FileNotFoundError:
                return  # Another job is at it.
            self._retire(paths)
            self._merge()
            return

    def _retire(self, paths: Sequence[Path]) -> None:
        old = self.folder / "old"
        old.mkdir(exist_ok=True)
        for path in paths:
            try:
                path.rename(old / path.name)
            except FileNotFoundError:
                continue  # Another job merged the same files.
        for path in old.iterdir():
            try:
                if time.time() - path.stat().st_ctime > GRACE:
                    path.unlink()
            except FileNotFoundError:
                continue


def _whole(keys: Sequence[bytes]) -> np.ndarray:
    """Keys as bytes (n, 32)."""
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY)


def _heads(keys: np.ndarray) -> np.ndarray:
    """First eight bytes of keys (n, 32) as numbers that sort like them."""
    return np.ascontiguousarray(keys[:, :HEAD]).view(">u8")[:, 0].astype("<u8")
