"""The simulator's Prometheus metrics, named as vLLM names them."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
_LABEL: Final = ("model_name",)
_LATENCY_BUCKETS: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
_FIRST_TOKEN_BUCKETS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
    640.0, 2560.0,
)  # fmt: skip


class Metrics:
    """What the simulator counts, for one model name; hand-over between tasks of one event loop only."""

    def __init__(self, model: str, max_model_len: int, adapters: tuple[str, ...], max_loras: int) -> None:
        self._registry = CollectorRegistry()
        buckets = _token_buckets(max_model_len)
        self._success = Counter(
            "vllm:request_success", "Requests answered.", (*_LABEL, "finish_reason"), registry=self._registry
        )
        self._model = model
        self.running = self._gauge("vllm:num_requests_running", "Requests that run.")
        self.waiting = self._gauge("vllm:num_requests_waiting", "Requests that wait.")
        self._gauge("vllm:kv_cache_usage_perc", "Share of the KV cache in use; always 0, as there is none.")
        self.prompt_tokens = Counter(
            "vllm:prompt_tokens", "Prompt tokens answered.", _LABEL, registry=self._registry
        ).labels(model)
        self.generation_tokens = Counter(
            "vllm:generation_tokens", "Tokens generated and sent.", _LABEL, registry=self._registry
        ).labels(model)
        self.first_token_seconds = self._histogram(
            "vllm:time_to_first_token_seconds", "Seconds to the first token.", _FIRST_TOKEN_BUCKETS
        )
        self.latency_seconds = self._histogram(
            "vllm:e2e_request_latency_seconds", "Seconds from request to end.", _LATENCY_BUCKETS
        )
        self.request_prompt_tokens = self._histogram(
            "vllm:request_prompt_tokens", "Prompt tokens of a request.", buckets
        )
        self.request_generation_tokens = self._histogram(
            "vllm:request_generation_tokens", "Tokens generated for a request.", buckets
        )
        self.request_max_tokens = self._histogram(
            "vllm:request_params_max_tokens", "The max_tokens of a request.", buckets
        )
        lora = Gauge(
            "vllm:lora_requests_info",
            "LoRA adapters served.",
            ("max_lora", "running_lora_adapters", "waiting_lora_adapters"),
            registry=self._registry,
        )
        lora.labels(str(max_loras), ",".join(adapters), "").set_to_current_time()

    def succeeded(self, finish_reason: str) -> None:
        self._success.labels(self._model, finish_reason).inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return generate_latest(_WithoutCreated(self._registry))

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, _LABEL, registry=self._registry).labels(self._model)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, documentation, _LABEL, buckets=buckets, registry=self._registry).labels(self._model)


class _WithoutCreated(CollectorRegistry):
    """A registry as seen by the text format, without the ``_created`` gauges that vLLM and Go do not show."""

    def __init__(self, registry: Collector) -> None:
        super().__init__()
        self._shown = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._shown.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _token_buckets(limit: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50 and so on up to *limit*."""
    buckets = []
    power = 1
    while power <= limit:
        buckets += [float(power * factor) for factor in (1, 2, 5) if power * factor <= limit]
        power *= 10
    return tuple(buckets)
