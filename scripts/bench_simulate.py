"""Time and check the simulation engine against cobrapy with GLPK, one process each, in the same run.

    python scripts/bench_simulate.py [--quick] [--only NAME] [--json FILE]

NAME is one of the names that `--list` prints; a prefix chooses several. Models come from cobra and carveme themselves.
Seconds are CPU seconds of this process; wall seconds stand beside them. Run it on a quiet machine with
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from gemforest.fluxes import FluxRanges, fva, growth, medium_bounds, with_bounds
from gemforest.models import Network, read_sbml, write_sbml
from gemforest.simulate.knockouts import gene_losses, knock_out
from gemforest.simulate.screens import Screener, read_compounds

PROJECT = Path(__file__).resolve().parents[1]
DRAFTS = ("ecol", "bsub", "paer", "rsol", "sone", "mgen")
UNIVERSE_OF = {"bsub": "grampos"}
Record = dict[str, Any]


@dataclass(frozen=True)
class Timed:
    """CPU and wall seconds of a call, and what it returned."""

    cpu: float
    wall: float
    result: Any


def timed(call: Callable[[], Any]) -> Timed:
    """Run once and time."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return Timed(time.process_time() - cpu, time.perf_counter() - wall, result)


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package."""
    found = util.find_spec(package)
    assert found is not None and found.origin is not None, f"{package} is not installed"
    return Path(found.origin).parent.joinpath(*parts)


def curated(name: str) -> Path:
    """A model inside the cobra package."""
    return package_file("cobra", "data", f"{name}.xml.gz")


def draft(name: str) -> Path:
    """A draft inside the carveme package."""
    return package_file("carveme", "data", "benchmark", "models", f"{name}.xml")


def media() -> dict[str, dict[str, float]]:
    """CarveMe's benchmark media, everything at 10 mmol gDW^-1 h^-1."""
    found: dict[str, dict[str, float]] = {}
    path = package_file("carveme", "data", "benchmark", "media_db.tsv")
    with path.open(encoding="utf-8") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            found.setdefault(row["medium"], {})[row["compound"]] = 10.0
    return found


def on_medium(network: Network, medium: str) -> Network:
    """A draft on one of CarveMe's media."""
    uptakes = {f"EX_{c}_e": limit for c, limit in media()[medium].items()}
    return with_bounds(network, medium_bounds(network, uptakes))


def drafts(names: tuple[str, ...]) -> Iterator[tuple[str, Network]]:
    """Drafts on M9, and on LB where they do not grow on M9."""
    for name in names:
        network = read_sbml(draft(name))
        medium = next((m for m in ("M9", "LB") if (growth(on_medium(network, m))[1] or 0.0) > 0.01), None)
        yield name, on_medium(network, medium) if medium else network


def in_cobrapy(path: Path, network: Network) -> Any:
    """The same model in cobrapy with GLPK, with the network's bounds."""
    import cobra

    model = cobra.io.read_sbml_model(str(path))
    model.solver = "glpk"
    for reaction, lower, upper in zip(network.reactions, network.lower, network.upper, strict=True):
        model.reactions.get_by_id(reaction).bounds = (float(lower), float(upper))
    return model


# -- benchmarks --------------------------------------------------------------------------------------------------------


def bench_fva(name: str, path: Path, network: Network) -> Iterator[Record]:
    """Full FVA at 90 % growth, seconds and the largest difference of any range's end."""
    from cobra.flux_analysis import flux_variability_analysis

    model = in_cobrapy(path, network)
    peer = timed(lambda: flux_variability_analysis(model, fraction_of_optimum=0.9, processes=1))
    ours = timed(lambda: fva(network, 0.9))
    ends = peer.result.loc[list(network.reactions)]
    difference = np.maximum(
        np.abs(ends["minimum"].to_numpy() - ours.result.minimum),
        np.abs(ends["maximum"].to_numpy() - ours.result.maximum),
    )
    worst = int(np.argmax(difference))
    disputed = [network.reactions[j] for j in np.flatnonzero(difference > 1e-6)]
    settled = fresh_differences(path, network, ours.result, disputed)
    yield record(
        f"fva-{name}",
        ours,
        peer,
        max_difference=float(difference[worst]),
        differing_above_1e_6=len(disputed),
        differing_above_1e_6_from_peer_started_anew=int((settled > 1e-6).sum()),
        worst_reaction=network.reactions[worst],
        programs=ours.result.solved,
    )


