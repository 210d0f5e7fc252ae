"""A configuration compiled: everything that can be decided before the first request has been."""

from typing import Final, final

from tallyman.cel.environment import Environment
from tallyman.config.configuration import AUTH, Configuration, Service
from tallyman.policy.auth import AuthAction
from tallyman.policy.hosts import HostIndex
from tallyman.policy.predicates import Conjunction, PredicateTable
from tallyman.policy.rate_limit import LabelSet, RateLimitAction
from tallyman.usage.wanted import WantedMembers

MODEL_POINTER: Final = "/model"

REQUEST_ROOTS: Final = ("request", "source", "destination", "connection")
"""Attributes that have to be read before the request goes on."""


@final
class Step:
    """An action before the response: one of `auth` and `limit` is set."""

    def __init__(self, service: Service, auth: AuthAction | None, limit: RateLimitAction | None) -> None:
        self.service = service
        self.auth = auth
        self.limit = limit


@final
class CompiledActionSet:
    """An action set: the calls before the request goes on, in order, and the reports after the response.

    `prefetch` are attributes of the request that only reports and labels read: a host no longer tells them once the
    request has gone on.
    """

    def __init__(
        self,
        name: str,
        predicates: Conjunction,
        steps: list[Step],
        reports: list[RateLimitAction],
        prefetch: list[int],
    ) -> None:
        self.name = name
        self.predicates = predicates
        self.steps = steps
        self.reports = reports
        self.prefetch = prefetch
        limits = [step.limit for step in steps if step.limit is not None] + reports
        self.route = limits[0].scope if limits else name
        """The route as metrics name it: the scope of the set's limits, else its own name."""


@final
class Blueprint:
    """All action sets by host, with what they share. Raises `ConfigurationError`."""

    def __init__(self, configuration: Configuration) -> None:
        self.environment = Environment()
        self.table = PredicateTable(self.environment)
        self.options = configuration.options
        self.labels = LabelSet(self.environment, configuration.labels)
        self.hosts: HostIndex[CompiledActionSet] = HostIndex()
        for action_set in configuration.action_sets:
            steps: list[Step] = []
            reports: list[RateLimitAction] = []
            for action in action_set.actions:
                if action.service.kind == AUTH:
                    auth = AuthAction(self.table, action, configuration.labels)
                    steps.append(Step(action.service, auth, None))
                    continue
                limit = RateLimitAction(self.table, action)
                if limit.is_report:
                    reports.append(limit)
                else:
                    steps.append(Step(action.service, None, limit))
            predicates = self.table.conjunction(action_set.predicates)
            compiled = CompiledActionSet(action_set.name, predicates, steps, reports, self._prefetch(reports))
            for hostname in action_set.hostnames:
                self.hosts.add(hostname, compiled)
        self.wanted = self._wanted()

    def _prefetch(self, reports: list[RateLimitAction]) -> list[int]:
        slots = {slot for label in self.labels.labels for slot in label.text.slots}
        for report in reports:
            slots |= report.slots(self.table)
        return sorted([slot for slot in slots if self.environment.paths[slot][0] in REQUEST_ROOTS])

    def _wanted(self) -> WantedMembers:
        """What expressions read of response bodies, and the model."""
        pointers = [path[1] for path in self.environment.paths if path[0] == "responseBodyJSON" and len(path) == 2]
        return WantedMembers([*pointers, MODEL_POINTER])
