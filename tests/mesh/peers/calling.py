"""What the Python clients share: their options, the HTTP client, and the one line they print.

Speaks no A2A: that is left to the SDK of each client.
"""

import argparse
import asyncio
import copy
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable

import grpc
import httpx
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2  # noqa: F401 (makes the details readable)
from google.rpc.status_pb2 import Status

OPERATIONS = (
    *('card', 'send', 'stream', 'get', 'cancel', 'subscribe', 'extended', 'list', 'list_all', 'pages'),
    *('push_send', 'push_set', 'push_get', 'push_list', 'push_delete', 'continue', 'continue_stream'),
)

HOOK = json.loads(os.environ.get('HOOK', '{"url": "https://hooks.example.com/x", "token": "for-the-hook"}'))
"""The push configuration of all four clients; it gets the id `inline` or `set`."""

POLL_SECONDS = 0.02


def arguments(description: str) -> argparse.Namespace:
    """Reads the options that all four clients have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--url', help='base of the agent; its card is looked up below')
    parser.add_argument('--token', help='bearer token, sent for the card and with each call')
    parser.add_argument('--header', action='append', default=[], metavar='NAME:VALUE')
    parser.add_argument('--binding', choices=('jsonrpc', 'http_json', 'grpc'), default='jsonrpc')
    parser.add_argument('--grpc-target', metavar='HOST:PORT', help='where to call for grpc; no card is looked up')
    parser.add_argument('--tenant', default='', help='tenant of the interface for grpc; only client_1_0.py knows it')
    parser.add_argument('--ops', default='send', help=f'comma separated, of {", ".join(OPERATIONS)}')
    parser.add_argument('--task', metavar='ID', help='what get, cancel, subscribe, push_ and continue are about, in place of a new one')
    parser.add_argument('--context', metavar='ID', help='whose tasks list lists, and where continue goes on, in place of the last one')
    parser.add_argument('--card-first', action='store_true', help='fetch the card before anything names a version')
    parser.add_argument('--card-path', metavar='PATH', help='where the card is below --url, in place of the well-known path')
    parser.add_argument('--text', default='hello', help='what send and stream say')
    parser.add_argument('--tries', metavar='JSON', help='a list of {op, …} that are done one by one, each by a client of its own')
    args = parser.parse_args()
    args.bend, args.parts, args.data = {}, 1, False
    if (args.grpc_target is None) == (args.binding == 'grpc') or (args.binding != 'grpc' and not args.url):
        parser.error('give --grpc-target for grpc, --url for the others')
    args.ops = args.ops.split(',')
    if unknown := set(args.ops) - set(OPERATIONS):
        parser.error(f'unknown operation: {", ".join(sorted(unknown))}')
    if args.binding == 'grpc' and 'card' in args.ops:
        parser.error('there is no card over grpc')
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    return args


class Refusal:
    """The last answer that was no success; the SDKs do not all keep its status and body."""

    status: int | None = None
    body: object = None

    def __init__(self) -> None:
        self.more: dict[str, object] = {}
        """The challenges of an answer, the details of a gRPC call: only where there are any."""

    async def note(self, response: httpx.Response) -> None:
        if not response.is_success:
            self.status = response.status_code
            if challenges := response.headers.get_list('www-authenticate'):
                self.more['challenge'] = ', '.join(challenges)
            try:
                self.body = json.loads(await response.aread())
            except ValueError:
                self.body = response.text

    def note_call(self, error: Exception) -> None:
        """The same of a gRPC call: `grpc-status` and `grpc-message`."""
        for cause in (error, error.__cause__):
            if isinstance(cause, grpc.aio.AioRpcError):
                self.status, self.body = cause.code().value[0], cause.details()
                for name, value in cause.trailing_metadata() or ():
                    if name == 'grpc-status-details-bin':
                        self.more['details'] = MessageToDict(Status.FromString(value)).get('details', [])


class Bending(httpx.AsyncHTTPTransport):
    """Sends requests otherwise than the SDK wrote them, but for those for cards: `args.bend` says how."""

    args: argparse.Namespace

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        bend = self.args.bend
        if bend and '.well-known' not in request.url.path:
            content = await request.aread()
            if 'members' in bend:
                body = json.loads(content)
                for (*path, last), value in bend['members']:
                    place = body
                    for name in path:
                        place = place[name]
                    place[last] = value
                content = json.dumps(body).encode()
            content += bend.get('append', '').encode()
            sent = httpx.Headers(request.headers)
            for name, value in bend.get('headers', {}).items():
                sent.pop(name, None)
                if value is not None:
                    sent[name] = value
            sent.pop('content-length', None)
            url = str(request.url).replace(*bend.get('path', ('', ''))) + bend.get('query', '')
            request = httpx.Request(
                *(bend.get('method', request.method), url), headers=sent, content=content, extensions=request.extensions
            )
        return await super().handle_async_request(request)


def headers(args: argparse.Namespace) -> list[tuple[str, str]]:
    """What every request carries besides the SDK's own headers."""
    pairs = [tuple(part.strip() for part in header.split(':', 1)) for header in args.header]
    if args.token:
        pairs.append(('Authorization', f'Bearer {args.token}'))
    return pairs


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds metadata to each call with one answer."""

    def __init__(self, metadata: list[tuple[str, str]], bend: dict):
        self._metadata = metadata
        self._bend = bend

    def _with(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        bent = self._bend.get('headers', {})
        kept = [(name, value) for name, value in details.metadata or () if name not in bent]
        more = [(name, value) for name, values in bent.items() for value in ([values] if isinstance(values, str) else values or [])]
        method = self._bend['grpc_method'].encode() if 'grpc_method' in self._bend else details.method
        return details._replace(method=method, metadata=grpc.aio.Metadata(*kept, *self._metadata, *more))

    async def intercept_unary_unary(self, continuation, client_call_details, request):
        return await continuation(self._with(client_call_details), request)


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    """Adds the same to each call with a stream of answers. gRPC takes one object for one of the two only."""

    def __init__(self, unary: _Unary):
        self._unary = unary

    async def intercept_unary_stream(self, continuation, client_call_details, request):
        return await continuation(self._unary._with(client_call_details), request)


def channels(args: argparse.Namespace) -> Callable[[str], grpc.aio.Channel]:
    """What makes channels to a target, in the clear, whose calls carry `headers` as metadata."""
    unary = _Unary([(name.lower(), value) for name, value in headers(args)], args.bend)
    compression = grpc.Compression.Gzip if args.bend.get('compress') else None
    return lambda target: grpc.aio.insecure_channel(
        target, interceptors=[unary, _Stream(unary)], compression=compression
    )


def answer(state: str | None, texts: list[str], **more) -> dict:
    """One result: the state of the task and the agent's last answer, which is JSON: a task that went on has several."""
    return {'state': state, 'echo': json.loads(texts[-1]) if texts else None, **more}