def fresh_differences(path: Path, network: Network, ours: FluxRanges, disputed: list[str]) -> np.ndarray:
    """Differences left when the peer asks for each disputed reaction in a model of its own, at tolerance 1e-9.

    GLPK's warm starts drift: its long walk over all reactions leaves errors above 1e-6 that a new start does not have.
    """
    from cobra.flux_analysis import flux_variability_analysis

    left = []
    for reaction in disputed:
        model = in_cobrapy(path, network)
        model.tolerance = 1e-9
        ends = flux_variability_analysis(model, reaction_list=[reaction], fraction_of_optimum=0.9, processes=1)
        j = network.reactions.index(reaction)
        low, high = ends["minimum"].iloc[0], ends["maximum"].iloc[0]
        left.append(max(abs(low - ours.minimum[j]), abs(high - ours.maximum[j])))
    return np.array(left)


def bench_knockouts(name: str, path: Path, network: Network) -> Iterator[Record]:
    """Single-gene deletions: seconds, the largest difference of growth, genes whose call differs at 0.01 h^-1."""
    from cobra.flux_analysis import single_gene_deletion

    model = in_cobrapy(path, network)
    peer = timed(lambda: single_gene_deletion(model, processes=1))
    ours = timed(lambda: knock_out(network, gene_losses(network)))
    theirs = {next(iter(ids)): value for ids, value in zip(peer.result["ids"], peer.result["growth"], strict=True)}
    expected = np.array([theirs[gene] for gene in ours.result.targets])
    both = ~np.isnan(expected) & ~np.isnan(ours.result.growths)
    essential = np.isnan(expected) | (expected < 0.01)
    yield record(
        f"knockouts-{name}",
        ours,
        peer,
        max_difference=float(np.abs(expected - ours.result.growths)[both].max(initial=0.0)),
        infeasible_differs=int((np.isnan(expected) != np.isnan(ours.result.growths)).sum()),
        essential_differs=int((essential != ours.result.essential(0.01)).sum()),
        essential=int(essential.sum()),
        programs=ours.result.solved,
    )


def bench_screen(name: str) -> Iterator[Record]:
    """A growth screen of 200 compounds that are in the model, on CarveMe's E. coli."""
    network = read_sbml(draft(name))
    listed = read_compounds(PROJECT / "resources" / "screen_compounds.tsv")["carbon"]

    def screen() -> list[Any]:
        present = Screener(network, media()["M9"], ()).exchange_of
        chosen = [c for c in listed if c in present][:200]
        return Screener(network, media()["M9"], chosen).sources("carbon", chosen)

    ours = timed(screen)
    yield record(f"screen-{name}", ours, compounds=len(ours.result))


def bench_sbml(name: str, path: Path) -> Iterator[Record]:
    """Reading and writing SBML, gzipped."""
    import cobra

    network = timed(lambda: read_sbml(path))
    model = timed(lambda: cobra.io.read_sbml_model(str(path)))
    yield record(f"sbml-read-{name}", network, model)
    with tempfile.TemporaryDirectory() as folder:
        ours = timed(lambda: write_sbml(network.result, Path(folder) / "ours.xml.gz"))
        peer = timed(lambda: cobra.io.write_sbml_model(model.result, str(Path(folder) / "peer.xml.gz")))
    yield record(f"sbml-write-{name}", ours, peer)


