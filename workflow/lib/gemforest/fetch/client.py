"""The polite HTTP client that everything here asks through: paced, bounded, patient, and close-mouthed about secrets.

It is httpx with tenacity's retries around it. Each try takes a token of the run's bucket. What may heal (no connection,
a broken or slow body, 408, 425, 429, 5xx) is tried again, at most `tries` times in all, after exponential back-off with
full jitter (Brooker 2015, "Exponential backoff and jitter") or after what Retry-After asks for, which then holds for
the whole run. Redirects are followed by hand: within the host, or to a host that the config allows; never from https to
http, never with the API key.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx
import tenacity

from gemforest import __version__
from gemforest.errors import GenomeError
from gemforest.fetch.pacing import ConnectionSlots, TokenBucket
from gemforest.ledger import Outcome, Reason
from gemforest.sources import without_secrets

logger = logging.getLogger(__name__)

MAY_HEAL = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
Answer = TypeVar("Answer")


class HealableError(Exception):
    """One try failed in a way that another may not: `reason` is what the ledger says if none succeeds.

    `wait_s` is what the server asked for by Retry-After, if it did.
    """

    def __init__(self, reason: Reason, detail: str, wait_s: float | None = None) -> None:
        super().__init__(reason, detail, wait_s)
        self.reason = reason
        self.detail = detail
        self.wait_s = wait_s


@dataclass(frozen=True)
class Patience:
    """How long to wait for what. Times in seconds, speeds in bytes per second."""

    tries: int = 6
    backoff_s: float = 1.0
    longest_backoff_s: float = 60.0
    longest_retry_after_s: float = 600.0
    connect_s: float = 20.0
    read_s: float = 60.0
    slow_after_s: float = 30.0
    slowest_bytes_per_s: float = 1000.0


@dataclass(frozen=True)
class Manners:
    """Who we say we are and where we may go.

    Attributes
    ----------
    contact
        An e-mail address or a page, told to servers in the User-Agent.
    api_key
        NCBI's key; sent as a header to hosts in `key_hosts` only. Not shown by repr.
    allowed_hosts
        Hosts that a redirect may lead to, besides the one that was asked.
    """

    contact: str = ""
    api_key: str = field(default="", repr=False)
    key_hosts: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()

    @property
    def user_agent(self) -> str:
        """What the header User-Agent says."""
        return f"gemforest/{__version__}" + (f" ({self.contact})" if self.contact else "")


class Client:
    """One process's connections. Close it, or use it as a context.

    Parameters
    ----------
    bucket, slots
        The run's pace and its bound on data connections, shared with other processes.
    sleep, jitter
        Replaced in tests: how to wait, and a random number in [0, 1).
    """

    def __init__(
        self,
        bucket: TokenBucket,
        slots: ConnectionSlots,
        manners: Manners | None = None,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.bucket = bucket
        self.slots = slots
        self.manners = manners or Manners()
        self.patience = patience or Patience()
        self._sleep = sleep
        self._jitter = jitter
        # They write each URL with its query, and headers, to the log; signed URLs carry their secret there.
        for chatty in ("httpx", "httpcore"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._http = httpx.Client(
            headers={"User-Agent": self.manners.user_agent, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(self.patience.read_s, connect=self.patience.connect_s),
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=4, keepalive_expiry=30.0),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def persist(self, url: str, attempt: Callable[[], Answer]) -> Answer:
        """Call `attempt` until it succeeds, at most `patience.tries` times.

        Raises
        ------
        GenomeError
            With the reason of the last failed try; `timeout` is an outcome of its own.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.patience.tries),
            wait=self._wait,
            retry=tenacity.retry_if_exception_type(HealableError),
            before_sleep=lambda state: _log_try(url, state),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except HealableError as error:
            outcome = Outcome.TIMEOUT if error.reason is Reason.TIMEOUT else Outcome.FAILED
            detail = f"{without_secrets(url)}: {error.detail}, after {self.patience.tries} tries"
            raise GenomeError(error.reason, detail, outcome) from error

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        ceiling: float = min(self.patience.longest_backoff_s, self.patience.backoff_s * 2 ** (state.attempt_number - 1))
        wait: float = self._jitter() * ceiling
        if isinstance(error, HealableError) and error.wait_s is not None:
            # Everybody was told the same time: a little jitter on top keeps them apart.
            wait += error.wait_s
        return wait

    @contextmanager
    def open(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: object = None
    ) -> Iterator[httpx.Response]:
        """One try: send the request and yield the response with its body unread; redirects are followed.

        Raises
        ------
        HealableError
            What may heal, statuses and transport errors alike; also out of the caller's reading of the body.
        GenomeError
            `host_not_allowed` for a redirect that may not be followed.
        """
        start = url
        for _ in range(MOST_REDIRECTS + 1):
            self.bucket.take()
            with _transport_errors(), _closing(self._send(method, url, headers, body)) as response:
                if response.status_code not in REDIRECTS:
                    self._judge(response)
                    yield response
                    return
                url = self._redirected(url, response)
        raise GenomeError(Reason.HTTP_ERROR, f"{without_secrets(start)}: more than {MOST_REDIRECTS} redirects")

    def read_json(self, url: str, body: object, most_bytes: int = 256 * 2**20, method: str = "POST") -> dict[str, Any]:
        """Send `body` as JSON and read a JSON object back, with retries. Raises GenomeError."""

        def attempt() -> dict[str, Any]:
            with self.open(url, method, {"Accept": "application/json"}, body) as response:
                require_ok(response)
                content = self.read_body(response, most_bytes)
                try:
                    answer = json.loads(content)
                except ValueError as error:
                    raise HealableError(Reason.HTTP_ERROR, "the answer is not JSON") from error
            if not isinstance(answer, dict):
                raise HealableError(Reason.HTTP_ERROR, "the answer is not a JSON object")
            return answer

        return self.persist(url, attempt)

    def read_text(self, url: str, most_bytes: int = 16 * 2**20) -> str | None:
        """Read a small text file, with retries; None where the server has none (404, 410). Raises GenomeError."""

        def attempt() -> str | None:
            with self.open(url) as response:
                if response.status_code in (404, 410):
                    return None
                require_ok(response)
                return self.read_body(response, most_bytes).decode("utf-8", "replace")

        return self.persist(url, attempt)

    def read_body(self, response: httpx.Response, most_bytes: int) -> bytes:
        """The whole body, if it is not longer than `most_bytes` and comes fast enough."""
        body = bytearray()
        for chunk in self.chunks(response):
            body += chunk
            if len(body) > most_bytes:
                raise GenomeError(
                    Reason.TOO_LARGE,
                    f"{without_secrets(str(response.url))}: more than {most_bytes} bytes",
                    Outcome.REFUSED,
                )
        return bytes(body)

    def chunks(self, response: httpx.Response) -> Iterator[bytes]:
        """The body as it comes; a server that drips is cut off, as a read timeout alone never would.

        Raises
        ------
        HealableError
            `timeout` when a window of `slow_after_s` brought fewer bytes than `slowest_bytes_per_s` asks for.
        """
        window_start, window_bytes = time.monotonic(), 0
        for chunk in response.iter_raw():
            yield chunk
            window_bytes += len(chunk)
            elapsed = time.monotonic() - window_start
            if elapsed >= self.patience.slow_after_s:
                if window_bytes < elapsed * self.patience.slowest_bytes_per_s:
                    raise HealableError(Reason.TIMEOUT, f"only {window_bytes} bytes came in {elapsed:.0f} s")
                window_start, window_bytes = time.monotonic(), 0

    def _send(self, method: str, url: str, headers: Mapping[str, str] | None, body: object) -> httpx.Response:
        request = self._http.build_request(method, url, headers=self._headers(url, headers), json=body)
        return self._http.send(request, stream=True)

    def _headers(self, url: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        sent = dict(headers or {})
        if self.manners.api_key and urlsplit(url).hostname in self.manners.key_hosts:
            sent["api-key"] = self.manners.api_key
        return sent

    def _judge(self, response: httpx.Response) -> None:
        if response.status_code not in MAY_HEAL:
            return
        wait_s = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if wait_s is not None:
            if wait_s > self.patience.longest_retry_after_s:
                raise GenomeError(
                    Reason.HTTP_ERROR,
                    f"{without_secrets(str(response.url))}: status {response.status_code}, and the server asks to wait "
                    f"{wait_s:.0f} s, more than the limit of {self.patience.longest_retry_after_s:.0f} s",
                )
            self.bucket.pause(wait_s)
        raise HealableError(Reason.HTTP_ERROR, f"status {response.status_code}", wait_s)

    def _redirected(self, url: str, response: httpx.Response) -> str:
        try:
            target = urljoin(url, str(response.headers.get("Location", "")))
            old, new = urlsplit(url), urlsplit(target)
            ports = old.port, new.port
        except ValueError as error:
            raise GenomeError(Reason.HTTP_ERROR, f"{without_secrets(url)} redirects to no URL: {error}") from None
        told = f"{without_secrets(url)} redirects to {without_secrets(target)}"
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
            raise GenomeError(Reason.HOST_NOT_ALLOWED, f"{told}: from {old.scheme} to {new.scheme} is not followed")
        same_host = new.hostname == old.hostname and ports[0] == ports[1]
        if not same_host and new.hostname not in self.manners.allowed_hosts:
            raise GenomeError(
                Reason.HOST_NOT_ALLOWED,
                f"{told}: another host; add {new.hostname} to fetch.allowed_hosts if you trust it",
            )
        if not same_host:
            logger.info("%s, as the config allows", told)
        return target


@contextmanager
def _closing(response: httpx.Response) -> Iterator[httpx.Response]:
    try:
        yield response
    finally:
        response.close()


@contextmanager
def _transport_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise HealableError(Reason.TIMEOUT, f"no answer in time ({type(error).__name__})") from error
    except httpx.TransportError as error:
        raise HealableError(Reason.HTTP_ERROR, f"{type(error).__name__}: {error}") from error
    except httpx.InvalidURL as error:
        raise GenomeError(Reason.HTTP_ERROR, f"not a URL: {error}") from error


def require_ok(response: httpx.Response) -> None:
    """Raise GenomeError unless the status is 200: `http_404` where the server has no such thing, else `http_error`."""
    if response.status_code == 200:
        return
    reason = Reason.HTTP_404 if response.status_code in (404, 410) else Reason.HTTP_ERROR
    raise GenomeError(reason, f"{without_secrets(str(response.url))}: status {response.status_code}")


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, in seconds or as a date (RFC 9110, 10.2.3); None if unreadable."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _log_try(url: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    detail = error.detail if isinstance(error, HealableError) else error
    wait = state.next_action.sleep if state.next_action else 0.0
    logger.warning("%s: %s; try %d follows in %.1f s", without_secrets(url), detail, state.attempt_number + 1, wait)
