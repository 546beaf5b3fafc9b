"""How the Python agents post notifications: in plain HTTP to the Envoy at NOTIFY_PORT, whatever the URL. `docs/push-notifications.md`
shows the same.
"""

import os

import httpx


class Through(httpx.AsyncHTTPTransport):
    """Connects to Envoy; `Host` stays that of the URL."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme='http', host='127.0.0.1', port=int(os.environ['NOTIFY_PORT']))
        return await super().handle_async_request(request)


def through() -> httpx.AsyncHTTPTransport:
    """The transport of the SDK's client."""
    return Through()
