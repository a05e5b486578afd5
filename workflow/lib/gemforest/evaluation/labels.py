"""Tables of what was measured: read, checked whole, every problem told at once with its line, value and mend."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gemforest.errors import InputError

GROWTH_COLUMNS = ("org_id", "proteome", "bigg_id", "growth")
YES = frozenset({"1", "1.0", "true", "yes", "+", "++", "growth"})
NO = frozenset({"0", "0.0", "false", "no", "-", "--", "no_growth"})
MOST_PROBLEMS_SHOWN = 50


@dataclass(frozen=True)
class GrowthLabel:
    """One compound tried on one organism; `bigg_id` is empty where the compound has none. `line` is the file's."""

    line: int
    org_id: str
    proteome: str
    bigg_id: str
    growth: bool


def read_growth_labels(path: Path) -> list[GrowthLabel]:
    """Rows of a tab-separated table with the columns org_id, proteome, bigg_id, growth; others are passed over.

    Raises
    ------
    InputError
        Naming every line that cannot be used.
    """
    rows = read_rows(path, GROWTH_COLUMNS)
    problems: list[str] = []
    labels = []
    proteome_of: dict[str, str] = {}
    for line, row in rows:
        said = row["growth"].lower()
        if not row["org_id"]:
            problems.append(f"line {line}: org_id is empty; name the organism")
        if not row["proteome"]:
            problems.append(f"line {line}: proteome is empty; name the file of {row['org_id']!r}")
        if said not in YES | NO:
            problems.append(f"line {line}: growth {row['growth']!r}; expected 1 (growth) or 0 (no growth)")
        name = Path(row["proteome"]).name
        first = proteome_of.setdefault(row["org_id"], name)
        if first != name:
            problems.append(f"line {line}: {row['org_id']!r} has proteome {name!r} here and {first!r} above; keep one")
        labels.append(GrowthLabel(line, row["org_id"], name, compound_id(row["bigg_id"]), said in YES))
    refuse(path, problems)
    return labels


def compound_id(text: str) -> str:
    """A compound as BiGG's universal id: `M_glc__D_e`, `EX_glc__D_e` and `glc__D` are the same."""
    name = text.strip()
    for prefix in ("R_EX_", "EX_", "M_"):
        name = name.removeprefix(prefix)
    return name[:-2] if name.endswith("_e") and not name.endswith("__e") else name


def read_rows(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows with their line numbers, cells stripped; InputError where the file or a column is missing."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None
    reader = csv.DictReader(text.splitlines(), delimiter="\t")
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    missing = [column for column in columns if column not in names]
    if missing:
        hint = "; the cells seem to be separated by commas, use tabs" if len(names) == 1 and "," in names[0] else ""
        raise InputError(f"{path}: no column {', '.join(missing)}; found {', '.join(names) or 'nothing'}{hint}")
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise InputError(f"{path}: column {', '.join(doubled)} occurs more than once")
    rows = [
        (line, {name: (row.get(name) or "").strip() for name in names})
        for line, row in enumerate(reader, start=2)
        if any(isinstance(cell, str) and cell.strip() for cell in row.values())
    ]
    if not rows:
        raise InputError(f"{path}: no rows below the header")
    return rows


def refuse(path: Path, problems: list[str]) -> None:
    """Raise all problems at once."""
    if problems:
        more = f"\n  and {len(problems) - MOST_PROBLEMS_SHOWN} more" if len(problems) > MOST_PROBLEMS_SHOWN else ""
        shown = "\n".join(f"  {problem}" for problem in problems[:MOST_PROBLEMS_SHOWN])
        raise InputError(f"{path}: {len(problems)} problem(s)\n{shown}{more}")
