"""A small NCBI on the loopback: the real addresses and file layout, made-up assemblies of real proteins, and faults.

`Archive` writes a folder as the genomes server has it and keeps one report per assembly version as the Datasets API
sends them. `ReplayServer` serves both, notes every request, and misbehaves where it is told to:

    faults.add("_protein.faa.gz", "status_429", times=1, retry_after=2)

Run as a program (`python tests/fetch/replay.py --help`) it serves a demonstration archive and stops by itself.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import random
import re
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import unquote, urlsplit

TRANSIENT = ("status_429", "status_500", "truncate", "reset", "wrong_bytes")
SWITCHES = {
    "status_429": "status 429 with Retry-After",
    "status_500": "status 500",
    "status_404": "status 404",
    "truncate": "half the body under the full Content-Length, then the end of the connection",
    "reset": "connection reset after `after` bytes",
    "wrong_bytes": "one byte of the body changed, so that the MD5 is another",
    "drip": "`step` bytes every `pause` seconds",
    "silence": "no answer for `pause` seconds",
    "status_416": "status 416 to any Range",
    "ignore_range": "status 200 and the whole body to any Range",
    "redirect": "status 302 to `location`",
    "changed": "another entity tag than before, so that If-Range fails",
    "chunked": "no Content-Length",
    "not_json": "a page of HTML where JSON is expected",
}


def proteins_of(sample: str) -> list[tuple[str, str]]:
    """Header and sequence of a proteome that comes with carveme."""
    text = (package_files("carveme") / f"data/benchmark/fasta/{sample}.faa").read_text()
    records = (record.partition("\n") for record in text.split(">")[1:])
    return [(header, "".join(lines.split())) for header, _, lines in records]


def fasta(records: Iterable[tuple[str, str]]) -> bytes:
    return "".join(f">{header}\n{sequence}\n" for header, sequence in records).encode()


def squeeze(content: bytes, level: int = 6) -> bytes:
    return gzip.compress(content, level, mtime=0)


@dataclass
class Assembly:
    """One version of one assembly and what the archive says of it."""

    accession: str
    name: str = "ASM1v1"
    taxid: int = 562
    taxids: tuple[int, ...] = (2, 1224, 561, 562)
    organism: str = "Escherichia coli"
    level: str = "Complete Genome"
    status: str = "current"
    current: str = ""
    reference: bool = False
    suppression: str = ""
    completeness: float | None = 99.5
    contamination: float | None = 0.4
    ani: str = "OK"
    contigs: int = 1
    n50: int = 4_641_652
    length: int = 4_641_652
    files: dict[str, bytes] = field(default_factory=dict)
    checksums: str | None = None
    folder: str | None = None

    @property
    def directory(self) -> str:
        return self.folder or f"{self.accession}_{re.sub('[^A-Za-z0-9_.-]', '_', self.name)}"

    def report(self) -> dict[str, Any]:
        """As in the answers of POST /genome/dataset_report; 64-bit integers are text there."""
        raw: dict[str, Any] = {
            "accession": self.accession,
            "current_accession": self.current or self.accession,
            "source_database": "SOURCE_DATABASE_" + ("REFSEQ" if self.accession.startswith("GCF") else "GENBANK"),
            "organism": {"tax_id": self.taxid, "organism_name": self.organism},
            "assembly_info": {
                "assembly_level": self.level,
                "assembly_status": self.status,
                "assembly_name": self.name,
                "release_date": "2013-09-26",
            },
            "assembly_stats": {
                "number_of_contigs": self.contigs,
                "contig_n50": self.n50,
                "total_sequence_length": str(self.length),
            },
            "average_nucleotide_identity": {"taxonomy_check_status": self.ani},
        }
        if self.reference:
            raw["assembly_info"]["refseq_category"] = "reference genome"
        if self.suppression:
            raw["assembly_info"]["suppression_reason"] = self.suppression
        if self.completeness is not None:
            raw["checkm_info"] = {"completeness": self.completeness, "contamination": self.contamination}
        return raw


class Archive:
    """Assemblies on disk under `folder`, as `genomes/all/GCF/000/005/845/...`, and their reports in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.assemblies: dict[str, Assembly] = {}

    def path(self, assembly: Assembly) -> Path:
        digits = assembly.accession[4:13]
        return self.folder.joinpath(
            "genomes", "all", assembly.accession[:3], digits[:3], digits[3:6], digits[6:], assembly.directory
        )

    def add(self, assembly: Assembly) -> Assembly:
        """Write an assembly's files and the list of their checksums; `checksums` replaces that list."""
        self.assemblies[assembly.accession] = assembly
        path = self.path(assembly)
        path.mkdir(parents=True, exist_ok=True)
        listed = []
        for suffix, content in assembly.files.items():
            name = f"{assembly.directory}{suffix}"
            (path / name).write_bytes(content)
            listed.append(f"{hashlib.md5(content).hexdigest()}  ./{name}\n")
        (path / "md5checksums.txt").write_text("".join(listed) if assembly.checksums is None else assembly.checksums)
        return assembly


