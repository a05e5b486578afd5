"""From EC numbers to BiGG reactions: the universe's own annotation, and tables that the user installed.

CarveMe's universes name EC numbers for 29 % of their reactions; MetaNetX and ModelSEED reach more. Their licences and
sizes keep them out of this project: `gemforest resources fetch` brings them (`mapping.py` of the top layer), and what
lies in the folder is read here, by its name. All numbers are brought to today's.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from gemforest.carveme_files import carveme_data
from gemforest.errors import InfrastructureError
from gemforest.evidence.ec import current_ecs, parse_ecs
from gemforest.store import file_sha256, write_text
from gemforest.universe import UNIVERSES, universe_path

FORMAT = 1

METANETX_REACTIONS, METANETX_NAMES = "reac_prop.tsv", "reac_xref.tsv"
MODELSEED_ECS, MODELSEED_NAMES = "Unique_ModelSEED_Reaction_ECs.txt", "Unique_ModelSEED_Reaction_Aliases.txt"
ORTHOLOG_ECS = "ko_ec.tsv"
MAPPING_FILES = (METANETX_REACTIONS, METANETX_NAMES, MODELSEED_ECS, MODELSEED_NAMES, ORTHOLOG_ECS)

_REACTION = re.compile(rb'<reaction [^>]*?\bid="R_([^"]+)"')
_EC = re.compile(rb"identifiers\.org/ec-code[/:]([0-9][0-9n.\-]*)")
_Reader = Callable[[Path], dict[str, tuple[str, ...]]]
_BIGG_NAME = re.compile(r"^(?:bigg\.reaction|biggR):(?:R_)?(.+)$")


def annotation_file(universe: str) -> Path:
    """Where the reactions of a universe are annotated: CarveMe's whole BiGG universe for its own ones."""
    return carveme_data("generated/bigg_universe.xml.gz") if universe in UNIVERSES else universe_path(universe)


def mapping_digests(folder: Path) -> dict[str, str]:
    """Digests of the installed tables."""
    return {name: file_sha256(folder / name) for name in MAPPING_FILES if (folder / name).exists()}


def reaction_ecs(universe: str, folder: Path, cache_folder: Path) -> dict[str, tuple[str, ...]]:
    """EC numbers of each reaction that has any, today's, sorted.

    Parameters
    ----------
    universe
        One of CarveMe's or a path to SBML.
    folder
        Of the installed tables; need not exist.
    cache_folder
        `resources/cache`; the annotation is read from SBML once.
    """
    tables = tuple(sorted(mapping_digests(folder).items()))
    return _reaction_ecs(annotation_file(universe), folder, tables, cache_folder)


@cache
def _reaction_ecs(
    sbml: Path, folder: Path, tables: tuple[tuple[str, str], ...], cache_folder: Path
) -> dict[str, tuple[str, ...]]:
    found = {reaction: set(ecs) for reaction, ecs in annotated_ecs(sbml, cache_folder).items()}
    names = {name for name, _ in tables}
    for reaction, ecs in _installed(folder, names):
        found.setdefault(reaction, set()).update(ecs)
    today: dict[str, tuple[str, ...]] = {}
    for reaction, numbers in sorted(found.items()):
        current = sorted({ec for number in numbers for ec in current_ecs(number)})
        if current:
            today[reaction] = tuple(current)
    return today


def annotated_ecs(sbml: Path, cache_folder: Path) -> dict[str, tuple[str, ...]]:
    """EC numbers in the annotation of an SBML file; kept in the cache, for a whole universe takes seconds to read."""
    kept = cache_folder / "reaction_ecs" / f"{sbml.name.split('.')[0]}-{file_sha256(sbml)[:16]}-{FORMAT}.tsv"
    if not kept.exists():
        rows = (f"{reaction}\t{';'.join(ecs)}\n" for reaction, ecs in sorted(_read_annotation(sbml).items()))
        write_text(kept, "".join(rows))
    lines = kept.read_text(encoding="utf-8").splitlines()
    return {reaction: tuple(ecs.split(";")) for reaction, ecs in (line.split("\t") for line in lines)}


def known_reactions(cache_folder: Path) -> frozenset[str]:
    """All reactions of BiGG's universe as CarveMe ships it: what a user's table may name."""
    sbml = carveme_data("generated/bigg_universe.xml.gz")
    kept = cache_folder / "reaction_ecs" / f"names-{file_sha256(sbml)[:16]}-{FORMAT}.txt"
    if not kept.exists():
        with gzip.open(sbml, "rb") as handle:
            names = sorted({head[1].decode() for line in handle if (head := _REACTION.search(line))})
        write_text(kept, "\n".join(names) + "\n")
    return frozenset(kept.read_text(encoding="utf-8").split())


