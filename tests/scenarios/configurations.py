"""Plugin configurations as Kuadrant writes them, to vary in scenarios."""

from typing import Any, Final

SCOPE: Final = "llm/llm-sim"
HITS: Final = {"expression": {"key": "ratelimit.hits_addend", "value": 'responseBodyJSON("/usage/total_tokens")'}}
NO_HITS: Final = {"expression": {"key": "ratelimit.hits_addend", "value": "0"}}
USER: Final = {"expression": {"key": "auth.identity.userid", "value": "auth.identity.userid"}}
LABELS: Final = {"metrics.labels.user": "auth.identity.userid", "metrics.labels.group": "auth.identity.group"}


def service(kind: str, failure_mode: str, timeout: str) -> dict[str, str]:
    cluster = "auth" if kind == "auth" else "ratelimit"
    return {"type": kind, "endpoint": f"kuadrant-{cluster}-service", "failureMode": failure_mode, "timeout": timeout}


def services(auth: str = "deny", limits: str = "allow") -> dict[str, dict[str, str]]:
    """The four services, with these failure modes."""
    return {
        "auth-service": service("auth", auth, "200ms"),
        "ratelimit-service": service("ratelimit", limits, "100ms"),
        "ratelimit-check-service": service("ratelimit-check", limits, "100ms"),
        "ratelimit-report-service": service("ratelimit-report", limits, "100ms"),
    }


def auth_action() -> dict[str, Any]:
    return {"service": "auth-service", "scope": "0123abcd"}


def limit_actions(limit: str, predicates: list[str], counter: dict[str, Any] = USER) -> list[dict[str, Any]]:
    """A token limit: a check before, a report after."""
    identifier = {"static": {"key": f"tokenlimit.{limit}", "value": "1"}}
    return [
        {
            "service": f"ratelimit-{kind}-service",
            "scope": SCOPE,
            "predicates": predicates,
            "conditionalData": [{"data": [identifier, counter, hits]}],
        }
        for kind, hits in (("check", NO_HITS), ("report", HITS))
    ]


def group(name: str) -> str:
    return f'auth.identity.group == "{name}"'


def configuration(
    actions: list[dict[str, Any]],
    *,
    auth: str = "deny",
    limits: str = "allow",
    labels: dict[str, str] | None = None,
    predicates: list[str] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """One action set for `llm.example.com`."""
    conditions = {"hostnames": ["llm.example.com"], "predicates": predicates or []}
    return {
        "services": services(auth, limits),
        "requestData": LABELS if labels is None else labels,
        "actionSets": [{"name": "chat", "routeRuleConditions": conditions, "actions": actions}],
        **members,
    }


def tutorial(**options: Any) -> dict[str, Any]:
    """Auth, then a limit for each group."""
    limits = [*limit_actions("free", [group("free")]), *limit_actions("gold", [group("gold")])]
    checks = [action for action in limits if "check" in action["service"]]
    reports = [action for action in limits if "report" in action["service"]]
    return configuration([auth_action(), *checks, *reports], **options)


IDENTITY: Final = {"identity": {"userid": "user-1", "group": "free"}}
