"""The layout of NCBI's genomes server: where an assembly's files are, what their checksums are, which one to take.

An assembly lies in `all/GCF/000/005/845/GCF_000005845.2_ASM584v2/`, its files are named after that folder, and
`md5checksums.txt` there lists them (README of ftp.ncbi.nlm.nih.gov/genomes/all). Names that come from the server are
compared with names that are built here and never used as paths; what does not have the expected form is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from gemforest.errors import GenomeError, RefusedError
from gemforest.fetch.client import Client
from gemforest.ledger import Reason
from gemforest.sources import ACCESSION, Checksum

SUFFIXES = {"protein": "_protein.faa.gz", "genbank": "_genomic.gbff.gz", "nucleotide": "_genomic.fna.gz"}
FOLDER_NAME = re.compile(r"GC[AF]_[0-9]{9}\.[0-9]+_[A-Za-z0-9][A-Za-z0-9_.+=,#-]*")
LISTED = re.compile(r"(?P<md5>[0-9a-fA-F]{32})\s+\*?(?P<name>\S.*)")
LINK = re.compile(r"""href=["']([^"'?]+)["']""", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """An assembly's folder on the server and the MD5 of each file in it, by name."""

    folder_url: str
    folder: str
    md5: Mapping[str, str]


@dataclass(frozen=True)
class Chosen:
    """The file to fetch: `kind` is protein, genbank or nucleotide."""

    kind: str
    url: str
    checksum: Checksum


def folder_name(accession: str, assembly_name: str) -> str:
    """The folder of an assembly version: its name with all but letters, digits, dots and a few marks as underscores."""
    cleaned = re.sub(r"[^A-Za-z0-9_.+=-]", "_", assembly_name.strip())
    return f"{accession}_{cleaned}" if cleaned else accession


def parent_url(base_url: str, accession: str) -> str:
    """The folder that holds all versions of an accession, with a slash at its end."""
    match = ACCESSION.fullmatch(accession)
    if match is None or match["version"] is None:
        raise GenomeError(Reason.NOT_FOUND, f"{accession!r} is not an accession with version")
    digits = match["digits"]
    return f"{base_url.rstrip('/')}/all/{accession[:3]}/{digits[:3]}/{digits[3:6]}/{digits[6:]}/"


def read_checksums(text: str, folder: str) -> dict[str, str]:
    """File name to MD5 out of `md5checksums.txt`, for the files that `SUFFIXES` knows; other lines are passed over."""
    wanted = {folder + suffix for suffix in SUFFIXES.values()}
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := LISTED.fullmatch(line.strip()):
            name = match["name"].removeprefix("./")
            if name in wanted:
                found[name] = match["md5"].lower()
    return found


def find_listing(client: Client, base_url: str, accession: str, assembly_name: str) -> Listing:
    """Read the checksums of an assembly; where the folder's name cannot be told from the assembly's, look it up.

    Raises
    ------
    GenomeError
        `not_found` where the server has no folder for the accession; what `Client` raises.
    """
    parent = parent_url(base_url, accession)
    told = folder_name(accession, assembly_name)
    text = client.read_text(f"{parent}{quote(told)}/md5checksums.txt") if assembly_name else None
    if text is None:
        told = _look_up(client, parent, accession)
        text = client.read_text(f"{parent}{quote(told)}/md5checksums.txt")
    if text is None:
        raise GenomeError(Reason.NOT_FOUND, f"the genomes server has no checksums for {accession}")
    return Listing(f"{parent}{quote(told)}/", told, read_checksums(text, told))


def _look_up(client: Client, parent: str, accession: str) -> str:
    index = client.read_text(parent) or ""
    names = {unquote(link).strip("/") for link in LINK.findall(index)}
    fitting = sorted(name for name in names if name.startswith(f"{accession}_") and FOLDER_NAME.fullmatch(name))
    if not fitting:
        raise GenomeError(Reason.NOT_FOUND, f"the genomes server has no folder for {accession}")
    return fitting[0]


def choose(listing: Listing, preference: Sequence[str]) -> Chosen:
    """The first kind of file in `preference` that the assembly has.

    Raises
    ------
    RefusedError
        `no_protein` where it has none of them.
    """
    for kind in preference:
        name = listing.folder + SUFFIXES[kind]
        if name in listing.md5:
            return Chosen(kind, listing.folder_url + quote(name), Checksum("md5", listing.md5[name]))
    raise RefusedError(
        Reason.NO_PROTEIN, f"{listing.folder} holds none of: {', '.join(SUFFIXES[kind] for kind in preference)}"
    )
