"""A closed-loop load: each connection sends a request as soon as the last one is answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import h11


@dataclass
class Load:
    """What a round has measured. Times in seconds."""

    requests: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Latency that `share` of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Request:
    """One HTTP/1.1 request, sent again and again."""

    method: str
    path: str
    host: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


async def run_load(port: int, request: Request, requests: int, connections: int) -> Load:
    """Send `requests` requests over `connections` keep-alive connections to a loopback port."""
    load = Load()
    left = requests

    async def connection() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        protocol = h11.Connection(h11.CLIENT)
        headers = [("host", request.host), ("content-length", str(len(request.body))), *request.headers]
        head = h11.Request(method=request.method, target=request.path, headers=headers)
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            data = protocol.send(head) or b""
            data += protocol.send(h11.Data(data=request.body)) or b"" if request.body else b""
            writer.write(data + (protocol.send(h11.EndOfMessage()) or b""))
            status = 0
            while True:
                event = protocol.next_event()
                if event is h11.NEED_DATA:
                    protocol.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.EndOfMessage):
                    break
                elif isinstance(event, h11.ConnectionClosed):
                    raise ConnectionError("the gateway closed a connection in the middle of a response")
            load.latencies.append(time.perf_counter() - begun)
            load.requests += 1
            load.statuses[status] = load.statuses.get(status, 0) + 1
            protocol.start_next_cycle()
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return load


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used (`/proc/[pid]/stat`, fields 14 and 15, in clock ticks of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
