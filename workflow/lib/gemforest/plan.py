"""Which genome is in which shard: append-only, renewed when the sheet changes.

A genome keeps its shard for life. New genomes fill the last shard, then open new ones; a removed genome leaves a
tombstone, so that nobody moves into its place and its results are still accounted for. `results/plan/plan.json` is
what the DAG needs and no more; the rows of each shard are a file of their own, which its jobs take as input and which
is rewritten only where its rows changed, so that only changed shards run again.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from gemforest.errors import InfrastructureError, InputError
from gemforest.ledger import read_genome_ids
from gemforest.stage import Context
from gemforest.store import digest, holds, write_text

if TYPE_CHECKING:
    from gemforest.sheet import Sheet

# The readers of sheets and media, and what comes with them, are imported where a plan is made: a shard job, which only
# reads its rows, starts in two thirds of the time without them.

SHEET_FIELDS = ["genome_id", "source", "universe", "genetic_code", "medium", "content", "checksum", "tags"]
ROW_FIELDS = (*SHEET_FIELDS, "fingerprint")
MEMBER_FIELDS = ("genome_id", "shard", "state")
ACTIVE, REMOVED = "active", "removed"
SHARD_DIGITS = 4


@dataclass(frozen=True)
class Plan:
    """A plan in memory.

    Attributes
    ----------
    members
        genome_id to (shard, state), in the order in which genomes joined.
    shards
        shard to the text of its rows file; only active genomes are in it.
    """

    sheet_digest: str
    members: dict[str, tuple[str, str]]
    shards: dict[str, str]

    def counts(self) -> dict[str, int]:
        """Genomes, tombstones and shards."""
        active = sum(state == ACTIVE for _, state in self.members.values())
        return {"genomes": active, "tombstones": len(self.members) - active, "shards": len(self.shards)}


def plan_folder(root: Path) -> Path:
    """Where the plan lies in a results folder."""
    return root / "plan"


def rows_path(root: Path, shard: str) -> Path:
    """The rows file of a shard."""
    return plan_folder(root) / "shards" / f"shard={shard}.tsv"


def make_plan(context: Context) -> Plan:
    """Read the sheet and place every genome, keeping the places of the plan on disk; nothing is written."""
    from gemforest.media import read_media
    from gemforest.pinned import read_pinned
    from gemforest.sheet import read_sheet

    media = read_media(context.project / context.config["media"])
    sheet = read_sheet(context.project / context.config["genomes"], media=media.names())
    pinned = read_pinned(sheet, media.names())
    members = _read_members(context.store.root)
    rows = _rows(sheet, pinned, context)
    # Snakemake's process goes on to build its jobs: Arrow's pool is to give back what the sheet needed.
    digest_of_sheet = digest([sheet.digest, pinned.digest]) if pinned else sheet.digest
    del sheet, pinned
    pa.default_memory_pool().release_unused()
    clash = _case_clash(members, rows)
    if clash:
        raise InputError(
            f"{context.config['genomes']}: genome_id {clash[0]!r} differs only in case from {clash[1]!r}, which was in "
            "an earlier version of the sheet and has results; use the earlier spelling or another name"
        )
    for genome_id, (shard, _) in members.items():
        members[genome_id] = (shard, ACTIVE if genome_id in rows else REMOVED)
    _place(members, [g for g in rows if g not in members], context.config["shard_size"])
    by_shard: dict[str, list[str]] = {shard: [] for shard, _ in members.values()}
    for genome_id, (shard, state) in members.items():
        if state == ACTIVE:
            by_shard[shard].append(rows[genome_id])
    header = _to_tsv(ROW_FIELDS, [])
    shards = {shard: header + "".join(by_shard[shard]) for shard in sorted(by_shard)}
    return Plan(digest_of_sheet, members, shards)


def write_plan(plan: Plan, context: Context) -> list[str]:
    """Write a plan atomically, `plan.json` last; the shards whose rows changed."""
    root = context.store.root
    changed = [shard for shard, text in plan.shards.items() if write_text(rows_path(root, shard), text)]
    write_text(plan_folder(root) / "members.tsv", _members_text(plan))
    write_text(plan_folder(root) / "plan.json", _summary(plan))
    return changed


def mend_plan(context: Context) -> list[str]:
    """Write the plan again where a file of it is missing or damaged; what was wrong, in words.

    A genome's place is never lost: it stands in `members.tsv`, in the rows files, and in the results themselves.
    """
    root = context.store.root
    folder = plan_folder(root)
    if not folder.exists():
        return []
    try:
        summary = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        shards, members = dict(summary["shards"]), str(summary["members"])
    except (OSError, ValueError, KeyError, TypeError):
        wrong = ["plan.json"]
    else:
        wrong = [] if digest(_text(folder / "members.tsv")) == members else ["members.tsv"]
        wrong += [rows_path(root, s).name for s, seen in shards.items() if digest(_text(rows_path(root, s))) != seen]
    if wrong:
        write_plan(make_plan(context), context)
    return wrong


def is_current(plan: Plan, root: Path) -> bool:
    """Whether the plan on disk says the same."""
    return holds(plan_folder(root) / "plan.json", _summary(plan))


def read_shards(root: Path) -> list[str]:
    """Shards of the plan on disk: all that parsing needs."""
    path = plan_folder(root) / "plan.json"
    if not path.exists():
        raise InfrastructureError(f"{path} is missing: run `gemforest plan` first")
    try:
        shards: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["shards"]
        return list(shards)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InfrastructureError(f"{path} is damaged ({error}): run `gemforest plan` to write it again") from error


def read_shard(root: Path, shard: str) -> list[dict[str, str]]:
    """Rows of a shard's active genomes, in the order of joining."""
    path = rows_path(root, shard)
    if not path.exists():
        raise InfrastructureError(f"{path} is missing: run `gemforest plan` first")
    return list(_from_tsv(path))


