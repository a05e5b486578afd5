"""Figures of a run as files: what the report shows of the collection, drawn for papers and for `snakemake --report`.

The numbers come from the functions that the report's page is made of, so figure and page agree. A run without a model,
or with one genome, gets its figures too: they say what is missing. matplotlib is imported where something is drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gemforest.errors import InputError
from gemforest.ledger import Outcome
from gemforest.report import collection
from gemforest.report.parts import Genomes, Parts
from gemforest.stages import STAGE_NAMES
from gemforest.store import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

FORMATS = (".svg", ".png", ".pdf")
DOTS_PER_INCH = 200
MOST_NAMED = 40
"""Up to so many genomes, each has its name beside it; more are drawn as a crowd."""
MOST_COMPOUNDS = 60
MOST_BARS = 20
MOST_COLOURS = 9

FORMULA = re.compile(r"\s+C\d+H\w+$")
"""BiGG ends some names with the formula."""

INK, PALE, GRID = "#1f2933", "#9aa5b1", "#e4e7eb"
GREEN, SAND, RED = "#1b7f5c", "#e0b252", "#b83d3d"
# Okabe and Ito's colours: told apart by colour-blind eyes.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f6000", "#999999", "#5e3c99")
ANSWERS = (
    ("+", GREEN, "growth"),
    ("-", "#d5dae0", "no growth"),
    ("?", SAND, "undecided"),
    (".", "#ffffff", "not in model"),
)
OUTCOME_COLOURS = {
    Outcome.OK: GREEN,
    Outcome.SKIPPED_UPSTREAM: GRID,
    Outcome.REFUSED: SAND,
    Outcome.FAILED: RED,
    Outcome.TIMEOUT: "#7b5ea7",
    Outcome.OUT_OF_MEMORY: "#3d6fb8",
}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    # The same figure is the same file.
    "svg.hashsalt": "gemforest",
    # A genome called `$x$` is not a formula.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Plot:
    """A figure: its name, what it shows, and the function that draws it."""

    name: str
    title: str
    draw: Callable[[Run], Drawing]


class Run:
    """What the figures read of a results folder, each piece when it is first asked for."""

    def __init__(self, root: Path, group: str = "") -> None:
        self.parts = Parts.of(root)
        self.group = group

    @cached_property
    def genomes(self) -> Genomes:
        """The genomes of the plan."""
        return self.parts.genomes()

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        """The report's table of models: column to a value per genome."""
        ends = [""] * len(self.genomes)
        return {c["key"]: c["values"] for c in collection.collection_columns(self.parts, self.genomes, ends)}

    @cached_property
    def content(self) -> collection.Content:
        """Which model holds which reaction."""
        return collection.reaction_content(self.parts, self.genomes)

    @cached_property
    def names(self) -> list[str]:
        """What a genome is called in a figure: its organism where that is known and nobody else's."""
        organisms = self.columns["organism"]
        times = Counter(organisms)
        pairs = zip(self.genomes.ids, organisms, strict=True)
        return [_short(organism if organism and times[organism] == 1 else one) for one, organism in pairs]

    @cached_property
    def modelled(self) -> np.ndarray:
        """Places of the genomes that have a model."""
        return np.array([i for i, value in enumerate(self.columns["reactions"]) if value is not None], dtype=int)

    def values(self, key: str) -> np.ndarray:
        """A column of the table of models over the genomes that have one; NaN where there is no value."""
        column = self.columns[key]
        return np.array([np.nan if column[i] is None else column[i] for i in self.modelled], dtype=float)

    def grouping(self) -> dict[str, Any] | None:
        """How points are coloured: the group that was asked for, else the first of few enough levels."""
        columns = [{"key": key, "values": values} for key, values in self.columns.items()]
        groups = collection.groupings(self.parts, self.genomes, columns)
        if self.group:
            for found in groups:
                if found["name"] == self.group:
                    return found
            known = ", ".join(found["name"] for found in groups) or "none"
            raise InputError(f"no group {self.group!r} to colour by; groups of this run: {known}")
        few = [g for g in groups if len(g["levels"]) <= MOST_COLOURS and len(g["levels"]) < len(self.genomes)]
        return next(iter(few), None)