@dataclass
class Fault:
    """One switch: applied to requests whose path ends so, while `times` lasts and after `skip` of them."""

    ending: str
    kind: str
    times: int
    skip: int
    options: dict[str, Any]


@dataclass
class Request:
    """What the server noted of one request, before it answered; `moment` is monotonic seconds."""

    moment: float
    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    sent: int
    fault: str = ""


class Faults:
    """The switches that are on. A rate draws transient faults by itself, the same for the same seed and requests."""

    def __init__(self, rate: float = 0.0, seed: int = 0) -> None:
        self.rate = rate
        self.seed = seed
        self.drawn: list[tuple[str, str]] = []
        self._set: list[Fault] = []
        self._count: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, ending: str, kind: str, times: int = 1, skip: int = 0, **options: Any) -> None:
        assert kind in SWITCHES, kind
        self._set.append(Fault(ending, kind, times, skip, options))

    def next(self, path: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self._lock:
            count = self._count[path] = self._count.get(path, 0) + 1
            for fault in self._set:
                if path.endswith(fault.ending):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    if fault.times > 0:
                        fault.times -= 1
                        return fault
            draw = random.Random(f"{self.seed} {path} {count}")
            if draw.random() < self.rate:
                kind = draw.choice(TRANSIENT)
                self.drawn.append((path, kind))
                return Fault(path, kind, 1, 0, {"retry_after": 0, "after": 1000})
            return None


class ReplayServer:
    """Serves an archive on a free loopback port while it is used as a context."""

    def __init__(
        self, archive: Archive, faults: Faults | None = None, port: int = 0, bytes_per_s: float | None = None
    ) -> None:
        self.archive = archive
        self.bytes_per_s = bytes_per_s
        self.faults = faults or Faults()
        self.requests: list[Request] = []
        self.report_for: Callable[[str], dict[str, Any] | None] | None = None
        handler = type("Handler", (_Handler,), {"replay": self})
        self._http = _Server(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def datasets_url(self) -> str:
        return f"{self.url}/datasets/v2"

    @property
    def genomes_url(self) -> str:
        return f"{self.url}/genomes"

    def asked(self, ending: str) -> list[Request]:
        """The requests for paths that end so, in order."""
        return [request for request in self.requests if request.path.endswith(ending)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested here."""


class _Handler(BaseHTTPRequestHandler):
    replay: ReplayServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 2**16

    def log_message(self, format: str, *args: Any) -> None:
        """The requests are noted instead."""

    def do_GET(self) -> None:
        self._serve("GET", None)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._serve("POST", json.loads(self.rfile.read(length) or b"{}"))

    def _serve(self, method: str, body: dict[str, Any] | None) -> None:
        self._started = time.monotonic()
        self._method = method
        path = unquote(urlsplit(self.path).path)
        fault = self.replay.faults.next(path)
        self._fault = fault.kind if fault else ""
        options = fault.options if fault else {}
        match fault.kind if fault else "":
            case "status_429":
                wait = options.get("retry_after", 1)
                self._answer(429, b"too many", {"Retry-After": str(wait)} if wait is not None else {})
            case "status_500":
                self._answer(500, b"internal error")
            case "status_404":
                self._answer(404, b"not found")
            case "silence":
                time.sleep(options.get("pause", 1.0))
                self.close_connection = True
            case "redirect":
                self._answer(302, b"", {"Location": options["location"]})
            case "not_json":
                self._answer(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})
            case kind:
                if method == "POST":
                    self._api(path, body or {}, kind, options)
                else:
                    self._file(path, kind, options)

    def _api(self, path: str, body: dict[str, Any], kind: str, options: dict[str, Any]) -> None:
        if path.endswith("/genome/dataset_report"):
            answer = _dataset_report(self.replay, body)
        elif path.endswith("/taxonomy/dataset_report"):
            answer = _taxonomy_report(body)
        else:
            self._answer(404, b"not found")
            return
        self._body(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, kind, options)

    def _file(self, path: str, kind: str, options: dict[str, Any]) -> None:
        root = self.replay.archive.folder.resolve()
        target = (root / path.lstrip("/")).resolve()
        if root not in target.parents and target != root:
            self._answer(403, b"forbidden")
        elif target.is_dir():
            links = "".join(f'<a href="{entry.name}/">{entry.name}</a>\n' for entry in sorted(target.iterdir()))
            self._answer(200, f"<html><pre>{links}</pre></html>".encode(), {"Content-Type": "text/html"})
        elif not target.is_file():
            self._answer(404, b"not found")
        else:
            self._ranged(target, kind, options)

    def _ranged(self, target: Path, kind: str, options: dict[str, Any]) -> None:
        state = target.stat()
        tag = f'"{state.st_size:x}-{state.st_mtime_ns:x}"'
        if kind == "changed":
            tag = '"another"'
        headers = {"ETag": tag, "Last-Modified": formatdate(state.st_mtime, usegmt=True), "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        fits = self.headers.get("If-Range", tag) in (tag, headers["Last-Modified"])
        first, status = 0, 200
        if wanted and kind == "status_416":
            self._answer(416, b"", {"Content-Range": f"bytes */{state.st_size}"})
            return
        if wanted and fits and kind != "ignore_range":
            first, status = int(wanted[1]), 206
            if first >= state.st_size:
                self._answer(416, b"", {"Content-Range": f"bytes */{state.st_size}"})
                return
            headers["Content-Range"] = f"bytes {first}-{state.st_size - 1}/{state.st_size}"
        if not kind or kind in ("changed", "ignore_range", "status_416"):
            self._send_file(status, target, first, state.st_size - first, headers)
        else:
            self._body(status, target.read_bytes()[first:], headers, kind, options)

    def _send_file(self, status: int, target: Path, first: int, count: int, headers: dict[str, str]) -> None:
        self._note(status, count)
        self._head(status, headers | {"Content-Length": str(count)})
        self.wfile.flush()
        with target.open("rb") as stream:
            if count and self.replay.bytes_per_s:
                self._send_paced(stream, first, count, self.replay.bytes_per_s)
            elif count:
                self.connection.sendfile(stream, first, count)

    def _send_paced(self, stream: BinaryIO, first: int, count: int, bytes_per_s: float) -> None:
        """As a line of this speed would: a piece whenever its time has come."""
        started, sent, piece = time.monotonic(), 0, int(bytes_per_s / 200)
        while sent < count:
            sent += self.connection.sendfile(stream, first + sent, min(piece, count - sent))
            time.sleep(max(0.0, started + sent / bytes_per_s - time.monotonic()))

    def _body(self, status: int, content: bytes, headers: dict[str, str], kind: str, options: dict[str, Any]) -> None:
        """Send a body, misbehaving as asked."""
        if kind == "wrong_bytes" and content:
            middle = options.get("place", len(content) // 2)
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if kind == "chunked":
            self._note(status, len(content))
            self._head(status, headers | {"Transfer-Encoding": "chunked"})
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content))
            self.wfile.flush()
            return
        sent = content
        if kind == "truncate":
            sent = content[: len(content) // 2]
        elif kind == "reset":
            sent = content[: options.get("after", 1000)]
        noted = self._note(status, len(sent))
        self._head(status, headers | {"Content-Length": str(len(content))})
        if kind == "drip":
            self._drip(noted, content, options.get("step", 10), options.get("pause", 0.05))
        elif kind in ("truncate", "reset"):
            self._part(sent, kind == "reset")
        else:
            self.wfile.write(content)
            self.wfile.flush()

    def _part(self, content: bytes, reset: bool) -> None:
        self.wfile.write(content)
        self.wfile.flush()
        if reset:
            # A reset discards what the other side has not read yet: let it read first, then reset.
            time.sleep(0.05)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def _drip(self, noted: Request, content: bytes, step: int, pause: float) -> None:
        noted.sent = 0
        self.close_connection = True
        for start in range(0, len(content), step):
            self.wfile.write(content[start : start + step])
            self.wfile.flush()
            noted.sent += step
            time.sleep(pause)

    def _answer(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._note(status, len(content))
        self._head(status, dict(headers or {}) | {"Content-Length": str(len(content))})
        self.wfile.write(content)
        self.wfile.flush()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self, status: int, sent: int) -> Request:
        path = unquote(urlsplit(self.path).path)
        note = Request(self._started, self._method, path, dict(self.headers.items()), status, sent, self._fault)
        self.replay.requests.append(note)
        return note


def _dataset_report(replay: ReplayServer, body: dict[str, Any]) -> dict[str, Any]:
    """POST /genome/dataset_report: by accessions or taxons, filtered, a page at a time."""
    if replay.report_for is not None:
        found = [raw for text in body.get("accessions", []) if (raw := replay.report_for(text))]
    elif body.get("taxons"):
        chosen = [one for one in replay.archive.assemblies.values() if _passes(one, body)]
        if not any(str(taxid) in body["taxons"] for one in replay.archive.assemblies.values() for taxid in one.taxids):
            error = {
                "assembly_error_code": "INVALID_TAXON",
                "message": f"{body['taxons'][0]} is not a recognized taxon",
            }
            return {"messages": [{"error": error}]}
        found = [one.report() for one in chosen]
    else:
        wanted = body.get("accessions", [])
        assert len(wanted) <= 500, "the API takes 500 accessions at a time"
        found = [
            one.report()
            for one in replay.archive.assemblies.values()
            if one.accession in wanted or one.accession.partition(".")[0] in wanted
        ]
    first = int(base64.b64decode(body.get("page_token", "")) or 0)
    size = int(body.get("page_size", 20))
    answer: dict[str, Any] = {"total_count": len(found)}
    if found[first : first + size]:
        answer["reports"] = found[first : first + size]
    if first + size < len(found):
        answer["next_page_token"] = base64.b64encode(str(first + size).encode()).decode()
    return answer


def _passes(one: Assembly, body: dict[str, Any]) -> bool:
    filters = body.get("filters", {})
    return (
        any(str(taxid) in body["taxons"] for taxid in one.taxids)
        and (not filters.get("reference_only") or one.reference)
        and ("assembly_level" not in filters or one.level.lower().replace(" ", "_") in filters["assembly_level"])
        and filters.get("assembly_source", "all") in ("all", "refseq" if one.accession.startswith("GCF") else "genbank")
    )


def _taxonomy_report(body: dict[str, Any]) -> dict[str, Any]:
    reports = []
    for taxid in body.get("taxons", []):
        classification = {
            "domain": {"name": "Bacteria", "id": 2},
            "phylum": {"name": "Pseudomonadota", "id": 1224},
            "class": {"name": "Gammaproteobacteria", "id": 1236},
            "order": {"name": "Enterobacterales", "id": 91347},
            "family": {"name": "Enterobacteriaceae", "id": 543},
            "genus": {"name": "Escherichia", "id": 561},
            "species": {"name": "Escherichia coli", "id": 562},
        }
        if taxid == "562":
            reports.append({"taxonomy": {"tax_id": 562, "rank": "SPECIES", "classification": classification}})
    return {"reports": reports, "total_count": len(reports)}


def demonstration(folder: Path) -> Archive:
    """Five assemblies of real proteins and one of each trouble that an archive has in store."""
    archive = Archive(folder)
    proteins = squeeze(fasta(proteins_of("M_genitalium_G37")))
    genomic = squeeze(b">contig_1\n" + b"ATGAAAGCGTAA" * 5000 + b"\n")
    rows = [
        ("GCF_000027325.1", "ASM2732v1", {"_protein.faa.gz": proteins}, {}),
        ("GCF_000005845.2", "ASM584v2", {"_protein.faa.gz": squeeze(fasta(proteins_of("Ecoli_K12_MG1655")[:800]))}, {}),
        ("GCF_000009045.1", "ASM904v1", {"_protein.faa.gz": squeeze(fasta(proteins_of("Bsubtilis_168")[:800]))}, {}),
        ("GCA_000000010.1", "draft 10", {"_genomic.fna.gz": genomic}, {"level": "Scaffold", "contigs": 40}),
        ("GCF_000000020.1", "old", {"_protein.faa.gz": proteins}, {"status": "previous", "current": "GCF_000000020.2"}),
        ("GCF_000000020.2", "new", {"_protein.faa.gz": proteins}, {}),
        ("GCF_000000030.1", "gone", {}, {"status": "suppressed", "suppression": "many frameshifted proteins"}),
        ("GCF_000000040.1", "bare", {"_assembly_report.txt": b"# nothing else\n"}, {}),
        ("GCF_000000050.1", "torn", {"_protein.faa.gz": proteins[: len(proteins) // 2]}, {}),
        ("GCF_000000060.1", "dirty", {"_protein.faa.gz": proteins}, {"completeness": 55.0, "contamination": 21.0}),
    ]
    for accession, name, contents, more in rows:
        archive.add(Assembly(accession, name, files=contents, **more))
    return archive


def main() -> None:
    """Serve the demonstration for a while."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the archive is written; it is emptied first")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600.0, help="stop by itself after this time")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of requests that meet a transient fault")
    parser.add_argument("--url-file", type=Path, help="write the server's address here once it listens")
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    with ReplayServer(demonstration(asked.folder), Faults(asked.fault_rate), asked.port) as server:
        print(f"serving at {server.url} for {asked.seconds:.0f} s", flush=True)
        if asked.url_file:
            asked.url_file.write_text(server.url)
        time.sleep(asked.seconds)


if __name__ == "__main__":
    main()
