"""The config: defaults, and errors that name the key, the value and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemforest.config import complete, described_keys, from_text, load_config, parameter, to_text
from gemforest.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_key_has_a_default_and_a_description() -> None:
    for key, part in described_keys():
        assert "default" in part, key
        assert part["description"], key


def test_an_empty_config_is_complete() -> None:
    config = complete({})
    for key, part in described_keys():
        assert parameter(config, key) == part["default"]


def test_the_shipped_config_is_valid() -> None:
    assert load_config(REPOSITORY / "config" / "config.yaml")["shard_size"] == 100


def test_all_problems_are_told_at_once_with_the_nearest_key() -> None:
    with pytest.raises(InputError) as caught:
        complete({"shard_sise": 5, "draft": {"engin": "carveme"}, "max_failed_fraction": 2}, "my.yaml")
    text = str(caught.value)
    assert "shard_sise" in text
    assert "'shard_size'" in text
    assert "'engine'" in text
    assert "max_failed_fraction" in text
    assert text.count("my.yaml") == 3


@pytest.mark.parametrize("raw", [[], "text", 3])
def test_a_config_that_is_no_mapping_is_refused(raw: object) -> None:
    with pytest.raises(InputError):
        complete(raw)


def test_broken_yaml_and_a_missing_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("a: [1, 2")
    with pytest.raises(InputError, match="expected YAML"):
        load_config(tmp_path / "c.yaml")
    with pytest.raises(InputError, match="no such config"):
        load_config(tmp_path / "absent.yaml")


def test_the_effective_config_survives_its_file() -> None:
    config = complete({"shard_size": 7})
    assert from_text(to_text(config)) == config


def test_the_config_readme_describes_every_key() -> None:
    text = (REPOSITORY / "config" / "README.md").read_text()
    missing = [key for key, _ in described_keys() if f"`{key}`" not in text]
    assert not missing
