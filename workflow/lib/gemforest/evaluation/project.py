"""The product's own stages over some genomes, in a project folder of their own.

Nothing is computed here: the folder gets a config, a sheet and the media, and `loop.run_shard` runs the stages up to
the last one that is wanted, leaving out those that it does not depend on. A folder that exists is taken up again, so
that a second evaluation computes only what has changed. Genome files are copied in under the genome's id, because a
sheet cannot hold every path that a folder may have.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gemforest.config import WORKFLOW, load_config
from gemforest.energy import universe_closed_directions
from gemforest.errors import InputError
from gemforest.fluxes import with_bounds
from gemforest.gapfill import without_cycles
from gemforest.ledger import REASON_TEXT, LedgerRow, Outcome, read_ledger
from gemforest.loop import run_shard
from gemforest.models import Network
from gemforest.plan import make_plan, read_shards, write_plan
from gemforest.sheet import suggested_id
from gemforest.stage import Context
from gemforest.stages import STAGE_NAMES, stage
from gemforest.store import Store, write_text
from gemforest.universe import load_universe, subnetwork

PACKED = (".gz", ".bz2", ".xz")


@dataclass(frozen=True)
class Genome:
    """One genome of an evaluation; the columns are the sheet's."""

    name: str
    path: Path
    universe: str = "auto"
    medium: str = ""


@dataclass(frozen=True)
class Finished:
    """What became of the genomes.

    Attributes
    ----------
    context
        Of the project that was run.
    places
        Name of each genome that came through the last stage to (shard, genome_id).
    reached
        Name of each genome of the plan to (shard, genome_id), however far it came.
    reasons
        Name of each other genome to (reason of the ledger, detail).
    """

    context: Context
    places: dict[str, tuple[str, str]]
    reached: dict[str, tuple[str, str]]
    reasons: dict[str, tuple[str, str]]

    def universe(self, name: str) -> Network:
        """What a genome's draft was carved from, with the directions closed that its fill could not use."""
        shard, genome_id = self.places[name]
        universe = self.context.store.read("drafts", shard, genome_id, ["universe"])["universe"][0].as_py()
        loaded = load_universe(universe, self.context.cache)
        return without_cycles(loaded.network, universe_closed_directions(loaded, self.context.cache))

    def network(self, name: str) -> Network:
        """A genome's filled model, with the bounds of `model_reactions`."""
        shard, genome_id = self.places[name]
        store = self.context.store
        universe = store.read("drafts", shard, genome_id, ["universe"])["universe"][0].as_py()
        rows = store.read("model_reactions", shard, genome_id).to_pylist()
        gprs = {row["reaction"]: row["gpr"] for row in rows}
        bounds = {row["reaction"]: (row["lower_bound"], row["upper_bound"]) for row in rows}
        loaded = load_universe(universe, self.context.cache)
        return with_bounds(subnetwork(loaded, list(gprs), gprs, genome_id), bounds)


def needed_stages(last: str) -> list[str]:
    """The stages that `last` depends on, itself included, in order."""
    wanted, waiting = {last}, [last]
    while waiting:
        for name in stage(waiting.pop()).upstream:
            if name not in wanted:
                wanted.add(name)
                waiting.append(name)
    return [name for name in STAGE_NAMES if name in wanted]


def run_project(
    folder: Path,
    genomes: Sequence[Genome],
    settings: Mapping[str, Any],
    last: str = "simulate",
    cores: int = 1,
    media: Path | None = None,
    cache: Path | None = None,
) -> Finished:
    """Run the stages up to `last` over genomes.

    Parameters
    ----------
    folder
        Project folder; made where it does not exist.
    settings
        What the config says besides its defaults.
    media
        Table of media; the workflow's own by default.
    cache
        Folder with compiled universes that may be taken over.

    Raises
    ------
    InputError
        The config that comes of `settings` is wrong.
    """
    ids = genome_ids([genome.name for genome in genomes])
    config = folder / "config" / "config.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    write_text(config, yaml.safe_dump(dict(settings), sort_keys=True))
    write_text(
        folder / "config" / "media.tsv", (media or WORKFLOW.parent / "config" / "media.tsv").read_text(encoding="utf-8")
    )
    lines = ["genome_id\tsource\tuniverse\tmedium\n"]
    lines += [
        f"{ids[genome.name]}\t{_brought(genome, ids[genome.name], folder)}\t{genome.universe}\t{genome.medium}\n"
        for genome in genomes
    ]
    write_text(folder / "config" / "genomes.tsv", "".join(lines))
    complete = load_config(config)
    context = Context(folder.resolve(), complete, Store(folder.resolve() / complete["results"]))
    _take_over(cache, context.cache)
    write_plan(make_plan(context), context)
    names = needed_stages(last)
    for name in names:
        for shard in read_shards(context.store.root):
            outcomes = run_shard(stage(name), context, shard, cores)
            counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            print(f"{name}: {counts or 'nothing new'}", file=sys.stderr)
    return _finished(context, ids, names)


