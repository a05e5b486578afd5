"""Downloads through every fault of the replay server: what comes out, how often it asked, how long it waited."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from loopback import PROTEINS, Bench
from replay import fasta, squeeze

from gemforest.content import Content
from gemforest.content import Limits as UnpackLimits
from gemforest.errors import GenomeError
from gemforest.fetch.client import Client, Patience
from gemforest.fetch.download import Fetched, Limits, fetch_file
from gemforest.ledger import Outcome, Reason
from gemforest.sources import Checksum

CONTENT = squeeze(fasta(PROTEINS))
MD5 = Checksum("md5", hashlib.md5(CONTENT).hexdigest())
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())
FILE = "_protein.faa.gz"


def url_of(bench: Bench) -> str:
    name = "GCF_000005845.2_ASM584v2"
    return f"{bench.server.genomes_url}/all/GCF/000/005/845/{name}/{name}{FILE}"


def get(bench: Bench, checksum: Checksum = MD5, limits: Limits | None = None, client: Client | None = None) -> Fetched:
    return fetch_file(client or bench.client, bench.cache, url_of(bench), checksum, limits or Limits())


def test_a_file_comes_whole_and_is_fetched_once(bench: Bench) -> None:
    fetched = get(bench)
    assert fetched.stored.path.read_bytes() == CONTENT
    assert (fetched.stored.sha256, fetched.stored.size_bytes) == (SHA256.digest, len(CONTENT))
    assert fetched.checked.content is Content.PROTEIN_FASTA
    assert fetched.checked.unpacked_bytes == len(fasta(PROTEINS))
    assert get(bench).reused and get(bench, SHA256).reused
    assert len(bench.server.asked(FILE)) == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(bench: Bench) -> None:
    path = get(bench).stored.path
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1] + b"?")
    fetched = get(bench)
    assert not fetched.reused
    assert fetched.stored.path.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["truncate", "reset"])
def test_a_broken_download_goes_on_where_it_stopped(bench: Bench, kind: str) -> None:
    bench.server.faults.add(FILE, kind, after=5000)
    assert get(bench).stored.path.read_bytes() == CONTENT
    first, second = bench.server.asked(FILE)
    assert "Range" not in first.headers
    assert (second.status, second.headers["Range"]) == (206, f"bytes={first.sent}-")
    assert second.headers["If-Range"].startswith('"')
    assert first.sent + second.sent == len(CONTENT)


def test_a_file_that_changed_between_two_tries_starts_over(bench: Bench) -> None:
    bench.server.faults.add(FILE, "reset", after=5000)
    bench.server.faults.add(FILE, "changed")
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert [request.status for request in bench.server.asked(FILE)] == [200, 200]


def test_a_server_without_ranges_starts_over(bench: Bench) -> None:
    bench.server.faults.add(FILE, "reset", after=5000)
    bench.server.faults.add(FILE, "ignore_range")
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert [request.sent for request in bench.server.asked(FILE)] == [5000, len(CONTENT)]


def test_a_range_not_satisfiable_starts_over(bench: Bench) -> None:
    bench.server.faults.add(FILE, "reset", after=5000)
    bench.server.faults.add(FILE, "status_416")
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert [request.status for request in bench.server.asked(FILE)] == [200, 416, 200]


def test_500_then_200(bench: Bench) -> None:
    bench.server.faults.add(FILE, "status_500", times=2)
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert [request.status for request in bench.server.asked(FILE)] == [500, 500, 200]


def test_back_off_doubles_under_its_ceiling_with_full_jitter(bench: Bench, make_client: Callable[..., Client]) -> None:
    waits: list[float] = []
    patience = Patience(backoff_s=1.0, longest_backoff_s=6.0)
    client = make_client(patience=patience, sleep=waits.append, jitter=lambda: 0.5)
    bench.server.faults.add(FILE, "status_500", times=5)
    get(bench, client=client)
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_no_more_than_six_tries(bench: Bench) -> None:
    bench.server.faults.add(FILE, "status_500", times=100)
    with pytest.raises(GenomeError) as caught:
        get(bench)
    assert caught.value.reason is Reason.HTTP_ERROR
    assert "status 500" in caught.value.detail
    assert len(bench.server.asked(FILE)) == 6


def test_retry_after_is_waited_for(bench: Bench, make_client: Callable[..., Client]) -> None:
    waits: list[float] = []
    client = make_client(sleep=waits.append, jitter=lambda: 0.0)
    bench.server.faults.add(FILE, "status_429", retry_after=0)
    bench.server.faults.add(FILE, "status_429", retry_after=1)
    get(bench, client=client)
    assert waits == [0.0, 1.0]
    _, second, third = bench.server.asked(FILE)
    # The pause is the whole run's: the bucket holds it even though this client's own sleep was only noted.
    assert third.moment - second.moment >= 0.99


def test_a_retry_after_beyond_reason_ends_the_genome(bench: Bench) -> None:
    bench.server.faults.add(FILE, "status_429", retry_after=86400)
    with pytest.raises(GenomeError, match="86400 s") as caught:
        get(bench)
    assert caught.value.reason is Reason.HTTP_ERROR
    assert len(bench.server.asked(FILE)) == 1


def test_404_is_final(bench: Bench) -> None:
    bench.server.faults.add(FILE, "status_404")
    with pytest.raises(GenomeError) as caught:
        get(bench)
    assert caught.value.reason is Reason.HTTP_404
    assert len(bench.server.asked(FILE)) == 1


def test_a_wrong_byte_is_fetched_again(bench: Bench) -> None:
    bench.server.faults.add(FILE, "wrong_bytes")
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert [request.status for request in bench.server.asked(FILE)] == [200, 200]


def test_the_same_wrong_content_twice_is_a_mismatch(bench: Bench) -> None:
    bench.server.faults.add(FILE, "wrong_bytes", times=100)
    with pytest.raises(GenomeError) as caught:
        get(bench)
    assert caught.value.reason is Reason.MD5_MISMATCH
    assert MD5.digest in caught.value.detail
    assert len(bench.server.asked(FILE)) == 2
    assert not list((bench.cache.folder / "objects").rglob("*")), "nothing wrong may be kept"


def test_a_dripping_server_times_out_but_what_came_is_kept(bench: Bench, make_client: Callable[..., Client]) -> None:
    patience = Patience(tries=3, backoff_s=0.0, slow_after_s=0.2, slowest_bytes_per_s=10_000)
    client = make_client(patience=patience)
    bench.server.faults.add(FILE, "drip", times=100, step=10, pause=0.02)
    with pytest.raises(GenomeError) as caught:
        get(bench, client=client)
    assert (caught.value.reason, caught.value.outcome) == (Reason.TIMEOUT, Outcome.TIMEOUT)
    kept = bench.cache.partial(str(MD5)).read_bytes()
    assert 0 < len(kept) < len(CONTENT)
    assert CONTENT.startswith(kept)
    bench.server.faults.__init__()
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert bench.server.asked(FILE)[-1].headers["Range"] == f"bytes={len(kept)}-"


def test_a_silent_server_times_out(bench: Bench, make_client: Callable[..., Client]) -> None:
    client = make_client(patience=Patience(tries=2, backoff_s=0.0, read_s=0.1))
    bench.server.faults.add(FILE, "silence", times=100, pause=0.5)
    with pytest.raises(GenomeError) as caught:
        get(bench, client=client)
    assert (caught.value.reason, caught.value.outcome) == (Reason.TIMEOUT, Outcome.TIMEOUT)


def test_a_body_without_length_is_taken(bench: Bench) -> None:
    bench.server.faults.add(FILE, "chunked")
    assert get(bench).stored.path.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["", "chunked"])
def test_a_file_over_the_limit_is_refused_before_or_while_it_comes(bench: Bench, kind: str) -> None:
    if kind:
        bench.server.faults.add(FILE, kind)
    with pytest.raises(GenomeError) as caught:
        get(bench, limits=Limits(most_bytes=10_000))
    assert (caught.value.reason, caught.value.outcome) == (Reason.TOO_LARGE, Outcome.REFUSED)
    assert not bench.cache.partial(str(MD5)).exists()


def test_a_bomb_is_refused(bench: Bench) -> None:
    with pytest.raises(GenomeError) as caught:
        get(bench, limits=Limits(unpack=UnpackLimits(max_bytes=100_000)))
    assert caught.value.reason is Reason.DECOMPRESSION_LIMIT
    assert not list((bench.cache.folder / "objects").rglob("*"))


def test_a_whole_part_on_disk_is_named_without_asking(bench: Bench) -> None:
    bench.cache.partial(str(MD5)).write_bytes(CONTENT)
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert bench.server.requests == []


def test_a_part_without_validator_is_not_trusted(bench: Bench) -> None:
    bench.cache.partial(str(MD5)).write_bytes(CONTENT[:100])
    assert get(bench).stored.path.read_bytes() == CONTENT
    assert "Range" not in bench.server.asked(FILE)[0].headers
