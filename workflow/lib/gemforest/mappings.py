"""`gemforest resources`: tables that lead from EC numbers to more BiGG reactions, brought here once.

MetaNetX and ModelSEED are too large and not ours to ship. What is fetched, from where and with which SHA-256 is in
`evidence.mapping_files`; a file without a stated checksum is noted in `pins.json` when it first comes, and refused
when it is another one later. Everything works without them; `gemforest resources` says what coverage is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from gemforest import __version__
from gemforest.errors import InfrastructureError, InputError
from gemforest.evidence.ecreactions import coverage, mapping_digests, reaction_ecs
from gemforest.stage import Context
from gemforest.store import atomic, write_text
from gemforest.universe import UNIVERSES, load_universe

PINS = "pins.json"
TIMEOUT_S = 60.0


def fetch_mappings(context: Context) -> list[str]:
    """Bring every file of `evidence.mapping_files` that is not here; a line for each.

    Raises
    ------
    InfrastructureError
        A server does not answer, or sends something else than was stated; what is here is left as it was.
    """
    folder = mapping_folder(context)
    return [_fetch(item, folder) for item in context.config["evidence"]["mapping_files"]]


def mapping_folder(context: Context) -> Path:
    """Where the tables lie."""
    folder: Path = context.project / context.config["evidence"]["mapping"]
    return folder


def coverage_lines(context: Context, universes: Sequence[str] = UNIVERSES) -> list[str]:
    """Share of each universe's reactions that EC numbers reach, with the tables that are here and without."""
    folder = mapping_folder(context)
    here = sorted(mapping_digests(folder))
    lines = [f"tables in {folder}: {', '.join(here) or 'none'}"]
    for universe in universes:
        reactions = load_universe(universe, context.cache).network.reactions
        with_tables, every = coverage(reactions, reaction_ecs(universe, folder, context.cache))
        alone, _ = coverage(reactions, reaction_ecs(universe, folder / "none", context.cache))
        lines.append(
            f"{universe}: EC numbers lead to {with_tables} of {every} reactions ({with_tables / every:.0%}); "
            f"{alone} by the universe's own annotation"
        )
    if not here:
        lines.append("`gemforest resources fetch` brings MetaNetX's and ModelSEED's tables, which reach more")
    return lines


def _fetch(item: Mapping[str, Any], folder: Path) -> str:
    path = folder / item["name"]
    expected = item["sha256"].lower() or _pins(folder).get(item["name"], "")
    if path.exists() and expected and _sha256(path) == expected:
        return f"{item['name']}: here already"
    found = hashlib.sha256()
    try:
        with atomic(path) as part, part.open("wb") as out:
            headers = {"User-Agent": f"gemforest/{__version__}"}
            with httpx.stream("GET", item["url"], follow_redirects=True, timeout=TIMEOUT_S, headers=headers) as answer:
                answer.raise_for_status()
                for piece in answer.iter_bytes():
                    found.update(piece)
                    out.write(piece)
            if expected and found.hexdigest() != expected:
                raise InfrastructureError(
                    f"{item['url']}: expected SHA-256 {expected}, found {found.hexdigest()}; if that is wanted, "
                    f"state its sum in evidence.mapping_files or remove {folder / PINS}"
                )
    except httpx.HTTPError as error:
        raise InfrastructureError(
            f"{item['url']}: {error}; evidence works without this table, with fewer reactions reached by EC numbers"
        ) from None
    if not item["sha256"]:
        write_text(folder / PINS, json.dumps(_pins(folder) | {item["name"]: found.hexdigest()}, indent=1) + "\n")
    return f"{item['name']}: fetched, SHA-256 {found.hexdigest()}"


def _pins(folder: Path) -> dict[str, str]:
    path = folder / PINS
    if not path.exists():
        return {}
    try:
        pins: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} is no JSON; remove it") from None
    return pins


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
