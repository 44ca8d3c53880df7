"""What the service counts, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32)


class Meters:
    """The counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fracture_requests", "Requests", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "fracture_request_seconds",
            "Seconds from a request's first byte to its answer",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._images = Counter(
            "fracture_images", "Frames that a model read", ("model",), registry=self._registry
        )
        self._batches = Histogram(
            "fracture_batch_requests",
            "Requests answered together",
            ("kind",),
            buckets=_SIZES,
            registry=self._registry,
        )
        self.restarts = Counter(
            "fracture_worker_restarts",
            "Workers started in the place of one that ended",
            registry=self._registry,
        )

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request by the route's path."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_batch(self, kind: str, model_id: str, requests: int, images: int) -> None:
        """Count requests that a worker answered together."""
        self._batches.labels(kind).observe(requests)
        self._images.labels(model_id).inc(images)

    def watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Have a gauge that is read whenever somebody asks for the text."""
        Gauge(name, what, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
