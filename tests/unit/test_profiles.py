"""The shipped profiles: what `gemforest run` makes of them, and that every key of the SLURM one says what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from projects import REPOSITORY

from gemforest.config import complete
from gemforest.run import _command
from gemforest.stage import Context
from gemforest.store import Store

PROFILES = REPOSITORY / "workflow" / "profiles"


@pytest.mark.parametrize(
    ("profile", "ours", "not_ours"), [("local", "--cores", "--local-cores"), ("slurm", "--local-cores", "--cores")]
)
def test_cores_of_the_command_line_cut_down_no_submitted_job(profile: str, ours: str, not_ours: str) -> None:
    command = _command(Context(Path(), complete({}), Store(Path())), PROFILES / profile, 2)
    assert command[command.index(ours) + 1] == "2"
    assert not_ours not in command


def test_every_key_of_the_slurm_profile_is_commented() -> None:
    lines = (PROFILES / "slurm" / "config.yaml").read_text().splitlines()
    keys = list(yaml.safe_load("\n".join(lines)))
    for key in keys:
        at = next(n for n, line in enumerate(lines) if line.startswith(f"{key}:"))
        assert any(line.startswith("#") for line in lines[max(0, at - 3) : at]), key


def batches(profile: Path, **embed: object) -> list[str]:
    command = _command(Context(Path(), complete({"embed": embed}), Store(Path())), profile, 2)
    return command[command.index("--groups") :] if "--groups" in command else []


def test_batches_of_shards_to_embed_are_groups_where_jobs_are_submitted(tmp_path: Path) -> None:
    asked = ["--groups", "embed=embed", "--group-components", "embed=20"]
    assert batches(PROFILES / "slurm", enabled=True, batch_shards=20) == asked
    assert batches(PROFILES / "slurm", enabled=True) == []
    assert batches(PROFILES / "slurm", enabled=False, batch_shards=20) == []
    assert batches(PROFILES / "local", enabled=True, batch_shards=20) == []


def test_batches_of_shards_go_beside_the_groups_of_the_profile(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("executor: slurm\ngroups: {genes: search, homology: search}\n")
    asked = ["--groups", "embed=embed", "genes=search", "homology=search", "--group-components", "embed=3"]
    assert batches(tmp_path, enabled=True, batch_shards=3) == asked