def _summary(plan: Plan) -> str:
    shards = {shard: digest(text) for shard, text in plan.shards.items()}
    facts = {"sheet": plan.sheet_digest, **plan.counts(), "members": digest(_members_text(plan)), "shards": shards}
    return json.dumps(facts, indent=1) + "\n"


def _members_text(plan: Plan) -> str:
    # Names hold neither tabs, quotes nor line breaks: the sheet refuses them.
    lines = [f"{genome_id}\t{shard}\t{state}\n" for genome_id, (shard, state) in plan.members.items()]
    return "\t".join(MEMBER_FIELDS) + "\n" + "".join(lines)


def _rows(sheet: Sheet, pinned: Sheet | None, context: Context) -> dict[str, str]:
    """Each genome's line of its rows file: its row of the sheet or the pinned list, completed from the config.

    Works on whole columns and keeps lines rather than rows: a plan of 100,000 genomes is made at every parsing.
    """
    from gemforest.pinned import with_pinned
    from gemforest.sheet import local_paths, shared_texts

    genomes = with_pinned(sheet, pinned)
    columns = {name: shared_texts(genomes[name]) for name in SHEET_FIELDS if name != "tags"}
    columns["medium"] = [medium or context.config["medium"] for medium in columns["medium"]]
    columns["tags"] = _tags(genomes)
    kinds = shared_texts(genomes["source_kind"])
    paths = local_paths(columns["source"], kinds, sheet.path.parent, context.project)
    columns["fingerprint"] = [_fingerprint(*candidates) if candidates else "" for candidates in paths]
    if further := _annotated(context, sheet.path.parent, columns["genome_id"], columns["tags"]):
        columns["fingerprint"] = list(map("".join, zip(columns["fingerprint"], further, strict=True)))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows(zip(*(columns[name] for name in ROW_FIELDS), strict=True))
    text.seek(0)
    # A StringIO splits at \n alone; cells hold no line breaks, the sheet refuses them.
    return dict(zip(columns["genome_id"], text, strict=True))


def _tags(genomes: pa.Table) -> list[str]:
    """Tags as JSON, each distinct text once in memory."""
    texts: dict[tuple[tuple[str, str], ...], str] = {}
    found = []
    column = genomes["tags"]
    # Most sheets have no tags: half a million empty maps, one by one, take a second.
    if not sum(len(chunk.keys) for chunk in column.chunks):
        return ["{}"] * len(column)
    for scalar in column:
        tags = tuple(scalar.as_py())
        if tags not in texts:
            texts[tags] = json.dumps(dict(tags), sort_keys=True)
        found.append(texts[tags])
    return found


def _fingerprint(*candidates: str) -> str:
    """Size and time of the first file that exists: an edited one changes its shard's rows, and so wakes its jobs."""
    for candidate in candidates:
        try:
            status = os.stat(candidate)  # noqa: PTH116 - a hundred thousand Path objects cost a second
        except OSError:
            continue
        return f"{status.st_size}-{status.st_mtime_ns}"
    return "missing"


def _annotated(context: Context, sheet_folder: Path, genome_ids: list[str], tags: list[str]) -> list[str]:
    """What of the evidence's own files a genome's jobs are to wake for; empty where the config and sheet name none."""
    settings = context.config["evidence"]
    tables = "".join(f" {_fingerprint(str(context.project / name))}" for name in settings["tables"])
    pattern = settings["annotation"]
    named = [json.loads(text).get("annotation", "") if '"annotation"' in text else "" for text in tags]
    if not (tables or pattern or any(named)):
        return []
    found = []
    for genome_id, names in zip(genome_ids, named, strict=True):
        listed = [name.strip() for name in names.split(";") if name.strip()]
        paths: list[tuple[str, ...]] = [(f"{sheet_folder}/{name}", f"{context.project}/{name}") for name in listed]
        if pattern:
            paths += [(str(path),) for path in sorted(context.project.glob(pattern.replace("{genome_id}", genome_id)))]
        found.append(tables + "".join(f" {_fingerprint(*candidates)}" for candidates in paths))
    return found


