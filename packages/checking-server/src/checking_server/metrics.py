"""What this process counts and times, as Prometheus names and reads it. Nothing here is shared or kept: a process that
starts again begins at nothing, which is what those who read it expect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)

from checking_core.contracts import DetectionResult
from checking_core.errors import ConfigurationError

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LOOK_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_MESSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

_MOST_BACKENDS = 100
_OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


class Metrics:
    """Counters, times and gauges of one process, each told by whoever knows it.

    Attributes:
        registry: where they are; every name and its labels stand in docs/reference/metrics.md.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._configured: frozenset[str] = frozenset()
        self._backends: set[str] = set()
        self._count_requests()
        self._count_flow()
        self._gauge_store()

    def _count_requests(self) -> None:
        labels = ("method", "route", "status")
        self._requests = self._counter("http_requests", "Requests answered", *labels)
        self._request_seconds = self._histogram("http_request_duration", "Time to an answer", _SECONDS, *labels[:2])

    def _count_flow(self) -> None:
        self._batches = self._histogram("batch_messages", "Messages applied together", _MESSAGES, "queue", unit="")
        self._batch_seconds = self._histogram("batch_duration", "Time to apply them", _SECONDS, "queue")
        self._rejected = self._counter("messages_rejected", "Messages sent to the dead letters", "queue")
        self._sent = self._counter("tasks_sent", "Tasks given to the transport", "backend")
        self._returned = self._counter("tasks_returned", "Tasks that the transport did not take", "backend")
        self._looks = self._counter("looks", "Answers of backends, as they were judged", "backend", "outcome", "reason")
        self._look_seconds = self._histogram("look_duration", "Time of a look at a backend", _LOOK_SECONDS, "backend")
        self._retries = self._counter("look_retries", "Attempts that were repeated within a look", "backend")
        self._leases = self._counter("leases_expired", "Leases that ran out, by what became of them", "fate")

    def _gauge_store(self) -> None:
        self._up = self._gauge("up", "1 while this part answers", "part")
        self._checks = self._gauge("checks", "Checks stored", "backend", "status", "outcome")
        self._results = self._gauge("results", "Verdicts stored", "outcome", "reason")
        self._letters = self._gauge("dead_letters", "Dead letters stored, counted up to 10,000")
        self._waiting = self._gauge("queue_messages", "Messages that wait", "queue")
        self._consumers = self._gauge("queue_consumers", "Who reads the queue", "queue")

    def know(self, backends: Iterable[str]) -> None:
        """These are configured: however many names a sender makes up, they keep theirs."""
        self._configured = frozenset(backends)

    # --- told by the API -----------------------------------------------------------------------------------

    def request(self, method: str, route: str, status: int | None, seconds: float) -> None:
        """A request was answered; ``route`` is its pattern, not its path. Without a status its client was gone."""
        method = method if method in _METHODS else _OTHER
        self._requests.labels(method, route, str(status or "")).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    # --- told by the stations ------------------------------------------------------------------------------

    def batch(self, queue: str, messages: int, rejected: int, seconds: float) -> None:
        """A station has applied messages of a queue."""
        self._batches.labels(queue).observe(messages)
        self._batch_seconds.labels(queue).observe(seconds)
        self._rejected.labels(queue).inc(rejected)

    def task(self, backend: str, *, sent: bool) -> None:
        """A task was given to the transport, which took it or did not."""
        (self._sent if sent else self._returned).labels(self._known(backend)).inc()

    def look(self, backend: str, result: DetectionResult) -> None:
        """A look at a backend was applied."""
        backend = self._known(backend)
        self._looks.labels(backend, result.outcome, result.reason or "").inc()
        self._retries.labels(backend).inc(result.retry_count)
        if result.started_at is not None:
            took = (result.result_timestamp - result.started_at).total_seconds()
            self._look_seconds.labels(backend).observe(max(took, 0.0))

    def leases(self, fate: str, count: int) -> None:
        """Leases ran out, with this end."""
        self._leases.labels(fate).inc(count)

    # --- told when somebody reads --------------------------------------------------------------------------

    def up(self, part: str, *, answers: bool) -> None:
        """Whether a part that this process rests on answers."""
        self._up.labels(part).set(answers)

    def queue(self, name: str, waiting: int, consumers: int) -> None:
        """How a queue stands."""
        self._waiting.labels(name).set(waiting)
        self._consumers.labels(name).set(consumers)

    def stored_checks(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """How many checks there are of each kind, instead of what was told before."""
        self._checks.clear()
        for (backend, status, outcome), count in counts.items():
            self._checks.labels(self._known(backend), status, outcome).inc(count)

    def stored_results(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many verdicts there are of each kind, instead of what was told before."""
        self._results.clear()
        for (outcome, reason), count in counts.items():
            self._results.labels(outcome, reason).set(count)

    def stored_letters(self, count: int) -> None:
        """How many dead letters there are."""
        self._letters.set(count)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    @contextmanager
    def shown(self, host: str, port: int) -> Iterator[None]:
        """Show it on a port of its own while the block runs; on port 0 nowhere.

        Raises:
            ConfigurationError: the address is taken, or none of this machine.
        """
        if not port:
            yield
            return
        try:
            server, thread = start_http_server(port, host, self.registry)
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"CHECKING_METRICS_HOST and CHECKING_METRICS_PORT: no metrics on {host}:{port} ({error})"
            ) from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _known(self, backend: str) -> str:
        """The backend, or one word for what a sender of many names makes up: each would be kept for ever."""
        if backend in self._configured:
            return backend
        if len(self._backends) < _MOST_BACKENDS:
            self._backends.add(backend)
        return backend if backend in self._backends else _OTHER

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, namespace="checking", registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, namespace="checking", registry=self.registry)

    def _histogram(
        self, name: str, about: str, buckets: tuple[float, ...], *labels: str, unit: str = "seconds"
    ) -> Histogram:
        return Histogram(name, about, labels, namespace="checking", unit=unit, registry=self.registry, buckets=buckets)
