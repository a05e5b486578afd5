"""The report of many genomes: how long it takes to write, how large it is, and how long a browser needs to show it.

The atlas is made up (tests/report/forest_atlas.py); what is measured is the page. «Interactive» is the time from
opening the file in headless Chromium until the program has drawn the first page and takes clicks, by its own mark;
the median of several loads. Needs Chromium (scripts/find_chromium.sh).

    python scripts/bench_report.py --json tests/bench/report.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "report")]

from forest_atlas import make_forest  # noqa: E402

from gemforest.report import write_report  # noqa: E402

SIZES = {"100": 100, "1000": 1_000, "10000": 10_000}
MOST_SECONDS = 3.0
LOADS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundred genomes alone")
    parser.add_argument("--only", choices=SIZES, help="one number of genomes")
    parser.add_argument("--reactions", type=int, default=600, help="accessory reactions to choose from")
    parser.add_argument("--json", type=Path, help="write the records here")
    parsed = parser.parse_args()
    names = [parsed.only] if parsed.only else ["100"] if parsed.quick else list(SIZES)
    records = [record for name in names for record in measure(SIZES[name], parsed.reactions)]
    for record in records:
        print("{what}: {value} {unit}".format(**record))
    if parsed.json:
        machine = {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count()}
        parsed.json.write_text(json.dumps({"machine": machine, "records": records}, indent=1) + "\n")
    return 0


def measure(genomes: int, reactions: int) -> list[dict[str, Any]]:
    """Records of one size."""
    with tempfile.TemporaryDirectory(prefix="gemforest-report-") as folder:
        context = make_forest(Path(folder) / "project", genomes, accessory=reactions)
        wall, cpu = time.perf_counter(), time.process_time()
        page = write_report(context)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        beside = sum(path.stat().st_size for path in page.parent.rglob("*.js"))
        shown = open_page(page)
        size = {"genomes": genomes, "reactions_in_all": reactions + 24}

        def record(what: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
            return {"what": f"{what}, {genomes} genomes", "value": value, "unit": unit, **size, **more}

        return [
            record("writing the report", round(cpu, 2), "s CPU, one core", seconds=round(wall, 2)),
            record("page", round(page.stat().st_size / 1e6, 2), "MB", beside_mb=round(beside / 1e6, 2)),
            record("page until interactive", shown["interactive"], "s", limit=MOST_SECONDS),
            record("collection until drawn", shown["collection"], "s"),
            record("sorting the table of models", shown["sort"], "s"),
            record("opening a genome", shown["genome"], "s"),
        ]


def open_page(page: Path) -> dict[str, float]:
    """Medians of several loads in seconds."""
    from playwright.sync_api import sync_playwright

    program = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if program is None:
        raise SystemExit("bench_report: needs Chromium on the PATH; scripts/find_chromium.sh installs it")
    found: dict[str, list[float]] = {"interactive": [], "collection": [], "sort": [], "genome": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(LOADS):
            tab = browser.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready]")
            mark = tab.evaluate("performance.getEntriesByName('gemforest-ready')[0].startTime")
            found["interactive"].append(mark / 1000)
            found["collection"].append(until(tab, "location.hash = 'collection'", "#view-collection table"))
            found["sort"].append(until(tab, SORT, "#view-collection th[aria-sort]"))
            found["genome"].append(until(tab, "location.hash = 'genome/genome_00050'", "#view-genome h2"))
            tab.close()
        browser.close()
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


SORT = "document.querySelectorAll('#view-collection button.sort')[6].click()"


def until(tab: Any, action: str, selector: str) -> float:
    """Seconds from an action until the next frame after its result is there, by the page's clock."""
    script = """([action, selector]) => new Promise((resolve) => {
        const start = performance.now();
        (0, eval)(action);
        const look = () => document.querySelector(selector)
            ? requestAnimationFrame(() => resolve(performance.now() - start)) : setTimeout(look, 5);
        look();
    })"""
    return float(tab.evaluate(script, [action, selector])) / 1000


if __name__ == "__main__":
    sys.exit(main())
