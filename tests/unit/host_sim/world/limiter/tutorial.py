"""What the tests share: the tutorial's limits and requests, and a clock that only moves when told to."""

NAMESPACE = "llm/llm-sim"
FREE = "tokenlimit.free__cca14490"
GOLD = "tokenlimit.gold__8a3ba14b"

TUTORIAL = f"""
- namespace: {NAMESPACE}
  name: free
  max_value: 100
  seconds: 60
  conditions: ['descriptors[0]["{FREE}"] == "1"']
  variables: ['descriptors[0]["auth.identity.userid"]']
- namespace: {NAMESPACE}
  name: gold
  max_value: 500
  seconds: 60
  conditions: ['descriptors[0]["{GOLD}"] == "1"']
  variables: ['descriptors[0]["auth.identity.userid"]']
"""


class VirtualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def descriptors(identifier: str, user: str, group: str = "free") -> list[dict[str, str]]:
    """What the filter sends for one token limit: the limit's descriptor, and the one for metrics."""
    return [{identifier: "1", "auth.identity.userid": user}, {"user": user, "group": group}]
