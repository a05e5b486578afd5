"""What a user starts from: a fresh project folder, and a sheet written from a folder of genome files.

`gemforest init DIR` makes a folder with a config, a commented sheet, the media and a two-line Snakefile that includes
the installed workflow, so that nobody edits the workflow's own repository. `gemforest sheet FOLDER` looks into every
file of a folder, by content and not by name, and writes one row per genome.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gemforest.config import WORKFLOW
from gemforest.content import Content, read_head, recognise
from gemforest.errors import InputError, RefusedError
from gemforest.sheet import suggested_id

# Ends of file names that say what is in the file, not whose it is.
ENDINGS = re.compile(r"(?i)\.(gz|bz2|xz|faa|fna|fa|fas|fasta|ffn|fsa|gbff|gbk|gb|gbf|genbank|txt|seq|pep)$")
SUFFIXES = re.compile(r"(?i)[._-](genomic|protein|proteins|cds_from_genomic|translated_cds|genome|contigs|scaffolds)$")
# Of several files of one genome the first kind is taken: proteins as their authors called them, then annotation.
PREFERRED = (Content.PROTEIN_FASTA, Content.GENBANK, Content.NUCLEOTIDE_FASTA)

SHEET_COMMENT = """\
# One row per genome, tabs between the cells; lines that begin with # are skipped.
# genome_id     letters, digits, _ . - ; names the result files; an accession may leave it empty
# source        a file (FASTA or GenBank, plain or packed; relative to this sheet), an accession (GCF_000005845.2),
#               https://..., taxon:NAME, or carveme:NAME for a proteome that the carveme package carries
# universe      auto | bacteria | gramneg | grampos | cyanobacteria | archaea
# genetic_code  auto | 11 | 4 (Mycoplasma, Spiroplasma); used where genes are called
# medium        a medium of media.tsv, several separated by ; or empty for the config's
# Any further column is a tag that the results carry.
"""


@dataclass(frozen=True)
class Found:
    """One file of a folder that holds sequences."""

    path: Path
    content: Content
    genome_id: str


def sheet_of_folder(folder: Path, sheet: Path) -> tuple[str, list[str]]:
    """A sheet with one row per genome file under `folder`, and what is to be said about the others.

    Parameters
    ----------
    folder
        Searched with its subfolders; hidden files are left out.
    sheet
        Where the sheet will lie: sources are written relative to its folder.

    Raises
    ------
    InputError
        The folder does not exist, or no file in it is a genome.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name one that holds genome files")
    found, notes = _look_into(folder)
    chosen, more = _one_per_genome(found)
    if not chosen:
        raise InputError(
            f"{folder}: none of its files is FASTA or GenBank:\n" + "\n".join(f"  {n}" for n in notes[:20])
        )
    lines = [SHEET_COMMENT + "genome_id\tsource\tuniverse\tgenetic_code\tmedium\n"]
    lines += [f"{genome.genome_id}\t{_relative(genome.path, sheet.parent)}\tauto\tauto\t\n" for genome in chosen]
    return "".join(lines), notes + more


def _look_into(folder: Path) -> tuple[list[Found], list[str]]:
    found, notes = [], []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if re.search(r"[\t\n\r*?\[]", str(path)):
            notes.append(f"{path.relative_to(folder)}: left out, a sheet cannot hold this name; rename the file")
            continue
        try:
            found.append(Found(path, recognise(read_head(path)), _genome_id(path.name)))
        except RefusedError as refusal:
            notes.append(f"{path.relative_to(folder)}: left out, {refusal.detail}")
        except OSError as error:
            notes.append(f"{path.relative_to(folder)}: left out, {error.strerror}")
    return found, notes


def _genome_id(name: str) -> str:
    while ENDINGS.search(name):
        name = ENDINGS.sub("", name)
    return suggested_id(SUFFIXES.sub("", name))


def _one_per_genome(found: Sequence[Found]) -> tuple[list[Found], list[str]]:
    """The preferred file of each genome; equal names in different folders are told apart by a number."""
    notes: list[str] = []
    groups: dict[tuple[str, str], list[Found]] = {}
    for item in found:
        groups.setdefault((str(item.path.parent), item.genome_id.lower()), []).append(item)
    taken: set[str] = set()
    chosen = []
    for group in groups.values():
        group.sort(key=lambda item: (PREFERRED.index(item.content), item.path.name))
        best = [item for item in group if item.content is group[0].content]
        notes += [f"{o.path.name}: left out, {group[0].path.name} is the same genome" for o in group[len(best) :]]
        for item in best:
            genome_id, number = item.genome_id, 2
            while genome_id.lower() in taken:
                genome_id = f"{item.genome_id[:95]}_{number}"
                number += 1
            taken.add(genome_id.lower())
            chosen.append(Found(item.path, item.content, genome_id))
    return chosen, notes


def _relative(path: Path, folder: Path) -> str:
    """The path as a sheet in `folder` writes it; a leading `./` keeps a file from looking like an accession."""
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return relative if "/" in relative else f"./{relative}"


SNAKEFILE = """\
# The workflow is the installed one; this project holds only its config, its sheet and its results.
from gemforest.config import WORKFLOW

include: str(WORKFLOW / "Snakefile")


rule default:
    default_target: True
    input:
        rules.all.input,
"""

CONFIG = """\
# Science only; threads and memory belong to the profile. Every key has a default: `gemforest config --show` prints
# the effective config, config/README.md of the workflow says what each key means.
genomes: config/genomes.tsv
media: config/media.tsv
"""

EXAMPLE_ROWS = """\
genome_id\tsource\tuniverse\tgenetic_code\tmedium
M_genitalium_G37\tcarveme:M_genitalium_G37\tauto\t4\tcomplete
"""


def new_project(folder: Path) -> list[Path]:
    """Make a project folder; the files written, in order. A file that exists is never touched.

    Raises
    ------
    InputError
        The folder holds a project already, or cannot be written.
    """
    texts = {
        "Snakefile": SNAKEFILE,
        "config/config.yaml": CONFIG,
        "config/genomes.tsv": SHEET_COMMENT + EXAMPLE_ROWS,
    }
    media = WORKFLOW.parent / "config" / "media.tsv"
    present = [name for name in (*texts, "config/media.tsv") if (folder / name).exists()]
    if present:
        raise InputError(f"{folder} holds {', '.join(present)} already; name a new folder")
    try:
        (folder / "config").mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        shutil.copyfile(media, folder / "config" / "media.tsv")
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; name a folder that you may write") from None
    return [folder / name for name in (*texts, "config/media.tsv")]
