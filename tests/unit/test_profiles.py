"""The shipped profiles: what `gemforest run` makes of them, and that every key of the SLURM one says what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from projects import REPOSITORY

from gemforest.run import _command
from gemforest.stage import Context
from gemforest.store import Store

PROFILES = REPOSITORY / "workflow" / "profiles"


@pytest.mark.parametrize(
    ("profile", "ours", "not_ours"), [("local", "--cores", "--local-cores"), ("slurm", "--local-cores", "--cores")]
)
def test_cores_of_the_command_line_cut_down_no_submitted_job(profile: str, ours: str, not_ours: str) -> None:
    command = _command(Context(Path(), {}, Store(Path())), PROFILES / profile, 2)
    assert command[command.index(ours) + 1] == "2"
    assert not_ours not in command


def test_every_key_of_the_slurm_profile_is_commented() -> None:
    lines = (PROFILES / "slurm" / "config.yaml").read_text().splitlines()
    keys = list(yaml.safe_load("\n".join(lines)))
    for key in keys:
        at = next(n for n, line in enumerate(lines) if line.startswith(f"{key}:"))
        assert any(line.startswith("#") for line in lines[max(0, at - 3) : at]), key
