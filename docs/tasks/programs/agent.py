"""agent.py: an A2A 1.0 agent on the official SDK. It answers each message with its text, and with what came beside it: who called, and
which credentials. It never shows a key or a token, only what a token is for.

    python agent.py --port 9000 [--name Echo] [--path /agents/echo] [--rpc /a2a/jsonrpc] [--key KEY]

With --key it takes only calls whose x-api-key is KEY, as a partner's agent might.
"""

import argparse
import base64
import json

import uvicorn
from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse

arguments = argparse.ArgumentParser()
arguments.add_argument('--port', type=int, required=True)
arguments.add_argument('--name', default='Echo')
arguments.add_argument('--path', default='')
arguments.add_argument('--rpc', default='/a2a/jsonrpc')
arguments.add_argument('--key')
given = arguments.parse_args()
url = f'http://127.0.0.1:{given.port}{given.path}'


def token(value):
    """What the token in an Authorization header is for. Nothing here verifies it: that is the proxy's part."""
    claims = value.split('.')[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + '=' * (-len(claims) % 4)))
    return {name: claims[name] for name in ('aud', 'azp', 'client_id', 'name') if name in claims}


def beside(headers):
    """What of a request's headers the answer shows."""
    shown = {'x-attache': str, 'x-api-key': lambda key: 'the right key' if key == given.key else 'a key', 'authorization': token}
    return {name: show(headers[name]) for name, show in shown.items() if name in headers}


class Echo(AgentExecutor):
    async def execute(self, context, event_queue):
        told = beside(context.call_context.state['headers'])
        text = f'{given.name} heard: {context.get_user_input()}'
        await event_queue.enqueue_event(new_text_message(f'{text}; beside it: {told}' if told else text))

    async def cancel(self, context, event_queue):
        raise NotImplementedError


class Gate:
    """Takes only requests with the key, if there is one."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope['type'] == 'http' and given.key and dict(scope['headers']).get(b'x-api-key', b'').decode() != given.key:
            return await PlainTextResponse('Who are you?\n', status_code=401)(scope, receive, send)
        await self.app(scope, receive, send)


card = AgentCard(
    name=given.name,
    description='Says again what it hears.',
    version='1.0.0',
    supported_interfaces=[
        AgentInterface(url=f'{url}{given.rpc}', protocol_binding='JSONRPC', protocol_version='1.0'),
        AgentInterface(url=f'{url}/a2a/rest', protocol_binding='HTTP+JSON', protocol_version='1.0'),
    ],
    capabilities=AgentCapabilities(streaming=True),
    default_input_modes=['text/plain'],
    default_output_modes=['text/plain'],
    skills=[AgentSkill(id='echo', name='Echo', description='Says it again.', tags=['echo'])],
)
handler = DefaultRequestHandler(agent_executor=Echo(), task_store=InMemoryTaskStore(), agent_card=card)
routes = create_agent_card_routes(card, card_url=f'{given.path}/.well-known/agent-card.json')
routes += create_jsonrpc_routes(handler, rpc_url=f'{given.path}{given.rpc}')
routes += create_rest_routes(handler, path_prefix=f'{given.path}/a2a/rest')
uvicorn.run(Gate(Starlette(routes=routes)), host='127.0.0.1', port=given.port, log_level='warning')