def _read_annotation(sbml: Path) -> dict[str, tuple[str, ...]]:
    opened = gzip.open if sbml.suffix == ".gz" else open
    found: dict[str, set[str]] = {}
    reaction = ""
    with opened(sbml, "rb") as handle:
        for line in handle:
            if head := _REACTION.search(line):
                reaction = head[1].decode()
            elif reaction and (number := _EC.search(line)):
                found.setdefault(reaction, set()).update(parse_ecs(number[1].decode()).numbers)
    return {reaction: tuple(sorted(ecs)) for reaction, ecs in found.items()}


def _installed(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """BiGG reaction and EC numbers of the installed tables that come in pairs."""
    here = set(names)
    if {METANETX_REACTIONS, METANETX_NAMES} <= here:
        yield from _joined(folder, METANETX_REACTIONS, METANETX_NAMES, metanetx_ecs, metanetx_names)
    if {MODELSEED_ECS, MODELSEED_NAMES} <= here:
        yield from _joined(folder, MODELSEED_ECS, MODELSEED_NAMES, modelseed_ecs, modelseed_names)


def _joined(
    folder: Path, ecs: str, names: str, read_ecs: _Reader, read_names: _Reader
) -> Iterator[tuple[str, tuple[str, ...]]]:
    numbers = read_ecs(folder / ecs)
    for identifier, bigg in read_names(folder / names).items():
        for reaction in bigg:
            if identifier in numbers:
                yield reaction, numbers[identifier]


def metanetx_ecs(path: Path) -> dict[str, tuple[str, ...]]:
    """`reac_prop.tsv` of MetaNetX: reaction, equation, reference, EC numbers, …; comments begin with #."""
    return _collected(path, ((cells[0], parse_ecs(cells[3]).numbers) for cells in _cells(path, 4)))


def metanetx_names(path: Path) -> dict[str, tuple[str, ...]]:
    """`reac_xref.tsv` of MetaNetX: MetaNetX id to BiGG reactions."""
    found = ((cells[1], _BIGG_NAME.match(cells[0])) for cells in _cells(path, 2))
    return _collected(path, ((identifier, (name[1],)) for identifier, name in found if name))


def modelseed_ecs(path: Path) -> dict[str, tuple[str, ...]]:
    """`Unique_ModelSEED_Reaction_ECs.txt`: ModelSEED id, EC number, source."""
    return _collected(path, ((cells[0], parse_ecs(cells[1]).numbers) for cells in _cells(path, 2)))


def modelseed_names(path: Path) -> dict[str, tuple[str, ...]]:
    """`Unique_ModelSEED_Reaction_Aliases.txt`: ModelSEED id, name elsewhere, source; BiGG's are taken."""
    rows = _cells(path, 3)
    return _collected(path, ((cells[0], (cells[1].removeprefix("R_"),)) for cells in rows if cells[2] == "BiGG"))


def ortholog_ecs(folder: Path) -> dict[str, tuple[str, ...]]:
    """KEGG orthologs to EC numbers from `ko_ec.tsv` (two columns, prefixes `ko:` and `ec:` allowed); empty without."""
    path = folder / ORTHOLOG_ECS
    if not path.exists():
        return {}
    rows = ((c[0].removeprefix("ko:"), c[1].removeprefix("ec:")) for c in _cells(path, 2))
    return _collected(path, ((ortholog, parse_ecs(number).numbers) for ortholog, number in rows))


def _cells(path: Path, least: int) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        for number, cells in enumerate(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            if not cells or cells[0].startswith("#"):
                continue
            if len(cells) < least:
                raise InfrastructureError(
                    f"{path}, line {number}: expected at least {least} cells, found {len(cells)}; remove the file and "
                    "run `gemforest resources fetch`"
                )
            yield cells


def _collected(path: Path, pairs: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for key, values in pairs:
        if values:
            found.setdefault(key, {}).update(dict.fromkeys(values))
    if not found:
        raise InfrastructureError(
            f"{path} holds no mapping in the known form; remove it and run `gemforest resources fetch`"
        )
    return {key: tuple(values) for key, values in found.items()}


def coverage(reactions: Iterable[str], ecs: Mapping[str, tuple[str, ...]]) -> tuple[int, int]:
    """Reactions with an EC number, and all."""
    listed = list(reactions)
    return sum(reaction in ecs for reaction in listed), len(listed)
