"""What the Python agents share: their options, what they note of a request, and how they listen.

Speaks no A2A: that is left to the SDK of each agent.
"""

import argparse
import asyncio
import json
import logging
import socket
import sys
from collections import deque
from pathlib import Path

import uvicorn

RECEIVED = 'attache_mesh.received'
"""Key of the ASGI scope, and of the SDK's call context, that holds what `received` returns."""


def arguments(description: str) -> argparse.Namespace:
    """Reads `--port` and `--url-file`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--port', type=int, default=0)
    parser.add_argument(
        '--url-file',
        type=Path,
        help='holds the public URL that the card states; read at each request for the card',
    )
    args = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    args.listener = socket.create_server(('127.0.0.1', args.port))
    args.own_url = f'http://127.0.0.1:{args.listener.getsockname()[1]}'
    return args


def public_url(args: argparse.Namespace) -> str:
    """The URL the card states now: that of the file, else the agent's own."""
    if args.url_file is None or not args.url_file.exists():
        return args.own_url
    return args.url_file.read_text().strip() or args.own_url


def received(scope: dict) -> dict:
    """The request as it arrived: method, path with query, headers; a repeated header has a list of values."""
    headers: dict[str, str | list[str]] = {}
    for raw_name, raw_value in scope['headers']:
        name, value = raw_name.decode('latin-1'), raw_value.decode('latin-1')
        if name not in headers:
            headers[name] = value
        elif isinstance(headers[name], list):
            headers[name].append(value)
        else:
            headers[name] = [headers[name], value]
    path = scope['raw_path'].decode('latin-1')
    query = scope['query_string'].decode('latin-1')
    return {'method': scope['method'], 'path': f'{path}?{query}' if query else path, 'headers': headers}


def echo(agent: str, text: str, request: dict) -> str:
    """The answer of every agent: who answers, what was asked, and the request as it arrived."""
    return json.dumps({'agent': agent, 'text': text, 'headers': request['headers'], 'path': request['path']})


class Recorder:
    """Notes every request before the agent sees it, and tells them at `GET /control/requests` (oldest first)."""

    def __init__(self, app):
        self.app = app
        self.requests = deque(maxlen=1000)

    async def __call__(self, scope, receive, send):
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
        elif scope['path'] == '/control/requests':
            await self._tell(send)
        else:
            scope[RECEIVED] = received(scope)
            self.requests.append(scope[RECEIVED])
            await self.app(scope, receive, send)

    async def _tell(self, send):
        body = json.dumps({'requests': list(self.requests)}).encode()
        headers = [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
        await send({'type': 'http.response.body', 'body': body})


class _Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        if self.started:
            port = sockets[0].getsockname()[1]
            print('READY', json.dumps({'port': port}, separators=(',', ':')), flush=True)


def serve(app, args: argparse.Namespace) -> None:
    """Listens until SIGTERM; a stream that is still open then is cut."""
    config = uvicorn.Config(
        Recorder(app), log_level='warning', access_log=False, timeout_graceful_shutdown=1
    )
    asyncio.run(_Server(config).serve(sockets=[args.listener]))
