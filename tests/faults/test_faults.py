"""Faults at random instants, and nothing lost: short here, long with `make test-faults`.

The seed is printed with every fault; `GEMFOREST_FAULTS_SEED` replays a campaign's choices (not the machine's timing),
`GEMFOREST_FAULTS` says how many faults, `GEMFOREST_FAULTS_ONLY` which kinds, separated by commas.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from campaign import FAULTS, Campaign, Missed, Picture, Violation, known_hits, one_fault, small_disk

SHORT, SEED = 20, 20260701
# So many faults share one project and its undisturbed run.
FAULTS_PER_PROJECT = 40
TRIES = 8


def kinds(faults: int, rng: random.Random) -> list[str]:
    """As many of each kind as of the others, in random order."""
    names = [name for name in os.environ.get("GEMFOREST_FAULTS_ONLY", "").split(",") if name] or list(FAULTS)
    found: list[str] = []
    while len(found) < faults:
        found += rng.sample(names, len(names))
    return found[:faults]


def bombard(folder: Path, hits: Path, seed: int, faults: int) -> tuple[int, list[str]]:
    """Faults upon one project; how many struck, and the promises that were broken."""
    rng = random.Random(seed)
    broken: list[str] = []
    struck = 0
    with small_disk(folder / "disk") as mounted:
        campaign = Campaign(folder / "disk", rng, hits, mounted)
        code, told = campaign.run()
        assert code == 0, told + campaign.log()
        reference = Picture.take(campaign)
        pristine = folder / "pristine"
        subprocess.run(["cp", "-a", str(campaign.context.project), str(pristine)], check=True)
        for name in kinds(faults, rng):
            for _ in range(TRIES):
                try:
                    what = one_fault(campaign, reference, name)
                except Missed:
                    campaign.recover()
                    continue
                except Violation as error:
                    broken.append(f"seed {seed}, {error}")
                    print(f"BROKEN: seed {seed}, {error}", flush=True)
                    campaign.end_all()
                    shutil.rmtree(campaign.context.project)
                    subprocess.run(["cp", "-a", str(pristine), str(campaign.context.project)], check=True)
                    what = "broken"
                struck += 1
                print(f"seed {seed}, fault {struck}: {what}", flush=True)
                break
            else:
                print(f"seed {seed}: no {name} fault is possible here", flush=True)
        print(f"seed {seed}: {struck} faults, {campaign.runs} commands, retried {campaign.retries}", flush=True)
    return struck, broken


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("diamond") is None:
        pytest.skip("needs DIAMOND on the PATH")
    return known_hits(tmp_path_factory.mktemp("hits"))


def test_no_fault_loses_a_genome_or_repeats_a_finished_one(hits: Path, tmp_path: Path) -> None:
    faults = int(os.environ.get("GEMFOREST_FAULTS", SHORT))
    seed = int(os.environ.get("GEMFOREST_FAULTS_SEED", SEED))
    struck, broken = 0, []
    for number, first in enumerate(range(0, faults, FAULTS_PER_PROJECT)):
        wanted = min(FAULTS_PER_PROJECT, faults - first)
        found, promises = bombard(tmp_path / f"project{number}", hits, seed + number, wanted)
        struck += found
        broken += promises
    assert not broken
    # Where nothing can be mounted, full disks and read-only folders are left out.
    assert struck >= faults * 4 // 5
