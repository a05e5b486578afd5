"""Faults at random instants, and nothing lost: short here, long with `make test-faults`.

The seed is printed with every fault; `GEMFOREST_FAULTS_SEED` replays a campaign's choices (not the machine's timing),
`GEMFOREST_FAULTS` says how many faults, `GEMFOREST_FAULTS_ONLY` which kinds, separated by commas.
"""

from __future__ import annotations

import math
import os
import random
import shutil
from pathlib import Path

import pytest
from campaign import bombard, rounds, shared_hits
from projects import common_folder

SHORT, SEED = 20, 20262030
# Every other project packs its tables; at most so many rounds share one project and its undisturbed run.
STORAGES, ROUNDS_PER_PROJECT = ("files", "packed"), 13


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("diamond") is None:
        pytest.skip("needs DIAMOND on the PATH")
    return shared_hits(common_folder(tmp_path_factory) / "hits")


def test_no_fault_loses_a_genome_or_repeats_a_finished_one(hits: Path, tmp_path: Path) -> None:
    faults = int(os.environ.get("GEMFOREST_FAULTS", SHORT))
    seed = int(os.environ.get("GEMFOREST_FAULTS_SEED", SEED))
    only = [name for name in os.environ.get("GEMFOREST_FAULTS_ONLY", "").split(",") if name]
    # One shard makes for half the jobs.
    shard_size = 5 if faults <= SHORT else 3
    planned = dict(enumerate(rounds(faults, random.Random(seed), only)))
    struck, broken = 0, []
    # However few there are, each storage has its share.
    share = min(ROUNDS_PER_PROJECT, math.ceil(len(planned) / len(STORAGES)))
    for project, first in enumerate(range(0, len(planned), share)):
        storage = STORAGES[project % len(STORAGES)]
        chosen = {number: planned[number] for number in list(planned)[first : first + share]}
        for number, played in bombard(tmp_path / f"project{project}", hits, seed, chosen, shard_size, storage):
            struck += len(played.struck)
            broken += [f"seed {seed}, round {number}, {storage}: {played.broken}"] if played.broken else []
            for what in played.struck.values():
                print(f"seed {seed}, round {number}, {storage}: {what}", flush=True)
            if played.broken:
                print(f"BROKEN: {broken[-1]}", flush=True)
    assert not broken
    # A fault may come too late for its run; where nothing can be mounted, full disks are left out.
    assert struck >= faults * 3 // 4
