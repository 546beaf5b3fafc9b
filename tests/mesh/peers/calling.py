"""What the Python clients share: their options, the HTTP client, and the one line they print.

Speaks no A2A: that is left to the SDK of each client.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable

import httpx

OPERATIONS = ('card', 'send', 'stream', 'get', 'cancel', 'subscribe')


def arguments(description: str) -> argparse.Namespace:
    """Reads the options that all four clients have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--url', required=True, help='base of the agent; its card is looked up below')
    parser.add_argument('--token', help='bearer token, sent for the card and with each call')
    parser.add_argument('--header', action='append', default=[], metavar='NAME:VALUE')
    parser.add_argument('--binding', choices=('jsonrpc', 'http_json'), default='jsonrpc')
    parser.add_argument('--ops', default='send', help=f'comma separated, of {", ".join(OPERATIONS)}')
    parser.add_argument('--text', default='hello', help='what send and stream say')
    args = parser.parse_args()
    args.ops = args.ops.split(',')
    if unknown := set(args.ops) - set(OPERATIONS):
        parser.error(f'unknown operation: {", ".join(sorted(unknown))}')
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    return args


class Refusal:
    """The last HTTP answer that was no success; the SDKs do not all keep its status and body."""

    status: int | None = None
    body: object = None

    async def note(self, response: httpx.Response) -> None:
        if not response.is_success:
            self.status = response.status_code
            try:
                self.body = json.loads(await response.aread())
            except ValueError:
                self.body = response.text


def answer(state: str | None, texts: list[str], **more) -> dict:
    """One result: the state of the task and the agent's answer, which is JSON."""
    return {'state': state, 'echo': json.loads(''.join(texts)) if texts else None, **more}


def run(args: argparse.Namespace, conversation: Callable[..., Awaitable[dict]]) -> None:
    """Prints the one line and exits. `conversation(args, http, results)` fills `results` by operation."""
    refusal, results = Refusal(), {}

    async def talk() -> None:
        headers = [tuple(part.strip() for part in header.split(':', 1)) for header in args.header]
        if args.token:
            headers.append(('Authorization', f'Bearer {args.token}'))
        async with httpx.AsyncClient(
            headers=headers, timeout=30, event_hooks={'response': [refusal.note]}
        ) as http:
            await conversation(args, http, results)

    line = {'ok': True, 'results': results}
    try:
        asyncio.run(talk())
    except Exception as error:  # whatever stops the SDK is the result
        logging.getLogger('client').debug('stopped', exc_info=True)
        line = {
            'ok': False,
            'error': f'{type(error).__name__}: {error}',
            'status': refusal.status,
            'body': refusal.body,
            'results': results,
        }
    print(json.dumps(line), flush=True)
    sys.exit(0 if line['ok'] else 1)