def bench_stage(name: str, genomes: int) -> Iterator[Record]:
    """The whole stage on a draft: M9 and LB with and without oxygen, all ranges, deletions, screens, quality.

    The draft is CarveMe's; its reactions are taken from the universe that it was carved from.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = stage_runner(name, Path(folder))
        first = timed(run)
        yield record(f"stage-{name}", first, peak_mb=peak_mb())
        if genomes > 1:
            rest = timed(lambda: [run() for _ in range(genomes)])
            yield record(
                f"stage-{name}-times-{genomes}", rest, over_one=rest.cpu / genomes / first.cpu, peak_mb=peak_mb()
            )


def stage_runner(name: str, folder: Path) -> Callable[[], Any]:
    """A call that runs the stage on a draft whose upstream tables lie in `folder`."""
    import pyarrow as pa

    from gemforest.config import complete
    from gemforest.simulate import STAGE, process
    from gemforest.stage import Context, Task
    from gemforest.store import Store, write_parquet
    from gemforest.tables import TABLES
    from gemforest.universe import load_universe

    store = Store(folder)
    context = Context(PROJECT, complete({}), store)
    universe = UNIVERSE_OF.get(name, "gramneg")
    known = set(load_universe(universe, context.cache).network.reactions)
    network = read_sbml(draft(name))
    rows = {
        "model_reactions": [
            {"genome_id": name, "reaction": r, "origin": "draft", "gpr": gpr, "lower_bound": low, "upper_bound": high}
            for r, gpr, low, high in zip(
                network.reactions, network.gprs, network.lower.tolist(), network.upper.tolist(), strict=True
            )
            if r in known
        ],
        "drafts": [{"genome_id": name, "universe": universe}],
        "proteins": [{"genome_id": name, "gene_id": "1"}],
        "hits": [],
    }
    for table, content in rows.items():
        path = store.table_path(table, "0000", name)
        write_parquet(path, pa.Table.from_pylist(content, schema=TABLES[table].schema))
    task = Task(name, "0000", {"medium": "M9;LB"}, STAGE.settings(context.config), context, "", "")
    return lambda: process(task)


def peak_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- running -----------------------------------------------------------------------------------------------------------


def record(what: str, ours: Timed, peer: Timed | None = None, **more: Any) -> Record:
    """One record; the ratio is peer over ours, in CPU seconds."""
    found: Record = {"what": what, "value": ours.cpu, "unit": "s", "wall_s": ours.wall}
    if peer is not None:
        version = metadata.version("cobra")
        found |= {
            "peer": f"cobra {version}, GLPK",
            "peer_value": peer.cpu,
            "peer_wall_s": peer.wall,
            "ratio": peer.cpu / ours.cpu,
        }
    return found | more


def benchmarks(quick: bool) -> dict[str, Callable[[], Iterator[Record]]]:
    """Name to benchmark."""

    def of_model(bench: Callable[..., Iterator[Record]], name: str, path: Path) -> Callable[[], Iterator[Record]]:
        return lambda: bench(name, path, read_sbml(path))

    def of_draft(bench: Callable[..., Iterator[Record]], name: str) -> Callable[[], Iterator[Record]]:
        return lambda: bench(name, draft(name), dict(drafts((name,)))[name])

    found: dict[str, Callable[[], Iterator[Record]]] = {}
    for kind, bench in (("fva", bench_fva), ("knockouts", bench_knockouts)):
        for model in ("iJO1366", "textbook") if quick else ("iJO1366", "salmonella", "textbook"):
            found[f"{kind}-{model.lower()}"] = of_model(bench, model.lower(), curated(model))
        for name in () if quick else DRAFTS:
            found[f"{kind}-{name}"] = of_draft(bench, name)
    found["screen-ecol"] = lambda: bench_screen("ecol")
    found["sbml-ijo1366"] = lambda: bench_sbml("ijo1366", curated("iJO1366"))
    found["stage-ecol"] = lambda: bench_stage("ecol", 1 if quick else 50)
    return found


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer models")
    parser.add_argument("--only", default="", help="name, or the beginning of several names")
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    arguments = parser.parse_args()
    logging.getLogger("cobra").setLevel(logging.ERROR)
    chosen = {n: b for n, b in benchmarks(arguments.quick).items() if n.startswith(arguments.only)}
    if arguments.list:
        print("\n".join(chosen))
        return
    records = []
    for bench in chosen.values():
        for found in bench():
            print(json.dumps(found), flush=True)
            records.append(found)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        machine |= {package: metadata.version(package) for package in ("highspy", "cobra", "carveme", "numpy")}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