def genome_ids(names: Sequence[str]) -> dict[str, str]:
    """A valid genome_id for each name, unique ignoring case."""
    taken: set[str] = set()
    ids = {}
    for name in names:
        wanted, number = suggested_id(name), 2
        found = wanted
        while found.lower() in taken:
            found, number = f"{wanted[:95]}_{number}", number + 1
        taken.add(found.lower())
        ids[name] = found
    return ids


def labelled_proteomes(folder: Path, names: Mapping[str, str]) -> tuple[dict[str, Path], dict[str, tuple[str, str]]]:
    """Organism to its proteome's file, and of those that have none to (reason, detail).

    Parameters
    ----------
    names
        Organism to the base name of its proteome.

    Raises
    ------
    InputError
        The folder is none, or holds none of the proteomes.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; --proteomes names the folder that holds the proteomes")
    found = {org_id: path for org_id, name in names.items() if (path := find_file(folder, name)) is not None}
    if not found:
        raise InputError(f"{folder}: none of the proteomes is there, among them {next(iter(names.values()))}")
    missing = {
        org_id: ("proteome_not_found", f"no file {name} in {folder}")
        for org_id, name in names.items()
        if org_id not in found
    }
    return found, missing


def find_file(folder: Path, name: str) -> Path | None:
    """A file of a folder by its base name, packed or not; subfolders are searched too."""
    base = Path(name).name
    plain = _unpacked_name(base)
    wanted = [base, plain, *(plain + end for end in PACKED)]
    for candidate in wanted:
        if (folder / candidate).is_file():
            return folder / candidate
    below = sorted(path for path in folder.rglob("*") if path.is_file())
    for candidate in wanted:
        for path in below:
            if path.name == candidate:
                return path
    return None


def _unpacked_name(name: str) -> str:
    for end in PACKED:
        name = name.removesuffix(end)
    return name


def _brought(genome: Genome, genome_id: str, folder: Path) -> str:
    """The genome's file in the project, copied where it is not there yet; the sheet's path to it."""
    ends = "".join(end for end in PACKED if genome.path.name.endswith(end))
    target = folder / "proteomes" / f"{genome_id}.faa{ends}"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        content = genome.path.read_bytes()
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)
    except OSError as error:
        raise InputError(f"{genome.path}: {error.strerror}; the proteome must be readable") from None
    return f"../proteomes/{target.name}"


def _take_over(cache: Path | None, own: Path) -> None:
    """Copy compiled universes, which take half a minute each to make."""
    own.mkdir(parents=True, exist_ok=True)
    for path in sorted(cache.glob("universe_*.npz")) if cache and cache.is_dir() else ():
        if not (own / path.name).exists():
            shutil.copyfile(path, own / path.name)


def _finished(context: Context, ids: Mapping[str, str], stages: Sequence[str]) -> Finished:
    stopped: dict[str, LedgerRow] = {}
    places: dict[str, str] = {}
    shard_of: dict[str, str] = {}
    for shard in read_shards(context.store.root):
        for name in stages:
            for row in read_ledger(context.store.ledger_path(name, shard)):
                shard_of[row.genome_id] = shard
                if row.outcome not in (Outcome.OK, Outcome.SKIPPED_UPSTREAM):
                    stopped.setdefault(row.genome_id, row)
                elif name == stages[-1] and row.outcome is Outcome.OK:
                    places[row.genome_id] = shard
    reasons = {}
    for name, genome_id in ids.items():
        if genome_id not in places:
            last = stopped.get(genome_id)
            detail = "" if last is None else last.detail or REASON_TEXT[last.reason]
            reasons[name] = ("unknown" if last is None else f"{last.stage}: {last.reason}", detail)
    reached = {n: (shard_of[g], g) for n, g in ids.items() if g in shard_of}
    return Finished(context, {n: (places[g], g) for n, g in ids.items() if g in places}, reached, reasons)
