"""A replay server with a small archive, and a client whose waiting is noted instead of done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import PROTEINS, Bench
from replay import Archive, Assembly, ReplayServer, fasta, squeeze

from gemforest.fetch.cache import Cache
from gemforest.fetch.client import Client, Manners, Patience
from gemforest.fetch.pacing import ConnectionSlots, TokenBucket


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """E. coli K-12 under its own accession, with proteins of a real proteome."""
    archive = Archive(tmp_path / "archive")
    archive.add(Assembly("GCF_000005845.2", "ASM584v2", files={"_protein.faa.gz": squeeze(fasta(PROTEINS))}))
    return archive


@pytest.fixture
def server(archive: Archive) -> Iterator[ReplayServer]:
    with ReplayServer(archive) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    cache.prepare()
    return cache


@pytest.fixture
def make_client(cache: Cache) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(rate_per_s: float = 10_000.0, patience: Patience | None = None, **more: object) -> Client:
        bucket = TokenBucket(cache.folder / "bucket", rate_per_s)
        slots = ConnectionSlots(cache.folder / "locks", 4)
        manners = more.pop("manners", None) or Manners()
        made.append(Client(bucket, slots, manners, patience or Patience(backoff_s=0.01), **more))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def bench(server: ReplayServer, cache: Cache, make_client: Callable[..., Client]) -> Bench:
    waits: list[float] = []
    return Bench(server, cache, make_client(sleep=waits.append), waits)
