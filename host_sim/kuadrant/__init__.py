"""Gateway API resources and Kuadrant policies, read from YAML and translated as Kuadrant's operator does.

`load_resources` reads, `translate` makes the plugin configuration, Limitador's limits, AuthConfigs and backends.

    manifest, kustomization   YAML with line numbers; which files, which namespace
    objects, gateway_api, policies   the kinds, as typed models
    resources   the set of objects
    topology   the ways of a request, and the policies in force on each
    plugin_configuration, limits, auth_configs, workloads   the four outputs
"""

from host_sim.kuadrant.diagnostics import ManifestError, Notice
from host_sim.kuadrant.resources import Resources, load_resources
from host_sim.kuadrant.topology import GatewayMissing
from host_sim.kuadrant.translation import Translation, translate

__all__ = ["GatewayMissing", "ManifestError", "Notice", "Resources", "Translation", "load_resources", "translate"]
