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
from campaign import AT_REST, AT_WORK, FAULTS, Campaign, Picture, Violation, known_hits, one_round, small_disk

SHORT, SEED = 20, 20262030
# So many rounds share one project and its undisturbed run.
ROUNDS_PER_PROJECT = 20
AT_REST_PER_ROUND = 3


def rounds(faults: int, rng: random.Random) -> list[list[str]]:
    """Some harm to files and one fault at work per round; as many of each kind as of the others of its sort."""
    only = [name for name in os.environ.get("GEMFOREST_FAULTS_ONLY", "").split(",") if name] or list(FAULTS)
    rest, work = ([name for name in sort if name in only] for sort in (AT_REST, AT_WORK))
    found: list[list[str]] = []
    left: dict[str, list[str]] = {"rest": [], "work": []}

    def draw(sort: str, names: list[str]) -> list[str]:
        if not names:
            return []
        if not left[sort]:
            left[sort] = rng.sample(names, len(names))
        return [left[sort].pop()]

    while sum(map(len, found)) < faults:
        chosen = [name for _ in range(AT_REST_PER_ROUND) for name in draw("rest", rest)] + draw("work", work)
        found.append(chosen[: faults - sum(map(len, found))])
    return found


def bombard(folder: Path, hits: Path, seed: int, faults: int, shard_size: int) -> tuple[int, list[str]]:
    """Faults upon one project; how many struck, and the promises that were broken."""
    rng = random.Random(seed)
    broken: list[str] = []
    struck = 0
    with small_disk(folder / "disk") as mounted:
        campaign = Campaign(folder / "disk", rng, hits, mounted, shard_size)
        code, told = campaign.run()
        assert code == 0, told + campaign.log()
        reference = Picture.take(campaign)
        pristine = folder / "pristine"
        subprocess.run(["cp", "-a", str(campaign.context.project), str(pristine)], check=True)
        for names in rounds(faults, rng):
            try:
                for what in one_round(campaign, reference, names):
                    struck += 1
                    print(f"seed {seed}, fault {struck}: {what}", flush=True)
            except Violation as error:
                struck += len(names)
                broken.append(f"seed {seed}, {error}")
                print(f"BROKEN: seed {seed}, {error}", flush=True)
                campaign.end_all()
                shutil.rmtree(campaign.context.project)
                subprocess.run(["cp", "-a", str(pristine), str(campaign.context.project)], check=True)
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
    # One shard makes for half the jobs.
    shard_size = 5 if faults <= SHORT else 3
    per_project = ROUNDS_PER_PROJECT * (AT_REST_PER_ROUND + 1)
    struck, broken = 0, []
    for number, first in enumerate(range(0, faults, per_project)):
        wanted = min(per_project, faults - first)
        found, promises = bombard(tmp_path / f"project{number}", hits, seed + number, wanted, shard_size)
        struck += found
        broken += promises
    assert not broken
    # A fault may come too late for its run; where nothing can be mounted, full disks are left out.
    assert struck >= faults * 3 // 4