def _place(members: dict[str, tuple[str, str]], new: Iterable[str], size: int) -> None:
    """Give each new genome a place: in the last shard while it has room, then in a new one."""
    last = max((int(shard) for shard, _ in members.values()), default=0)
    taken = sum(int(shard) == last for shard, _ in members.values())
    for genome_id in new:
        if taken >= size:
            last, taken = last + 1, 0
        members[genome_id] = (f"{last:0{SHARD_DIGITS}d}", ACTIVE)
        taken += 1


def _case_clash(members: Iterable[str], rows: Iterable[str]) -> tuple[str, str] | None:
    known = {genome_id.lower(): genome_id for genome_id in members}
    for genome_id in rows:
        earlier = known.get(genome_id.lower(), genome_id)
        if earlier != genome_id:
            return genome_id, earlier
    return None


def _read_members(root: Path) -> dict[str, tuple[str, str]]:
    """Each genome's place: from `members.tsv`, or where that is damaged or lost from all that remembers it."""
    text = _text(plan_folder(root) / "members.tsv")
    try:
        summary = json.loads(_text(plan_folder(root) / "plan.json"))
        whole = bool(summary["members"] == digest(text))
    except (ValueError, KeyError, TypeError):
        whole = False
    if whole:
        return _parsed_members(text)
    places = _remembered(root)
    # A plan that was cut off between its files left a list that is newer than its digest, and whole.
    try:
        listed = _parsed_members(text)
    except (KeyError, ValueError, csv.Error):
        listed = {}
    if all(listed.get(genome_id, ("", ""))[0] == shard for genome_id, (shard, _) in places.items()):
        return listed
    return places


def _parsed_members(text: str) -> dict[str, tuple[str, str]]:
    members = {}
    shards: dict[str, str] = {}
    header, *lines = text.splitlines() or [""]
    if tuple(header.split("\t")) != MEMBER_FIELDS:
        raise ValueError(f"not a list of members: {header}")
    for line in lines:
        genome_id, shard, state = line.split("\t")
        if not shard.isdigit() or state not in (ACTIVE, REMOVED):
            raise ValueError(f"no shard or state: {line}")
        # One text for each shard, not one for each genome.
        members[genome_id] = (shards.setdefault(shard, shard), ACTIVE if state == ACTIVE else REMOVED)
    return members


def _remembered(root: Path) -> dict[str, tuple[str, str]]:
    """Places as rows files, genomes' own files and ledgers remember them, in the order of shards."""
    places: dict[str, tuple[str, str]] = {}
    try:
        shards = json.loads(_text(plan_folder(root) / "plan.json"))["shards"]
    except (ValueError, KeyError, TypeError):
        shards = {}
    for path in sorted((plan_folder(root) / "shards").glob("shard=*.tsv")):
        shard, text = path.stem.removeprefix("shard="), _text(path)
        # One that its digest does not vouch for may hold anything; the results below know as well.
        if shards.get(shard, digest(text)) == digest(text):
            with contextlib.suppress(KeyError, ValueError, csv.Error):
                rows = [row["genome_id"] for row in csv.DictReader(io.StringIO(text), delimiter="\t")]
                places |= dict.fromkeys(rows, (shard, ACTIVE))
    for path in sorted((root / "genomes").glob("shard=*/*.parquet")):
        # A packed file bears its shard's name, which no genome has, and knows its genomes.
        packed = path.stem == path.parent.name
        for genome_id in _packed_genomes(path.parent) if packed else [path.stem]:
            if not genome_id.startswith("."):
                places.setdefault(genome_id, (path.parent.name.removeprefix("shard="), REMOVED))
    for path in sorted((root / "ledger").glob("*/shard=*.parquet")):
        for genome_id in read_genome_ids(path):
            places.setdefault(genome_id, (path.stem.removeprefix("shard="), REMOVED))
    # Sorted by shard alone: within one, the order of the rows file is the order of joining.
    return dict(sorted(places.items(), key=lambda item: item[1][0]))


def _packed_genomes(folder: Path) -> list[str]:
    # With it comes pyarrow, which parsing need not wait for.
    from gemforest.packing import members

    return list(members(folder))


def _text(path: Path) -> str:
    """What a file says; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _to_tsv(fields: tuple[str, ...], rows: Iterable[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, delimiter="\t", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _from_tsv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        yield from csv.DictReader(handle, delimiter="\t")
