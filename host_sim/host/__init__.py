"""A Proxy-Wasm host on wasmtime that treats modules as Envoy does.

```
host = Host("dist/tallyman.wasm")
plugin = host.load(configuration=b"...", name="tallyman")
with plugin.stream(properties={"source.address": "10.0.0.1:4711"}) as stream:
    outcome = stream.request_headers([(":method", "GET"), (":path", "/"), (":authority", "example.com")],
    end_of_stream=True) plugin.callouts[0].reply(answer.SerializeToString())
    stream.response_headers([(":status", "200")], end_of_stream=True)
host.clock.advance(1.0)
print(host.exposition())
```

From bottom to top: `engine` compiles; `binding` and `memory` are the cheap way in and out of an instance; `vm` is an
instance with its rules; `hostcalls` are the functions it may import; `contexts`, `stream` and `flow` are what these
act on; `plugin` and `host` are what a caller holds.
"""

from host_sim.host.abi import Action, FailurePolicy, LogLevel, MetricType, Status
from host_sim.host.callouts import Callout, CalloutFinished, CalloutState, GrpcCallout, GrpcStream, HttpCallout
from host_sim.host.clock import Clock, SystemClock, VirtualClock
from host_sim.host.contexts import LocalReply, LogRecord
from host_sim.host.engine import ModuleRejected
from host_sim.host.headers import HeaderMap
from host_sim.host.host import ConfigurationRefused, Host
from host_sim.host.hostcalls.general import ForeignFunctionFailed
from host_sim.host.metrics import Metric, Metrics, StatsTag
from host_sim.host.plugin import Plugin
from host_sim.host.stream import HttpStream, Outcome, StreamMisuse

__all__ = [
    "Action", "Callout", "CalloutFinished", "CalloutState", "Clock", "ConfigurationRefused", "FailurePolicy",
    "ForeignFunctionFailed", "GrpcCallout", "GrpcStream", "HeaderMap", "Host", "HttpCallout", "HttpStream",
    "LocalReply", "LogLevel", "LogRecord", "Metric", "MetricType", "Metrics", "ModuleRejected", "Outcome", "Plugin",
    "StatsTag", "Status", "StreamMisuse", "SystemClock", "VirtualClock",
]  # fmt: skip
