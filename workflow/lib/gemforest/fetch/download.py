"""One file from the web into the cache: resumed where it broke off, verified, and named only when it is whole.

The body is written to a partial file and hashed as it comes. When a try breaks, the next asks for the rest (Range, with
If-Range on the entity tag or date that came with the first bytes; RFC 9110, 13.1.5 and 14): 206 goes on, 200 starts
over because the file has changed or the server knows no ranges, 416 means that nothing is left or that the part is of
another file. Then size, checksum, gzip members and first byte are checked. A file whose checksum is wrong is fetched
once more from its start; the same wrong content twice is what the server has, and no further tries are spent on it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import httpx

from gemforest.content import DEFAULT_LIMITS
from gemforest.content import Limits as UnpackLimits
from gemforest.errors import GenomeError, InfrastructureError, RefusedError
from gemforest.fetch.archives import ArchiveCheck, Checked, check_file
from gemforest.fetch.cache import PIECE, Cache, Stored
from gemforest.fetch.client import Client, HealableError, require_ok
from gemforest.ledger import Reason
from gemforest.sources import Checksum, without_secrets

CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>[0-9]+)-(?P<last>[0-9]+)|\*)/(?P<total>[0-9]+|\*)")
GATHERED_BYTES, GATHERED_S = 2**18, 0.5
MOST_WAITING = 32


@dataclass(frozen=True)
class Limits:
    """What may come at most: `most_bytes` of file, and what it may unpack to."""

    most_bytes: int = 5 * 2**30
    unpack: UnpackLimits = DEFAULT_LIMITS


@dataclass(frozen=True)
class Fetched:
    """A file in the cache, what it is, and whether it was there already."""

    stored: Stored
    checked: Checked
    reused: bool


def fetch_file(client: Client, cache: Cache, url: str, checksum: Checksum, limits: Limits) -> Fetched:
    """The file with this checksum, from the cache or from `url`.

    Raises
    ------
    GenomeError
        `http_404, http_error, timeout, md5_mismatch, too_large, host_not_allowed`, and what `ArchiveCheck` raises.
    InfrastructureError
        The cache cannot be written.
    """
    name = without_secrets(url).rpartition("/")[2]
    # The checksum is the name of the work: two URLs of the same content share one download.
    with cache.lock(str(checksum)):
        if (stored := cache.find(checksum)) is not None:
            return Fetched(stored, check_file(stored.path, name, limits.unpack), True)
        path = cache.partial(str(checksum))
        try:
            with _Part(path, lambda: ArchiveCheck(path, name, limits.unpack)) as part:
                part.read_back()
                _complete(client, url, part, checksum, limits.most_bytes)
                checked = part.checked()
                stored = cache.commit(path, part.sha256, part.md5)
        except RefusedError:
            _remove(path)
            raise
        except OSError as error:
            raise InfrastructureError(f"cannot write the download cache {cache.folder}: {error}") from error
        return Fetched(stored, checked, False)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


class _Part:
    """The first bytes of a file: on disk, with what they may be continued with, hashed and unpacked in passing.

    Hashing and unpacking take longer than a fast network; each has a thread of its own, a bounded number of pieces
    behind the writing, and both leave Python's lock to the others while they work.
    """

    def __init__(self, path: Path, new_check: Callable[[], ArchiveCheck]) -> None:
        self.path = path
        self._new_check = new_check
        self._hashing = ThreadPoolExecutor(1)
        self._checking = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        self._start_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._hashing, self._checking):
            pool.shutdown(cancel_futures=True)

    def read_back(self) -> None:
        """Take over what an earlier process left on disk."""
        with suppress(OSError, ValueError, KeyError):
            self.validator = str(json.loads(self.path.with_suffix(".json").read_bytes())["validator"])
        with suppress(FileNotFoundError), self.path.open("rb") as stream:
            while piece := stream.read(PIECE):
                self.take(piece)

    def take(self, piece: bytes) -> None:
        """Count a piece that is on disk."""
        self.size += len(piece)
        self._waiting.append(self._hashing.submit(self._hash, piece))
        self._waiting.append(self._checking.submit(self._check, piece))
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft().result()

    @property
    def md5(self) -> str:
        self._catch_up()
        return self._md5.hexdigest()

    @property
    def sha256(self) -> str:
        self._catch_up()
        return self._sha256.hexdigest()

    def checked(self) -> Checked:
        """What the whole file is; raises what `ArchiveCheck` refuses."""
        self._catch_up()
        if self._refusal:
            raise self._refusal
        return self._archive.finish()

    def discard(self) -> None:
        """Start from nothing."""
        self._catch_up()
        _remove(self.path)
        self._start_over()

    def remember(self, response: httpx.Response) -> None:
        """Keep the strong entity tag or else the date: only these can promise that the rest fits (RFC 9110, 8.8)."""
        tag = response.headers.get("ETag", "")
        self.validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        self.path.with_suffix(".json").write_text(json.dumps({"validator": self.validator}))

    def _start_over(self) -> None:
        self.size = 0
        self.validator = ""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._archive = self._new_check()
        self._refusal: RefusedError | None = None

    def _catch_up(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()

    def _hash(self, piece: bytes) -> None:
        self._md5.update(piece)
        self._sha256.update(piece)

    def _check(self, piece: bytes) -> None:
        # A damaged archive may be a damaged download: the checksum, at the end, says which. A bomb ends it at once.
        if self._refusal is None:
            try:
                self._archive.feed(piece)
            except RefusedError as error:
                self._refusal = error
                if error.reason is Reason.DECOMPRESSION_LIMIT:
                    raise


def _complete(client: Client, url: str, part: _Part, checksum: Checksum, most_bytes: int) -> None:
    wrong: set[str] = set()

    def digest() -> str:
        return part.md5 if checksum.algorithm == "md5" else part.sha256

    def attempt() -> None:
        if part.size and digest() == checksum.digest:
            return
        with client.slots.hold():
            _receive(client, url, part, most_bytes)
        if (found := digest()) == checksum.digest:
            return
        detail = f"expected {checksum}, found {checksum.algorithm}={found} in {part.size} bytes"
        part.discard()
        if found in wrong:
            raise GenomeError(Reason.MD5_MISMATCH, f"{without_secrets(url)}: {detail}, twice the same")
        wrong.add(found)
        raise HealableError(Reason.MD5_MISMATCH, detail)

    client.persist(url, attempt)


def _receive(client: Client, url: str, part: _Part, most_bytes: int) -> None:
    if part.size and not part.validator:
        part.discard()
    headers = {"Range": f"bytes={part.size}-", "If-Range": part.validator} if part.size else {}
    with client.open(url, headers=headers) as response:
        if part.size and response.status_code == 416:
            if _range(response).get("total") != str(part.size):
                part.discard()
                raise HealableError(Reason.HTTP_ERROR, "the part on disk is longer than the file on the server")
            return
        if part.size and response.status_code == 206:
            if _range(response).get("first") != str(part.size):
                part.discard()
                raise HealableError(Reason.HTTP_ERROR, "the server sent another range than the one that was asked for")
        else:
            require_ok(response)
            part.discard()
            part.remember(response)
        _refuse_large(url, part.size + int(_digits(response.headers.get("Content-Length"))), most_bytes)
        with part.path.open("ab") as stream, _Gathered(part, stream) as gathered:
            for piece in client.chunks(response):
                _refuse_large(url, part.size + gathered.size + len(piece), most_bytes)
                gathered.add(piece)


class _Gathered:
    """Joins the network's small pieces to larger ones; a killed process loses half a second of a download at most."""

    def __init__(self, part: _Part, stream: IO[bytes]) -> None:
        self._part = part
        self._stream = stream
        self._pieces: list[bytes] = []
        self._written = time.monotonic()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        if self.size >= GATHERED_BYTES or time.monotonic() - self._written > GATHERED_S:
            self._write()

    def _write(self) -> None:
        whole = b"".join(self._pieces)
        self._pieces, self.size, self._written = [], 0, time.monotonic()
        if whole:
            self._stream.write(whole)
            self._stream.flush()
            self._part.take(whole)


def _refuse_large(url: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise RefusedError(
            Reason.TOO_LARGE,
            f"{without_secrets(url)}: {size} bytes or more; fetch.most_file_mb allows {most_bytes >> 20} MB",
        )


def _range(response: httpx.Response) -> dict[str, str | None]:
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return match.groupdict() if match else {}


def _digits(text: str | None) -> str:
    return text if text is not None and text.isdecimal() else "0"
