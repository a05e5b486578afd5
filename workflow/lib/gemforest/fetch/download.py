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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from gemforest.content import DEFAULT_LIMITS
from gemforest.content import Limits as UnpackLimits
from gemforest.errors import GenomeError, InfrastructureError, RefusedError
from gemforest.fetch.archives import Checked, check_file
from gemforest.fetch.cache import PIECE, Cache, Stored
from gemforest.fetch.client import Client, HealableError, require_ok
from gemforest.fetch.sources import Checksum, without_secrets
from gemforest.ledger import Reason

CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>[0-9]+)-(?P<last>[0-9]+)|\*)/(?P<total>[0-9]+|\*)")


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
        `http_404, http_error, timeout, md5_mismatch, too_large, host_not_allowed`, and what `check_file` raises.
    """
    name = without_secrets(url).rpartition("/")[2]
    # The checksum is the name of the work: two URLs of the same content share one download.
    with cache.lock(str(checksum)):
        if (stored := cache.find(checksum)) is not None:
            return Fetched(stored, check_file(stored.path, name, limits.unpack), True)
        part = _Part.on_disk(cache.partial(str(checksum)))
        try:
            _complete(client, url, part, checksum, limits.most_bytes)
            checked = check_file(part.path, name, limits.unpack)
            stored = cache.commit(part.path, part.sha256.hexdigest(), part.md5.hexdigest())
        except RefusedError:
            part.discard()
            raise
        except OSError as error:
            raise InfrastructureError(f"cannot write the download cache {cache.folder}: {error}") from error
        return Fetched(stored, checked, False)


class _Part:
    """The first bytes of a file: on disk, hashed, with what they may be continued with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.validator = ""
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha256 = hashlib.sha256()

    @classmethod
    def on_disk(cls, path: Path) -> _Part:
        part = cls(path)
        with suppress(OSError, ValueError, KeyError):
            part.validator = str(json.loads(path.with_suffix(".json").read_bytes())["validator"])
        with suppress(FileNotFoundError), path.open("rb") as stream:
            while piece := stream.read(PIECE):
                part.hash(piece)
        return part

    def hash(self, piece: bytes) -> None:
        self.md5.update(piece)
        self.sha256.update(piece)
        self.size += len(piece)

    def matches(self, checksum: Checksum) -> bool:
        digest = self.md5 if checksum.algorithm == "md5" else self.sha256
        return digest.hexdigest() == checksum.digest

    def discard(self) -> None:
        """Start from nothing."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)
        self.__init__(self.path)  # type: ignore[misc]

    def remember(self, response: httpx.Response) -> None:
        """Keep the strong entity tag or else the date: only these can promise that the rest fits (RFC 9110, 8.8)."""
        tag = response.headers.get("ETag", "")
        self.validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        self.path.with_suffix(".json").write_text(json.dumps({"validator": self.validator}))


def _complete(client: Client, url: str, part: _Part, checksum: Checksum, most_bytes: int) -> None:
    wrong: set[str] = set()

    def attempt() -> None:
        if part.size and part.matches(checksum):
            return
        with client.slots.hold():
            _receive(client, url, part, most_bytes)
        if part.matches(checksum):
            return
        digest = part.sha256.hexdigest()
        found = f"{checksum.algorithm} {part.md5.hexdigest() if checksum.algorithm == 'md5' else digest}"
        detail = f"expected {checksum}, found {found} in {part.size} bytes"
        part.discard()
        if digest in wrong:
            raise GenomeError(Reason.MD5_MISMATCH, f"{without_secrets(url)}: {detail}, twice the same")
        wrong.add(digest)
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
        with part.path.open("ab") as stream:
            _write(client, url, response, part, stream, most_bytes)


def _write(
    client: Client, url: str, response: httpx.Response, part: _Part, stream: IO[bytes], most_bytes: int
) -> None:
    try:
        for piece in client.chunks(response):
            _refuse_large(url, part.size + len(piece), most_bytes)
            stream.write(piece)
            part.hash(piece)
    finally:
        # The hashes know what was handed over; what is on disk must be the same when the next try goes on from it.
        stream.flush()


def _refuse_large(url: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise RefusedError(
            Reason.TOO_LARGE, f"{without_secrets(url)}: {size} bytes or more; fetch.most_file_mb allows {most_bytes >> 20} MB"
        )


def _range(response: httpx.Response) -> dict[str, str | None]:
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return match.groupdict() if match else {}


def _digits(text: str | None) -> str:
    return text if text is not None and text.isdecimal() else "0"
