"""An external authorization service that answers as Authorino does to Kuadrant's AuthPolicies.

``envoy.service.auth.v3.Authorization/Check`` over gRPC, driven by the rules of AuthPolicies and by API keys in
Kubernetes Secrets. It takes API keys and anonymous access, Rego and pattern matching, and values that are static,
selected or computed by CEL; an AuthConfig that asks for more is not served.
"""

from host_sim.world.auth.rules import AuthConfig, AuthRules
from host_sim.world.auth.server import Faults, RunningAuth, serve
from host_sim.world.auth.service import AuthService

__all__ = ["AuthConfig", "AuthRules", "AuthService", "Faults", "RunningAuth", "serve"]
