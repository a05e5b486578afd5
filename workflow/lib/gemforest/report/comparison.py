"""Two runs: what a change of the config did to the same genomes. The other run is the earlier one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from gemforest.errors import InfrastructureError, InputError
from gemforest.plan import plan_folder
from gemforest.report.parts import Parts, by_genome, significant
from gemforest.stage import Context

MOST_FLIPS = 20_000
ASKED = ("screen", "condition", "compound")


def compare_runs(context: Context, here: Parts, other: Path) -> dict[str, Any]:
    """Genomes that both runs have: reactions gained and lost, growth before and after, calls that flipped.

    Raises
    ------
    InputError
        `other` is no results folder with an atlas.
    """
    try:
        there = Parts.of(other)
        genomes = there.genomes()
    except InfrastructureError:
        genomes = None
    if genomes is None or not there.has("summary"):
        raise InputError(
            f"--compare {other}: expected the results folder of a finished run, with plan/plan.json and "
            "atlas/summary; name that folder, or run `gemforest atlas` there first"
        )
    before, after = set(genomes.ids), set(here.genomes().ids)
    rows: dict[str, dict[str, Any]] = {name: {} for name in sorted(before & after)}
    gained: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    flips: list[list[Any]] = []
    total = 0
    shard_there = dict(zip(genomes.ids, genomes.shards, strict=True))
    for shard in here.shards:
        new = {name: by_genome(here.read(name, shard)) for name in ("summary", "model_reactions", "screens")}
        names = [name for name in new["summary"] if name in rows]
        shards = sorted({shard_there[name] for name in names})
        old = {
            table: {k: v for s in shards for k, v in by_genome(there.read(table, s)).items() if k in rows}
            for table in new
        }
        for name in names:
            a, b = _reactions(old, name), _reactions(new, name)
            gained.update(b - a)
            lost.update(a - b)
            changed = _flips(old["screens"].get(name), new["screens"].get(name))
            total += len(changed)
            flips += [[name, *flip] for flip in changed[: MOST_FLIPS - len(flips)]]
            rows[name] = {
                "gained": len(b - a),
                "lost": len(a - b),
                "kept": len(a & b),
                "before": _growth(old, name),
                "after": _growth(new, name),
                "flips": len(changed),
            }
    return {
        "other": str(other),
        "genomes": [[name, *row.values()] for name, row in rows.items() if row],
        "only_before": sorted(before - after),
        "only_after": sorted(after - before),
        "reactions": [[name, gained[name], lost[name]] for name in sorted(gained.keys() | lost.keys())],
        "flips": flips,
        "flips_total": total,
        "config": _config_changes(other, context),
    }


def _reactions(tables: Mapping[str, Mapping[str, pa.Table]], name: str) -> set[str]:
    rows = tables["model_reactions"].get(name)
    return set(rows["reaction"].to_pylist()) if rows is not None else set()


def _growth(tables: Mapping[str, Mapping[str, pa.Table]], name: str) -> float | None:
    rows = tables["summary"].get(name)
    return significant(rows["growth_per_h"][0].as_py()) if rows is not None else None


def _flips(before: pa.Table | None, after: pa.Table | None) -> list[list[str]]:
    """Questions that both runs asked and answered differently."""
    if before is None or after is None:
        return []
    first, second = _answers(before), _answers(after)
    return [
        [*key, first[key], second[key]] for key in sorted(first.keys() & second.keys()) if first[key] != second[key]
    ]


def _answers(rows: pa.Table) -> dict[tuple[str, ...], str]:
    keys = zip(*(rows[name].to_pylist() for name in ASKED), strict=True)
    return dict(zip(keys, rows["answer"].to_pylist(), strict=True))


def _config_changes(other: Path, context: Context) -> list[list[str]]:
    path = plan_folder(other) / "config.json"
    if not path.exists():
        return []
    before, after = _flat(json.loads(path.read_text(encoding="utf-8"))), _flat(context.config)
    return [
        [key, *(json.dumps(side[key]) if key in side else "" for side in (before, after))]
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