async def until(task: Callable[[], Awaitable], holds: Callable[[object], bool]) -> None:
    """Reads a task again and again until it is as it should be."""
    while not holds(await task()):
        await asyncio.sleep(POLL_SECONDS)


def told(error: Exception, refusal: Refusal) -> dict:
    """What stopped the SDK: its error, with the code that it has, and the answer behind it."""
    logging.getLogger('client').debug('stopped', exc_info=True)
    refusal.note_call(error)
    holders = (error, getattr(error, 'error', None), error.__cause__)
    codes = (getattr(holder, name, None) for name in ('code', 'status_code') for holder in holders)
    code = next((code for code in codes if code is not None), None)
    return {
        'ok': False,
        'error': f'{type(error).__name__}: {error}',
        'type': type(error).__name__,
        'code': code().value[0] if callable(code) else code,
        'status': refusal.status,
        'body': refusal.body,
        **refusal.more,
    }


async def one(args: argparse.Namespace, conversation: Callable[..., Awaitable[dict]]) -> dict:
    """One conversation: `conversation(args, http, results)` fills `results` by operation."""
    refusal, results = Refusal(), {}
    transport = Bending()
    transport.args = args
    try:
        async with httpx.AsyncClient(
            headers=headers(args), timeout=30, event_hooks={'response': [refusal.note]}, transport=transport
        ) as http:
            await conversation(args, http, results)
    except Exception as error:  # whatever stops the SDK is the result
        return {**told(error, refusal), 'results': results}
    return {'ok': True, 'results': results}


def run(args: argparse.Namespace, conversation: Callable[..., Awaitable[dict]]) -> None:
    """Prints the one line and exits."""

    async def talk() -> dict:
        if not args.tries:
            return await one(args, conversation)
        lines = []
        for attempt in json.loads(args.tries):
            trying = copy.copy(args)
            trying.ops = [attempt.pop('op')]
            vars(trying).update(attempt)
            lines.append(await one(trying, conversation))
        return {'ok': True, 'tries': lines}

    line = asyncio.run(talk())
    print(json.dumps(line), flush=True)
    sys.exit(0 if line['ok'] else 1)
