"""Weights are read safely, and a file that is not what it should be is named with the mend."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import pytest
import torch
from esm2_weights import write_esm2

from gemforest.embed import checkpoint as checkpoints
from gemforest.embed.checkpoint import Checkpoint, find, load
from gemforest.errors import InfrastructureError, InputError


def at(path: Path) -> Checkpoint:
    return Checkpoint(path.stem, path, "")


class Evil:
    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Path.touch, (Path("/nonexistent/evil"),)  # type: ignore[return-value]


def test_a_file_that_would_execute_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "esm2_evil.pt"
    torch.save({"cfg": Evil(), "model": {}}, path)
    with pytest.raises(InputError, match=r"holds more than weights.*not executed"):
        load(at(path))


@pytest.mark.parametrize("kept", [0, 10, 5000])
def test_a_truncated_file_is_told(tmp_path: Path, kept: int) -> None:
    path = write_esm2(tmp_path / "esm2_t.pt")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"esm2_t\.pt"):
        load(at(path))


def test_what_is_no_esm2_is_told(tmp_path: Path) -> None:
    path = tmp_path / "esm2_other.pt"
    torch.save({"args": argparse.Namespace(arch="roberta_large"), "model": {}}, path)
    with pytest.raises(InputError, match=r"is no ESM-2: expected `cfg\.model`"):
        load(at(path))
    torch.save(torch.zeros(3), path)
    with pytest.raises(InputError, match="expected a dictionary"):
        load(at(path))
    write_esm2(path)
    data = torch.load(path, weights_only=False)
    del data["model"]["encoder.sentence_encoder.layers.1.fc1.weight"]
    torch.save(data, path)
    with pytest.raises(InputError, match=r"not the weights of an ESM-2.*layers\.1\.fc1\.weight"):
        load(at(path))


def test_another_alphabet_is_told(tmp_path: Path) -> None:
    path = write_esm2(tmp_path / "esm2_alphabet.pt")
    data = torch.load(path, weights_only=False)
    data["model"]["encoder.sentence_encoder.embed_tokens.weight"] = torch.zeros(24, 32)
    torch.save(data, path)
    with pytest.raises(InputError, match="another alphabet"):
        load(at(path))


def test_random_weights_are_refused_for_biology_and_taken_for_timing(tmp_path: Path) -> None:
    path = write_esm2(tmp_path / "esm2_random.pt", random=True)
    with pytest.raises(InputError, match="random weights"):
        load(at(path))
    assert load(at(path), allow_random=True).num_layers == 2


def test_half_precision_files_are_computed_in_float32(tmp_path: Path) -> None:
    path = write_esm2(tmp_path / "esm2_half.pt")
    data = torch.load(path, weights_only=False)
    data["model"] = {name: value.half() for name, value in data["model"].items()}
    torch.save(data, path)
    assert load(at(path)).layers[0].fc1.weight.dtype == torch.float32


def test_a_contact_file_beside_it_is_optional(tmp_path: Path) -> None:
    path = write_esm2(tmp_path / "esm2_contact.pt")
    weights = {"contact_head.regression.weight": torch.full((1, 8), 2.0), "contact_head.regression.bias": torch.ones(1)}
    torch.save({"model": weights}, tmp_path / "esm2_contact-contact-regression.pt")
    assert float(load(at(path)).contact_head.regression.bias.detach()) == 1.0


def test_missing_file_wrong_stem_and_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"esm2_none\.pt does not exist"):
        find("esm2_none.pt", tmp_path, tmp_path, tmp_path)
    write_esm2(tmp_path / "mine.pt")
    with pytest.raises(InputError, match="must begin with `esm2`"):
        find("mine.pt", tmp_path, tmp_path, tmp_path)
    with pytest.raises(InputError, match="esm2_t33_650M_UR50D"):
        find("esm3", tmp_path, tmp_path, tmp_path)


def test_a_file_that_changed_since_its_first_use_is_refused(tmp_path: Path) -> None:
    path = write_esm2(tmp_path / "esm2_mine.pt")
    first = find("esm2_mine.pt", tmp_path, tmp_path, tmp_path / "cache")
    assert first.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert find("esm2_mine.pt", tmp_path, tmp_path, tmp_path / "cache") == first
    write_esm2(path, seed=8)
    with pytest.raises(InfrastructureError, match="changed since its first use"):
        find("esm2_mine.pt", tmp_path, tmp_path, tmp_path / "cache")


def test_a_hub_name_is_fetched_once_and_read_by_the_safe_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_esm2(tmp_path / "served" / "esm2_t6_8M_UR50D.pt")
    monkeypatch.setattr(checkpoints, "HUB", source.parent.as_uri())
    found = find("esm2_t6_8M_UR50D", tmp_path, tmp_path, tmp_path / "cache")
    assert found.path == tmp_path / "cache" / "encoders" / "esm2_t6_8M_UR50D.pt"
    source.unlink()
    assert find("esm2_t6_8M_UR50D", tmp_path, tmp_path, tmp_path / "cache") == found
    assert load(found).embed_dim == 32
    with pytest.raises(InfrastructureError, match=r"embed\.encoder: small"):
        find("esm2_t12_35M_UR50D", tmp_path, tmp_path, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "encoders").glob("*35M*"))


def test_the_pickled_hub_route_of_fair_esm_is_not_used() -> None:
    text = Path(checkpoints.__file__).read_text()
    assert "load_model_and_alphabet_hub" not in text
    assert "weights_only=True" in text


def test_the_large_encoder_is_told_to_be_missing_with_the_command_that_trains_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not offered yet.*train_encoder\.py --method gradient --layers 6"):
        find("large", tmp_path, tmp_path, tmp_path)
