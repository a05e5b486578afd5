"""The download cache: each file once, under the SHA-256 of its content, shared by as many projects as like.

    objects/ab/abcd...      the content, read-only; its name is its digest
    md5/01/0123...          the SHA-256 of the content with this published MD5
    partial/<key>.part      what has come so far of a download, and <key>.json, what it may be resumed with
    listings/, reports/, taxa/     small dated answers of the archive

A file is taken for present only after its content was hashed again, so a damaged one is fetched anew, and no write
needs to be flushed to the platter before it is trusted. The MD5's entry is written before the content takes its name:
a process that dies between the two leaves a whole partial file, from which the next one goes on without asking.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from gemforest.errors import InfrastructureError
from gemforest.fetch.pacing import locked
from gemforest.sources import HEX_DIGITS, Checksum

logger = logging.getLogger(__name__)

PIECE = 2**20
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,150}")


@dataclass(frozen=True)
class Stored:
    """A file in the cache."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Cache:
    """The cache in `folder`; made on first use."""

    folder: Path

    def prepare(self) -> None:
        """Make the folders. Raises InfrastructureError where that is impossible."""
        try:
            for name in ("objects", "md5", "partial", "listings", "reports", "taxa", "locks"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InfrastructureError(f"cannot write the download cache {self.folder}: {error}") from error

    def object_path(self, sha256: str) -> Path:
        """Where the content with this digest lies or would lie."""
        return self.folder / "objects" / _digest(sha256, "sha256")[:2] / sha256

    def partial(self, key: str) -> Path:
        """Where a download that is known by `key` (any text) collects."""
        return self.folder / "partial" / (hashlib.sha256(key.encode()).hexdigest() + ".part")

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Keep other processes from downloading the same thing at the same time."""
        # 4,096 lock files for any number of downloads; two that share one wait for each other, no more.
        name = hashlib.sha256(key.encode()).hexdigest()[:3]
        with locked(self.folder / "locks" / name):
            yield

    def find(self, checksum: Checksum) -> Stored | None:
        """The content with this checksum, hashed again; a damaged object is removed and counts as absent."""
        sha256 = checksum.digest
        if checksum.algorithm == "md5":
            found = self._sha256_of_md5(checksum.digest)
            if found is None:
                return None
            sha256 = found
        path = self.object_path(sha256)
        try:
            digest, size = hash_file(path)
        except FileNotFoundError:
            return None
        if digest != sha256:
            logger.warning("%s in the download cache is damaged and will be fetched again", path)
            path.unlink(missing_ok=True)
            return None
        return Stored(path, sha256, size)

    def commit(self, partial: Path, sha256: str, md5: str) -> Stored:
        """Give a finished, verified download its name."""
        path = self.object_path(sha256)
        entry = self._md5_path(md5)
        write_atomically(entry, sha256.encode())
        path.parent.mkdir(exist_ok=True)
        size = partial.stat().st_size
        partial.chmod(0o444)
        partial.replace(path)
        partial.with_suffix(".json").unlink(missing_ok=True)
        return Stored(path, sha256, size)

    def note(self, kind: str, name: str, value: dict[str, Any]) -> None:
        """Keep a small dated answer of the archive."""
        write_atomically(self._note_path(kind, name), json.dumps({"noted": time.time(), "value": value}).encode())

    def noted(self, kind: str, name: str, oldest_s: float) -> dict[str, Any] | None:
        """The answer kept under this name, unless it is older than `oldest_s` seconds."""
        with suppress(OSError, ValueError, KeyError):
            note = json.loads(self._note_path(kind, name).read_bytes())
            if time.time() - float(note["noted"]) <= oldest_s and isinstance(note["value"], dict):
                return note["value"]
        return None

    def _note_path(self, kind: str, name: str) -> Path:
        if not SAFE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a note")
        # 256 folders: a hundred thousand files in one slow down every shared file system.
        return self.folder / kind / hashlib.sha256(name.encode()).hexdigest()[:2] / f"{name}.json"

    def _md5_path(self, md5: str) -> Path:
        return self.folder / "md5" / _digest(md5, "md5")[:2] / md5

    def _sha256_of_md5(self, md5: str) -> str | None:
        with suppress(OSError, ValueError):
            return _digest(self._md5_path(md5).read_text(), "sha256")
        return None


def _digest(text: str, algorithm: str) -> str:
    if not re.fullmatch(f"[0-9a-f]{{{HEX_DIGITS[algorithm]}}}", text):
        raise ValueError(f"{text!r} is not a {algorithm} digest")
    return text


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 and size in bytes of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name of the same folder, then rename; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