def growth(run: Run) -> Drawing:
    """Genomes × carbon sources: the compounds on which the models differ most."""
    found = [s for s in collection.screen_matrices(run.parts, run.genomes) if s["screen"] == "carbon"]
    if not found or not len(run.modelled):
        return _empty("No model has been screened on carbon sources yet.")
    screen = found[0]
    letters = np.array(list(screen["letters"])).reshape(len(run.genomes), -1)[run.modelled]
    grows = (letters == "+").mean(axis=0)
    # Compounds on which half of the models grow tell models apart best, and those that most models know.
    order = np.lexsort((-(letters != ".").mean(axis=0), np.abs(grows - 0.5)))
    order = order[grows[order] > 0][:MOST_COMPOUNDS]
    if not len(order):
        return _empty("No model grows on any of the carbon sources.")
    chosen = order[np.argsort(-grows[order], kind="stable")]
    rows = np.lexsort((np.arange(len(letters)), -(letters[:, chosen] == "+").sum(axis=1)))
    matrix = np.zeros((len(rows), len(chosen)))
    for code, (letter, _, _) in enumerate(ANSWERS):
        matrix[letters[np.ix_(rows, chosen)] == letter] = code
    return _heat_map(run, matrix, rows, [screen["compounds"][j] for j in chosen], len(grows), screen["condition"])


