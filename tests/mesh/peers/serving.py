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
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path

import grpc
import uvicorn

RECEIVED = 'attache_mesh.received'
"""Key of the ASGI scope, and of the SDK's call context, that holds what `received` returns."""

CALL: ContextVar[dict] = ContextVar('call')
"""The same of the gRPC call that is being answered."""


def arguments(description: str) -> argparse.Namespace:
    """Reads `--port`, `--url-file`, `--sample`, `--layouts`, and what a token must be if there is an `--issuer`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--port', type=int, default=0)
    parser.add_argument(
        '--url-file',
        type=Path,
        help='holds the public URL that the card states; read at each request for the card',
    )
    parser.add_argument(
        '--sample',
        action='store_true',
        help="the paths of the SDK's own sample: JSON-RPC and HTTP+JSON below /a2a, the card at the root",
    )
    parser.add_argument(
        '--layouts', action='store_true', help='0.3: agents in the layouts of frameworks, in place of the one at the root'
    )
    parser.add_argument('--issuer', help='whose JWT access tokens are wanted; their subject is told in the echo')
    parser.add_argument('--audience', help='what they must be for')
    parser.add_argument('--jwks', metavar='URL', help='where their keys are, in place of /jwks of the issuer')
    parser.add_argument('--scope', default='', help='scopes that they must have')
    args = parser.parse_args()
    if bool(args.issuer) != bool(args.audience):
        parser.error('--issuer and --audience belong together')
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    args.listener = socket.create_server(('127.0.0.1', args.port))
    args.own_url = f'http://127.0.0.1:{args.listener.getsockname()[1]}'
    return args


def public_url(args: argparse.Namespace) -> str:
    """The URL the card states now: that of the file, else the agent's own."""
    if args.url_file is None or not args.url_file.exists():
        return args.own_url
    return args.url_file.read_text().strip() or args.own_url


def gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Headers by name; a repeated one has a list of values."""
    headers: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if name not in headers:
            headers[name] = value
        elif isinstance(headers[name], list):
            headers[name].append(value)
        else:
            headers[name] = [headers[name], value]
    return headers


def received(scope: dict) -> dict:
    """The request as it arrived: method, path with query, headers."""
    headers = gathered((name.decode('latin-1'), value.decode('latin-1')) for name, value in scope['headers'])
    path = scope['raw_path'].decode('latin-1')
    query = scope['query_string'].decode('latin-1')
    return {'method': scope['method'], 'path': f'{path}?{query}' if query else path, 'headers': headers}


def received_call(details: grpc.HandlerCallDetails) -> dict:
    """A gRPC call in the same shape; its headers are the metadata, without what HTTP/2 itself has."""
    metadata = (
        (name, value if isinstance(value, str) else value.hex())
        for name, value in details.invocation_metadata
    )
    return {'method': 'POST', 'path': details.method, 'headers': gathered(metadata)}


def echo(agent: str, text: str, request: dict, **understood: str) -> str:
    """The answer of every agent: who answers, what was asked, the request as it arrived, whose token it showed if the agent wants one,
    and what the SDK understood of it."""
    shown = {name: request[name] for name in ('subject', 'client', 'scope') if name in request}
    return json.dumps(
        {'agent': agent, 'text': text, 'headers': request['headers'], 'path': request['path'], **shown, **understood}
    )


def link_of(text: str) -> str | None:
    """The link that an agent is told to give to whom it asks for credentials: what follows `auth ` in a message."""
    return text.removeprefix('auth ') if text.startswith('auth ') else None


REFUSE = '/control/refuse'
"""Where an agent with `--issuer` is told to refuse tokens."""

SAYS = 'x-agent-says'
"""A request with this header, the code of an error over JSON-RPC, is answered with that error."""

STREAMS = ('on_message_send_stream', 'on_subscribe_to_task', 'on_resubscribe_to_task')


def bidden(handler, error: Callable[[int], Exception]):
    """The SDK's `handler`, which raises what `error` makes of the code where a request asks for it. How that is said to the client is
    the SDK's own affair."""

    def check(given: tuple, named: dict) -> None:
        context = named.get('context') or given[-1]
        code = context.state.get(RECEIVED, {}).get('headers', {}).get(SAYS)
        if code:
            raise error(int(code))

    def call(method):
        async def checked(*given, **named):
            check(given, named)
            return await method(*given, **named)

        return checked

    def stream(method):
        async def checked(*given, **named):
            check(given, named)
            async for event in method(*given, **named):
                yield event

        return checked

    for name in dir(handler):
        if name.startswith('on_'):
            wrap = stream if name in STREAMS else call
            setattr(handler, name, wrap(getattr(handler, name)))
    return handler


class Recorder:
    """Notes every request before the agent sees it, and tells them at `GET /control/requests` (oldest first)."""

    def __init__(self, app, requests: deque):
        self.app = app
        self.requests = requests

    async def __call__(self, scope, receive, send):
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
        elif scope['path'] == '/control/requests':
            await self._tell(send)
        elif scope['path'] == REFUSE:
            await self.app(scope, receive, send)
        else:
            scope[RECEIVED] = received(scope)
            self.requests.append(scope[RECEIVED])
            await self.app(scope, receive, send)

    async def _tell(self, send):
        body = json.dumps({'requests': list(self.requests)}).encode()
        headers = [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
        await send({'type': 'http.response.body', 'body': body})


class CallRecorder(grpc.aio.ServerInterceptor):
    """The same for gRPC; the call is in `CALL` while it is answered."""

    def __init__(self, requests: deque):
        self.requests = requests

    async def intercept_service(self, continuation, handler_call_details):
        call = received_call(handler_call_details)
        self.requests.append(call)
        CALL.set(call)
        return await continuation(handler_call_details)


class Server(uvicorn.Server):
    """Says when it listens, and on which ports."""

    def __init__(self, config: uvicorn.Config, more_ports: dict[str, int]):
        super().__init__(config)
        self._more_ports = more_ports

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        if self.started:
            ports = {'port': sockets[0].getsockname()[1], **self._more_ports}
            print('READY', json.dumps(ports, separators=(',', ':')), flush=True)


def serve(
    app, args: argparse.Namespace, add_service: Callable[[grpc.aio.Server], None] | None = None
) -> None:
    """Listens until SIGTERM; a stream that is still open then is cut.

    With `add_service` it also listens for gRPC, on a free port.
    """
    requests = deque(maxlen=1000)
    interceptors: list[grpc.aio.ServerInterceptor] = [CallRecorder(requests)]
    if args.issuer:
        # Only here: the others should not wait until it is loaded.
        from bearer import CallTokenRequired, TokenRequired, Tokens

        tokens = Tokens(args)
        app = TokenRequired(app, tokens, RECEIVED, REFUSE)
        interceptors.append(CallTokenRequired(tokens, CALL))
    # An idle connection stays: one that is closed just when Envoy uses it again fails a request.
    config = uvicorn.Config(
        Recorder(app, requests),
        log_level='warning',
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=600,
    )

    async def run() -> None:
        if add_service is None:
            return await Server(config, {}).serve(sockets=[args.listener])
        calls = grpc.aio.server(interceptors=interceptors)
        add_service(calls)
        port = calls.add_insecure_port('127.0.0.1:0')
        await calls.start()
        await Server(config, {'grpc_port': port}).serve(sockets=[args.listener])
        await calls.stop(grace=1)

    asyncio.run(run())
