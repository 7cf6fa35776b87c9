"""What anybody may ask of the service: how often, and how much at once."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

KNOWN: Final = 10_000  # callers that are remembered; whoever called longest ago is forgotten first


class RateLimit:
    """So many calls a minute for every caller, a minute's worth of them at once (a token bucket).

    >>> limit = RateLimit(60, clock=lambda: 0.0)
    >>> [limit.wait("ann") for _ in range(61)][-2:]
    [0.0, 1.0]
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._per_second, self._clock = max(1.0, per_minute), per_minute / 60, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, caller: str) -> float:
        """Count a call; returns 0, or in how many seconds the next is answered, where this one is not."""
        with self._lock:
            now = self._clock()
            left, at = self._left.pop(caller, (self._most, now))
            left = min(self._most, left + (now - at) * self._per_second)
            allowed = left >= 1
            self._left[caller] = (left - 1 if allowed else left), now
            if len(self._left) > KNOWN:
                self._left.popitem(last=False)
            return 0.0 if allowed else (1 - left) / self._per_second


class BodyLimit:
    """Refuses bodies of more than so many bytes with 413, also those that do not say how long they are (ASGI)."""

    def __init__(self, app: Any, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > self._most:
            await self._refuse(send)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the caller has gone
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most:
                await self._refuse(send)
                return
        whole: list[Any] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def held() -> Any:
            return whole.pop() if whole else await receive()

        await self._app(scope, held, send)

    async def _refuse(self, send: Any) -> None:
        detail = f"expected a body of at most {self._most:,} bytes, got more; send less at once"
        body = json.dumps({"detail": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})
