"""What one plugin configuration has led to. Streams hold on to the one they began with."""

from typing import final

from proxywasm import RootContext

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
        self.metrics = Metrics([label.name for label in configuration.labels], configuration.options.max_series)
        self.warnings = WarningLog(root)
        self.reporter = Reporter(root, self.metrics, self.warnings)
