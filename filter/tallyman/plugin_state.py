"""What one plugin configuration has led to. Streams hold on to the one they began with."""

from typing import final

from proxywasm import RootContext

from tallyman.attributes import Sources
from tallyman.config.configuration import Configuration
from tallyman.metrics import Metrics
from tallyman.policy.blueprint import Blueprint
from tallyman.reports import Reporter
from tallyman.warnings_log import WarningLog


@final
class PluginState:
    """A compiled configuration with its metrics and its reporter. Raises `ConfigurationError`."""

    def __init__(self, root: RootContext, configuration: Configuration) -> None:
        self.root = root
        self.blueprint = Blueprint(configuration)
        environment = self.blueprint.environment
        self.host_slot = environment.slot(("request", "host"))
        self.sources = Sources(environment, configuration.options.identity_namespace)
        self.request_slots = self.sources.under("request")
        paths = environment.paths
        response_slots = self.sources.under("response")
        self.response_header_slots = [slot for slot in response_slots if paths[slot][1:2] == ("headers",)]
        self.response_slots = [slot for slot in response_slots if slot not in self.response_header_slots]
        self.auth_slots = self.sources.under("auth")
        self.body_slots = self.sources.under("responseBodyJSON")
        self.metrics = Metrics([label.name for label in configuration.labels], configuration.options.max_series)
        self.warnings = WarningLog(root)
        self.reporter = Reporter(root, self.metrics, self.warnings)