def _heat_map(
    run: Run, matrix: np.ndarray, rows: np.ndarray, compounds: Sequence[str], tried: int, condition: str
) -> Drawing:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    named = len(rows) <= MOST_NAMED
    height = 0.2 * len(rows) if named else min(2.5 + 0.002 * len(rows), 9)
    figure, axes = _new(max(6.5, 1.5 + 0.16 * len(compounds) + 1.6 * named), height + 2.6)
    colours = ListedColormap([colour for _, colour, _ in ANSWERS])
    axes.imshow(matrix, cmap=colours, vmin=-0.5, vmax=len(ANSWERS) - 0.5, aspect="auto", interpolation="nearest")
    if named:
        axes.set_yticks(range(len(rows)), [run.names[run.modelled[i]] for i in rows])
        axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
        axes.set_xticks(np.arange(len(compounds) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
    else:
        axes.set_ylabel(f"{len(rows):,} models")
        axes.set_yticks([])
    names = collection.compound_names()
    axes.set_xticks(
        range(len(compounds)), [_short(FORMULA.sub("", names.get(c, c)).strip(), 26) for c in compounds], rotation=90
    )
    axes.tick_params(which="both", length=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.spines[:].set_visible(False)
    axes.set_title(f"Growth on carbon sources, {condition}: {len(compounds)} of {tried} compounds")
    present = [entry for code, entry in enumerate(ANSWERS) if (matrix == code).any()]
    figure.legend(
        handles=[Patch(facecolor=colour, edgecolor=PALE, label=label) for _, colour, label in present],
        loc="outside upper right",
        ncols=len(present),
    )
    return figure


def models(run: Run) -> Drawing:
    """Reactions, genes, reactions without genes and growth: a bar per model, or distributions of many."""
    if not len(run.modelled):
        return _empty("There is no model yet.")
    shown = (
        ("reactions", "reactions"),
        ("genes", "genes in the rules"),
        ("reactions_without_genes", "reactions without a gene"),
        ("growth_per_h", "growth, 1/h"),
    )
    if len(run.modelled) > MOST_NAMED:
        figure, panels = _new(8.5, 5.5, 2, 2)
        for panel, (key, label) in zip(panels.flat, shown, strict=True):
            _histogram(panel, run.values(key), label, "models")
    else:
        figure, panels = _new(10, 1.2 + 0.22 * len(run.modelled), 1, len(shown), sharey=True)
        order = np.argsort(run.values("reactions"), kind="stable")
        for panel, (key, label) in zip(panels.flat, shown, strict=True):
            panel.barh(range(len(order)), np.nan_to_num(run.values(key))[order], color=GREEN, height=0.7)
            panel.set_xlabel(label)
            panel.grid(axis="x")
        panels.flat[0].set_yticks(range(len(order)), [run.names[run.modelled[i]] for i in order])
    figure.suptitle(f"{len(run.modelled):,} models", x=0.01, ha="left", weight="bold")
    return figure


def pca(run: Run) -> Drawing:
    """Principal components of reaction content."""
    found = collection.principal_components(run.content)
    if found is None:
        return _empty("Principal components need three models that differ.")
    figure, axes = _new(6.5, 5)
    x, y = (np.array([np.nan if v is None else v for v in found[key]], dtype=float) for key in "xy")
    group = run.grouping()
    size = 28 if len(x) <= MOST_NAMED else max(3.0, 28 - 0.02 * len(x))
    colours = np.full(len(x), GREEN if group is None else PALE, dtype="U7")
    if group is not None:
        for code, _ in enumerate(group["levels"][:MOST_COLOURS]):
            colours[np.array(group["codes"]) == code] = COLOURS[code]
        _legend(axes, group, bool((colours[run.modelled] == PALE).any()))
    # In no group's order, so that none hides the others.
    order = np.random.default_rng(0).permutation(run.modelled)
    axes.scatter(x[order], y[order], s=size, c=colours[order].tolist(), linewidths=0, rasterized=len(x) > 2000)
    if len(run.modelled) <= MOST_NAMED:
        axes.margins(0.12)
        _name_points(axes, x[run.modelled], y[run.modelled], [run.names[i] for i in run.modelled])
    for axis, share in zip((axes.xaxis, axes.yaxis), found["explained"], strict=True):
        number = 1 if axis is axes.xaxis else 2
        axis.set_label_text(f"component {number} ({share:.0%} of the variance)")
    axes.grid(visible=True)
    axes.set_title(f"Reaction content of {len(run.modelled):,} models")
    return figure


def _legend(axes: Axes, group: dict[str, Any], others: bool) -> None:
    from matplotlib.lines import Line2D

    entries = [(_short(level), COLOURS[i]) for i, level in enumerate(group["levels"][:MOST_COLOURS])]
    if others:
        entries.append(("others" if len(group["levels"]) > MOST_COLOURS else f"no {group['name']}", PALE))
    points = [Line2D([], [], marker="o", linestyle="", color=colour, label=label) for label, colour in entries]
    axes.legend(handles=points, title=group["name"], loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _name_points(axes: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str]) -> None:
    """Names beside points, those of the left half to the right of them; moved down where they would overlap."""
    heights = axes.transData.transform(np.column_stack([x, y]))[:, 1] * 72 / axes.figure.dpi
    least = 8.5
    free = {True: np.inf, False: np.inf}
    for i in np.argsort(-heights, kind="stable"):
        left = bool(x[i] > (x.min() + x.max()) / 2)
        place = min(heights[i] + 4, free[left] - least)
        free[left] = place
        offset = (-5 if left else 5, place - heights[i])
        style: dict[str, Any] = {"fontsize": 7, "ha": "right" if left else "left", "va": "center"}
        axes.annotate(names[i], (x[i], y[i]), textcoords="offset points", xytext=offset, **style)


def pan_reactome(run: Run) -> Drawing:
    """How many reactions any and all of so many models hold, and how common reactions are."""
    n = int(run.content.modelled.sum())
    counts = run.content.present.sum(axis=0)
    found = collection.pan_reactome(counts, n)
    if found is None:
        return _empty("A pan-reactome needs two models.")
    figure, (left, right) = _new(9, 3.6, 1, 2)
    marker = "o" if n <= MOST_NAMED else ""
    for key, colour, label in (("pan", COLOURS[0], "in any of them"), ("core", COLOURS[5], "in all of them")):
        left.plot(found["k"], found[key], color=colour, marker=marker, markersize=3, label=label)
    left.legend()
    if n > MOST_NAMED:
        left.set_xscale("log")
    left.set_xlabel("models")
    left.set_ylabel("reactions (expected)")
    left.set_ylim(bottom=0)
    left.grid(visible=True)
    left.set_title("Pan- and core-reactome")
    if n <= len(found["spectrum"]):
        right.bar(range(1, n + 1), np.bincount(counts, minlength=n + 1)[1:], width=0.8, color=GREEN)
        right.set_xlabel("models that hold a reaction")
        right.set_xticks(range(1, n + 1))
    else:
        bins = len(found["spectrum"])
        right.bar((np.arange(bins) + 0.5) / bins, found["spectrum"], width=0.9 / bins, color=GREEN)
        right.set_xlabel("share of the models that hold a reaction")
        right.xaxis.set_major_formatter("{x:.0%}")
    right.set_ylabel("reactions")
    right.yaxis.get_major_locator().set_params(integer=True)
    right.grid(axis="y")
    right.set_title(f"{(counts == n).sum():,} reactions in all models, {(counts == 1).sum():,} in one only")
    return figure


def gapfills(run: Run) -> Drawing:
    """Sizes of the fills, and the reactions that recur in them."""
    if not len(run.modelled):
        return _empty("There is no model yet.")
    total: Counter[str] = Counter()
    bare: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for part in run.parts.each("gapfills", ["genome_id", "reaction", "candidate_genes"]):
        for row in part.to_pylist():
            if (row["genome_id"], row["reaction"]) not in seen:
                seen.add((row["genome_id"], row["reaction"]))
                total[row["reaction"]] += 1
                bare[row["reaction"]] += not row["candidate_genes"]
    top = sorted(total, key=lambda r: (-total[r], r))[:MOST_BARS][::-1]
    figure, (left, right) = _new(9, max(3.2, 1.2 + 0.2 * len(top)), 1, 2)
    sizes = run.values("gapfilled")
    counts = np.bincount(np.nan_to_num(sizes).astype(int))
    if len(counts) <= 30:
        left.bar(range(len(counts)), counts, color=GREEN, width=0.8)
        left.set_xticks(range(0, len(counts), 1 + len(counts) // 12))
        left.set_ylabel("models")
        left.set_xlabel("gap-filled reactions")
        left.yaxis.get_major_locator().set_params(integer=True)
        left.grid(axis="y")
    else:
        _histogram(left, sizes, "gap-filled reactions", "models")
    left.set_title(f"Reactions added by gap-filling: median {np.nanmedian(sizes):g}")
    with_genes = [total[r] - bare[r] for r in top]
    right.barh(range(len(top)), with_genes, color=GREEN, label="with a candidate gene", height=0.7)
    right.barh(range(len(top)), [bare[r] for r in top], left=with_genes, color=SAND, label="without", height=0.7)
    right.set_yticks(range(len(top)), top)
    right.set_xlabel("models")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.grid(axis="x")
    right.set_xlim(0, 1.1 * max(total.values(), default=1))
    right.set_title("Reactions added most often" if top else "No reaction was added")
    if top:
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


def outcomes(run: Run) -> Drawing:
    """How genomes left each stage, and why those were stopped that were."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in STAGE_NAMES}
    reasons: Counter[str] = Counter()
    for part in run.parts.each("ledger", ["stage", "outcome", "reason"]):
        for row in part.to_pylist():
            counts.setdefault(row["stage"], Counter())[row["outcome"]] += 1
            if row["outcome"] not in (Outcome.OK, Outcome.SKIPPED_UPSTREAM):
                reasons[f"{row['stage']}: {row['reason']}"] += 1
    top = sorted(reasons, key=lambda r: (-reasons[r], r))[:MOST_BARS][::-1]
    figure, panels = _new(9 if top else 6.5, 3.6, 1, 2 if top else 1)
    left = panels[0] if top else panels
    stages = list(counts)[::-1]
    offset = np.zeros(len(stages))
    for outcome, colour in OUTCOME_COLOURS.items():
        sizes = np.array([counts[stage][outcome] for stage in stages], dtype=float)
        if sizes.any():
            left.barh(stages, sizes, left=offset, color=colour, label=outcome.replace("_", " "), height=0.7)
        offset += sizes
    left.set_xlabel("genomes")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set_title(f"{len(run.genomes):,} genomes by stage")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    if top:
        panels[1].barh(range(len(top)), [reasons[r] for r in top], color=RED, height=0.7)
        panels[1].set_yticks(range(len(top)), [reason.replace("_", " ") for reason in top])
        panels[1].set_xlim(0, 1.1 * max(reasons.values()))
        panels[1].set_xlabel("genomes")
        panels[1].xaxis.get_major_locator().set_params(integer=True)
        panels[1].grid(axis="x")
        panels[1].set_title("Where and why genomes were stopped")
    return figure


PLOTS = (
    Plot("growth", "growth of every model on carbon sources", growth),
    Plot("models", "reactions, genes, reactions without genes and growth of the models", models),
    Plot("pca", "principal components of reaction content", pca),
    Plot("pan_reactome", "reactions in any and in all of so many models", pan_reactome),
    Plot("gapfills", "sizes of the gap-fills and the reactions that recur in them", gapfills),
    Plot("outcomes", "how genomes left each stage, and why some were stopped", outcomes),
)


def plot(name: str) -> Plot:
    """A figure by its name; InputError with the nearest where there is none."""
    known = {found.name: found for found in PLOTS}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    raise InputError(f"no figure {name!r}; the nearest is {near!r}\nFigures: {', '.join(known)}")


def draw(found: Plot, run: Run, paths: Sequence[Path]) -> None:
    """Draw one figure and write it under each path; the ending says in which format.

    Raises
    ------
    InputError
        The ending of a path is none of `FORMATS`.
    """
    for path in paths:
        if path.suffix.lower() not in FORMATS:
            raise InputError(f"{path}: expected a name that ends in one of {', '.join(FORMATS)}")
    with _style():
        figure = found.draw(run)
        for path in paths:
            dated = {".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix.lower())
            with atomic(path) as temporary:
                figure.savefig(
                    temporary,
                    format=path.suffix.lower()[1:],
                    dpi=DOTS_PER_INCH,
                    metadata={dated: None} if dated else None,
                )


def draw_all(root: Path, folder: Path) -> list[Path]:
    """Every figure of a run as SVG and PNG in `folder`."""
    run = Run(root)
    written = []
    for found in PLOTS:
        paths = [folder / f"{found.name}{ending}" for ending in (".svg", ".png")]
        draw(found, run, paths)
        written += paths
    return written


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib without a window, and in our style, whatever the user's own settings are."""
    import matplotlib as mpl

    mpl.use("Agg", force=True)
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def _new(width: float, height: float, rows: int = 1, columns: int = 1, **more: Any) -> tuple[Drawing, Any]:
    """A figure that no window manager knows of, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **more)


def _empty(text: str) -> Drawing:
    figure, axes = _new(5, 1.2)
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def _histogram(axes: Axes, values: np.ndarray, label: str, unit: str) -> None:
    known = values[np.isfinite(values)]
    axes.hist(known, bins=min(40, max(5, int(np.sqrt(len(known))) + 1)), color=GREEN, edgecolor="white", linewidth=0.5)
    axes.set_xlabel(label)
    axes.set_ylabel(unit)
    axes.grid(axis="y")
    if len(known):
        axes.axvline(float(np.median(known)), color=INK, linewidth=1, linestyle="--")
        axes.set_title(f"median {np.median(known):.4g}", fontsize=8, weight="normal")


def _short(text: str, most: int = 32) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
