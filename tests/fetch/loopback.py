"""What the tests of fetch share: real proteins, and a server, a cache and a client that belong together."""

from __future__ import annotations

from dataclasses import dataclass, field

from replay import ReplayServer, proteins_of

from gemforest.fetch.cache import Cache
from gemforest.fetch.client import Client

PROTEINS = proteins_of("M_genitalium_G37")


@dataclass
class Bench:
    """A server, a cache and a client between them; `waits` are the pauses that the client made."""

    server: ReplayServer
    cache: Cache
    client: Client
    waits: list[float] = field(default_factory=list)
