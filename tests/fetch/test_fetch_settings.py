"""The config's section as objects: NCBI's pace, its key, where the cache lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemforest.config import complete
from gemforest.errors import InputError
from gemforest.fetch.settings import service_of

MIRROR = {"datasets_url": "http://mirror.example/datasets/v2", "genomes_url": "http://mirror.example/genomes"}


@pytest.mark.parametrize(
    ("fetch", "key", "rate"),
    [
        ({}, "", 3.0),
        ({}, "secret", 10.0),
        ({"requests_per_second": 1}, "secret", 1.0),
        ({"requests_per_second": 1000}, "", 3.0),
        ({"requests_per_second": 1000, "datasets_url": MIRROR["datasets_url"]}, "", 3.0),
        ({"requests_per_second": 1000, **MIRROR}, "", 1000.0),
    ],
)
def test_ncbi_is_never_asked_faster_than_it_allows(fetch: dict[str, Any], key: str, rate: float) -> None:
    assert service_of(complete({"fetch": fetch}), Path("/project"), key).requests_per_s == rate


def test_the_key_is_for_the_datasets_host_and_stays_out_of_print() -> None:
    service = service_of(complete({}), Path("/project"), "secret")
    assert service.manners.key_hosts == {"api.ncbi.nlm.nih.gov"}
    assert "secret" not in repr(service)


@pytest.mark.parametrize(("cache", "path"), [("downloads", "/project/downloads"), ("/shared/cache", "/shared/cache")])
def test_the_cache_may_lie_outside_the_project(cache: str, path: str) -> None:
    assert service_of(complete({"fetch": {"cache": cache}}), Path("/project"), "").cache == Path(path)


@pytest.mark.parametrize("fetch", [{"tries": 7}, {"genomes_url": "ftp://host/genomes"}, {"on_replaced": "guess"}])
def test_what_the_schema_does_not_allow_is_refused(fetch: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="fetch"):
        complete({"fetch": fetch})
