"""What a server measures of itself, for Prometheus: how much is asked and waiting, and how fast it is."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Seconds: from a fast step of a small model to what nobody waits for.
TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "groundup_requests", "Requests answered", ["path", "status"], registry=self.registry
        )
        self.prompt_tokens = Counter(
            "groundup_prompt_tokens", "Tokens of prompts", registry=self.registry
        )
        self.tokens = Counter(
            "groundup_generated_tokens", "Tokens that were made", registry=self.registry
        )
        self.first_token = Histogram(
            "groundup_time_to_first_token_seconds", "From the request to its first token",
            buckets=TIMES, registry=self.registry
        )  # fmt: skip
        self.between_tokens = Histogram(
            "groundup_time_per_token_seconds", "From one token of an answer to the next",
            buckets=TIMES, registry=self.registry
        )  # fmt: skip
        self.seconds = Histogram(
            "groundup_request_seconds", "From a request to the end of its answer", ["path"],
            buckets=TIMES, registry=self.registry
        )  # fmt: skip

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is looked up when somebody asks."""
        Gauge(f"groundup_{name}", about, registry=self.registry).set_function(value)

    def watch(self) -> "Watch":
        """For the tokens of one answer."""
        return Watch(self)

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)


class Watch:
    """Times the tokens of one answer."""

    def __init__(self, metrics: Metrics):
        self.metrics = metrics
        self.last = time.perf_counter()
        self.is_first = True

    def token(self) -> None:
        """One has come."""
        now = time.perf_counter()
        which = self.metrics.first_token if self.is_first else self.metrics.between_tokens
        which.observe(now - self.last)
        self.metrics.tokens.inc()
        self.is_first, self.last = False, now
