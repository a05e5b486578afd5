"""Manners: who we say we are, where we may be sent, what stays secret."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from loopback import Bench
from replay import Archive, ReplayServer

from gemforest.errors import GenomeError
from gemforest.fetch.client import Client, Manners, Patience, retry_after
from gemforest.ledger import Reason

LIST = "md5checksums.txt"


def list_url(server: ReplayServer, host: str = "127.0.0.1") -> str:
    url = f"{server.genomes_url}/all/GCF/000/005/845/GCF_000005845.2_ASM584v2/{LIST}"
    return url.replace("127.0.0.1", host)


def keeps_pace(server: ReplayServer, started: float, interval: float) -> bool:
    """Whether the k-th request came no earlier than k intervals after the first could; a slow machine only adds."""
    return all(request.moment >= started + k * interval - 1e-3 for k, request in enumerate(server.requests))


def test_requests_keep_their_distance(server: ReplayServer, make_client: Callable[..., Client]) -> None:
    client, started = make_client(rate_per_s=40.0), time.monotonic()
    for _ in range(8):
        client.read_text(list_url(server))
    assert len(server.requests) == 8
    assert keeps_pace(server, started, 1 / 40)


def test_tries_after_a_fault_keep_the_distance_too(server: ReplayServer, make_client: Callable[..., Client]) -> None:
    client, started = make_client(rate_per_s=20.0, patience=Patience(backoff_s=0.0)), time.monotonic()
    server.faults.add(LIST, "status_500", times=3)
    client.read_text(list_url(server))
    assert len(server.requests) == 4
    assert keeps_pace(server, started, 1 / 20)


def test_the_user_agent_says_who_to_write_to(server: ReplayServer, make_client: Callable[..., Client]) -> None:
    make_client(manners=Manners(contact="someone@example.org")).read_text(list_url(server))
    agent = server.requests[0].headers["User-Agent"]
    assert agent.startswith("gemforest/")
    assert "someone@example.org" in agent


def test_the_key_goes_to_its_host_only_and_never_into_the_log(
    server: ReplayServer, make_client: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    manners = Manners(
        api_key="s3cret", key_hosts=frozenset({"127.0.0.1"}), allowed_hosts=frozenset({"localhost", "127.0.0.1"})
    )
    client = make_client(manners=manners, patience=Patience(tries=2, backoff_s=0.0))
    server.faults.add(LIST, "redirect", location=list_url(server, "localhost"))
    server.faults.add(LIST, "status_500", times=2)
    with caplog.at_level(logging.DEBUG), pytest.raises(GenomeError) as caught:
        client.read_text(list_url(server) + "?signature=s3cret")
    keys = [request.headers.get("api-key") for request in server.requests]
    assert keys == ["s3cret", None, "s3cret"]
    assert "s3cret" not in caplog.text + str(caught.value) + repr(manners)


def test_a_redirect_within_the_host_is_followed(bench: Bench) -> None:
    bench.server.faults.add("/here", "redirect", location=list_url(bench.server).removeprefix(bench.server.url))
    assert "_protein.faa.gz" in (bench.client.read_text(f"{bench.server.url}/here") or "")


def test_a_redirect_to_another_host_needs_permission(
    server: ReplayServer, make_client: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.add("/here", "redirect", times=2, location=list_url(server, "localhost"))
    with pytest.raises(GenomeError, match=r"add localhost to fetch\.allowed_hosts") as caught:
        make_client().read_text(f"{server.url}/here")
    assert caught.value.reason is Reason.HOST_NOT_ALLOWED
    assert len(server.requests) == 1
    with caplog.at_level(logging.INFO):
        allowed = make_client(manners=Manners(allowed_hosts=frozenset({"localhost"})))
        assert allowed.read_text(f"{server.url}/here")
    assert "redirects to http://localhost" in caplog.text


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_refused(bench: Bench, target: str) -> None:
    bench.server.faults.add("/here", "redirect", location=target)
    with pytest.raises(GenomeError) as caught:
        bench.client.read_text(f"{bench.server.url}/here")
    assert caught.value.reason is Reason.HOST_NOT_ALLOWED


@pytest.mark.parametrize("target", ["http://[x", "http://host:99999/"])
def test_a_redirect_to_no_url_ends_the_genome(bench: Bench, target: str) -> None:
    bench.server.faults.add("/here", "redirect", location=target)
    with pytest.raises(GenomeError):
        bench.client.read_text(f"{bench.server.url}/here")
    assert len(bench.server.requests) == 1


def test_redirects_in_a_circle_end(bench: Bench) -> None:
    bench.server.faults.add("/here", "redirect", times=100, location="/here")
    with pytest.raises(GenomeError, match="more than 5 redirects"):
        bench.client.read_text(f"{bench.server.url}/here")
    assert len(bench.server.requests) == 6


def test_a_page_of_html_is_not_an_answer(bench: Bench) -> None:
    bench.server.faults.add("/dataset_report", "not_json", times=100)
    with pytest.raises(GenomeError, match="not JSON") as caught:
        bench.client.read_json(f"{bench.server.datasets_url}/genome/dataset_report", {})
    assert caught.value.reason is Reason.HTTP_ERROR
    assert len(bench.server.requests) == 6


def test_an_answer_over_the_limit_is_refused(bench: Bench) -> None:
    with pytest.raises(GenomeError) as caught:
        bench.client.read_text(list_url(bench.server), most_bytes=10)
    assert caught.value.reason is Reason.TOO_LARGE


def test_nobody_listening_is_an_error_after_all_tries(archive: Archive, make_client: Callable[..., Client]) -> None:
    with ReplayServer(archive) as server:
        url = list_url(server)
    waits: list[float] = []
    with pytest.raises(GenomeError, match="after 6 tries") as caught:
        make_client(sleep=waits.append).read_text(url)
    assert caught.value.reason is Reason.HTTP_ERROR
    assert len(waits) == 5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 59.0),
        ("Fri, 31 Dec 1999 23:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, datetime(1999, 12, 31, 23, 59, tzinfo=UTC)) == seconds
