"""The plugin: reads its configuration and makes a context for each stream."""

from typing import final

from proxywasm import LogLevel, RootContext, StreamContext, register

from tallyman.config.configuration import read_configuration
from tallyman.config.document import ConfigurationError
from tallyman.plugin_state import PluginState
from tallyman.stream import Stream


@final
class Plugin(RootContext):
    """Root context of Tallyman."""

    def __init__(self, context_id: int) -> None:
        super().__init__(context_id)
        self._state: PluginState | None = None

    def on_configure(self, configuration: bytes) -> bool:
        """Take a new configuration. One that cannot be used is refused, and the one before stays at work."""
        try:
            read = read_configuration(configuration)
            state = PluginState(self, read)
        except ConfigurationError as error:
            self.log(LogLevel.ERROR, f"configuration refused: {error}")
            return False
        for warning in read.warnings:
            self.log(LogLevel.WARN, f"configuration: {warning}")
        self._state = state
        state.metrics.configs.increment()
        return True

    def create_stream(self, context_id: int) -> StreamContext:
        state = self._state
        if state is None:
            raise RuntimeError("a stream before the first configuration")
        return Stream(context_id, state)


register(Plugin)
