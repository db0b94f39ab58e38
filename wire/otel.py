"""`--otel`: sets OpenTelemetry's SDK up as the standard `OTEL_*` variables say. Needs the extra `concord[otel]`.

Spans are sent by a thread of the SDK, in batches, from a queue that drops what does not fit; nothing waits for it.
"""

import importlib
import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import TracerProvider

from process.settings import SettingsError
from wire.tracing import Tracer

FLUSH_S_MAX = 3.0

_PROTOCOL = "http/protobuf"
_EXPORTERS = ("otlp", "console", "none")


class Otel:
    """The SDK of one process.

    Attributes:
        tracer: makes the spans that it sends.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.tracer = Tracer(provider)

    def close(self) -> None:
        """Send what is left; gives up after FLUSH_S_MAX, so that a collector that is away does not hold the process."""
        last = threading.Thread(target=getattr(self._provider, "shutdown"), daemon=True)  # noqa: B009 - the API's type has none
        last.start()
        last.join(FLUSH_S_MAX)


def set_up(process: str, name: str, environ: Mapping[str, str]) -> Otel:
    """Make the SDK ready to send.

    The SDK reads its variables by itself (service name, sampler, endpoint, headers, limits); the ones looked at here are those
    that say what it cannot do in this build.

    Args:
        process: `node` or `gateway`; the service is `concord-<process>` unless OTEL_SERVICE_NAME says another.
        name: which one: the service's instance id.
        environ: the environment.

    Raises:
        SettingsError: the extra is not installed, or a variable asks for what is not there.
    """
    kind = environ.get("OTEL_TRACES_EXPORTER") or _EXPORTERS[0]
    if kind not in _EXPORTERS:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {kind!r} is not allowed: expected {', '.join(_EXPORTERS)}")
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", _PROTOCOL):
        raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not allowed: expected {_PROTOCOL}")
    try:
        sdk = _load("opentelemetry.sdk.trace")
        export = _load("opentelemetry.sdk.trace.export")
        resources = _load("opentelemetry.sdk.resources")
        otlp = _load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise SettingsError(
            f"--otel needs OpenTelemetry's SDK and its exporter, which are not installed ({error.name}): "
            "install concord[otel] beside concord[server]"
        ) from error
    resource = resources.Resource.create(
        {
            "service.name": environ.get("OTEL_SERVICE_NAME") or f"concord-{process}",
            "service.namespace": "concord",
            "service.instance.id": name,
        }
    )
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    if kind == "otlp":
        provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    elif kind == "console":
        provider.add_span_processor(export.SimpleSpanProcessor(export.ConsoleSpanExporter()))
    return Otel(provider)


def _load(module: str) -> Any:  # noqa: ANN401 - an optional package, typed by what is asked of it
    return importlib.import_module(module)
