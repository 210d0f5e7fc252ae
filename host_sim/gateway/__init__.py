"""The local gateway: a real Envoy with the plugin, and the services around it, from Kuadrant's policies.

routes, http_filters, bootstrap   Envoy's configuration
processes, envoy_process   child processes
prometheus   the scrape configuration and the process
world   `LocalGateway`: all of it, started and stopped together
"""
