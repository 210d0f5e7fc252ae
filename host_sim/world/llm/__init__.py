"""An OpenAI-compatible LLM simulator that answers as llm-d-inference-sim does, and keeps a ledger of its tokens.

``GET /v1/models``, ``POST /v1/chat/completions``, ``POST /v1/completions`` (plain and streamed), ``GET /health``,
``/ready``, ``/metrics``, and our own ``GET /ledger``: every token answered, per API key, keys masked.
"""

from host_sim.world.llm.command import main
from host_sim.world.llm.config import SimulatorConfig, parse_config
from host_sim.world.llm.ledger import Account, Ledger
from host_sim.world.llm.override import ResponseOverride
from host_sim.world.llm.server import RunningSimulator, Simulator, serve

__all__ = [
    "Account",
    "Ledger",
    "ResponseOverride",
    "RunningSimulator",
    "Simulator",
    "SimulatorConfig",
    "main",
    "parse_config",
    "serve",
]
