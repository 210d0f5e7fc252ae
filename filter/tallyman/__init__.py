"""The filter: meters and limits LLM tokens. Reaches the host through `proxywasm` only."""
