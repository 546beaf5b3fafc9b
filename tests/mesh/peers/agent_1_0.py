"""An A2A 1.0 agent on the official SDK that echoes each request, over JSON-RPC at `/`, HTTP+JSON beside it
and gRPC on a port of its own.

    python agent_1_0.py [--port N] [--url-file F] [--sample] [--issuer URL --audience URL [--jwks URL] [--scope S]]

A message that begins with `wait` leaves its task working until it is cancelled; the agent says every
REPORT_SECONDS that it still works, so that who subscribes to the task hears of it. One that begins with `auth`
leaves it waiting for credentials; what follows `auth ` is a link that the status message has as text and as data.

With `--issuer` it is the agent of a partner who has users: it wants their access tokens, and its echo says whose it got (`bearer.py`).
"""

import asyncio
from argparse import Namespace
from collections.abc import Callable

from a2a.helpers import new_data_part, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.request_handlers.grpc_handler import DefaultGrpcServerCallContextBuilder
from a2a.server.routes import (
    DefaultServerCallContextBuilder,
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from a2a.types.a2a_pb2_grpc import add_A2AServiceServicer_to_server
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP
from starlette.applications import Starlette

from serving import CALL, RECEIVED, arguments, bidden, echo, link_of, public_url, serve

REPORT_SECONDS = 0.25


class Echo(AgentExecutor):
    """Answers with one artifact that holds the request as it arrived."""

    def __init__(self, agent: str):
        self._agent = agent

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = context.current_task
        if task is None:
            task = new_task_from_user_message(context.message)
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        text = context.get_user_input()
        answer = echo(self._agent, text, context.call_context.state[RECEIVED], tenant=context.tenant)
        await updater.add_artifact([new_text_part(answer)], name='echo', last_chunk=True)
        while text.startswith('wait'):  # until the SDK cancels this coroutine with the task
            await asyncio.sleep(REPORT_SECONDS)
            await updater.start_work()
        if text.startswith('auth'):
            link = link_of(text)
            parts = [new_text_part(f'Open {link} first.'), new_data_part({'link': link})] if link else []
            await updater.requires_auth(updater.new_agent_message(parts) if link else None)
            return
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


class CallContexts(DefaultServerCallContextBuilder):
    """Hands the request as it arrived to the executor."""

    def build(self, request):
        context = super().build(request)
        context.state[RECEIVED] = request.scope[RECEIVED]
        return context


class GrpcCallContexts(DefaultGrpcServerCallContextBuilder):
    """The same for gRPC."""

    def build(self, context):
        call_context = super().build(context)
        call_context.state[RECEIVED] = CALL.get()
        return call_context


PATHS = {'JSONRPC': '', 'HTTP+JSON': ''}
"""Where the bindings are."""

SAMPLE = {'JSONRPC': '/a2a/jsonrpc', 'HTTP+JSON': '/a2a/rest'}
"""Where the SDK's own sample (samples/hello_world_agent.py) has them."""


def interfaces(url: str) -> list[AgentInterface]:
    """Both bindings below `url`."""
    return [
        AgentInterface(url=url + path, protocol_binding=binding, protocol_version='1.0')
        for binding, path in PATHS.items()
    ]


def expense_card(url: str) -> AgentCard:
    """The card that states `url` for both bindings."""
    return AgentCard(
        supported_interfaces=interfaces(url),
        name='Expense agent',
        description='Files and explains expense reports.',
        version='1.0.0',
        capabilities=AgentCapabilities(
            streaming=True, push_notifications=True, extended_agent_card=True
        ),
        default_input_modes=['text/plain'],
        default_output_modes=['text/plain'],
        security_schemes={
            'bearer': SecurityScheme(
                http_auth_security_scheme=HTTPAuthSecurityScheme(scheme='Bearer', bearer_format='JWT')
            )
        },
        security_requirements=[SecurityRequirement(schemes={'bearer': StringList()})],
        skills=[
            AgentSkill(
                id='submit',
                name='Submit an expense',
                description='Records an expense and says what was recorded.',
                tags=['expense'],
                examples=['Taxi to the airport, 42 EUR'],
            )
        ],
    )


def extended_card(url: str) -> AgentCard:
    """The card for callers that the agent knows: one more skill."""
    card = expense_card(url)
    card.skills.add(
        id='audit',
        name='Audit the expenses',
        description='Lists what was recorded for a department.',
        tags=['expense'],
    )
    return card


def request_handler(
    agent: str, card: AgentCard, args: Namespace, extended: Callable[[str], AgentCard] | None = None
) -> DefaultRequestHandler:
    """What answers all bindings of one echo agent; `extended` makes its extended card for a URL.

    Push configurations are kept, and nothing is ever sent to their URLs.
    """

    async def with_url(_card: AgentCard, _context) -> AgentCard:
        return extended(public_url(args))

    return DefaultRequestHandler(
        agent_executor=Echo(agent),
        task_store=InMemoryTaskStore(),
        agent_card=card,
        push_config_store=InMemoryPushNotificationConfigStore(),
        extended_agent_card=extended and extended(args.own_url),
        extended_card_modifier=extended and with_url,
    )


def application(
    handler: DefaultRequestHandler, describe: Callable[[str], AgentCard], args: Namespace
) -> Starlette:
    """The card, JSON-RPC and HTTP+JSON of an agent; `describe` makes the card for a URL."""

    async def with_url(_card: AgentCard) -> AgentCard:
        return describe(public_url(args))

    contexts = CallContexts()
    return Starlette(
        routes=[
            *create_agent_card_routes(describe(args.own_url), card_modifier=with_url),
            *create_jsonrpc_routes(handler, rpc_url=PATHS['JSONRPC'] or '/', context_builder=contexts),
            *create_rest_routes(handler, context_builder=contexts, path_prefix=PATHS['HTTP+JSON']),
        ]
    )


if __name__ == '__main__':
    args = arguments(__doc__)
    if args.sample:
        PATHS.update(SAMPLE)
    errors = {code: kind for kind, code in JSON_RPC_ERROR_CODE_MAP.items()}
    handler = request_handler('1.0', expense_card(args.own_url), args, extended_card)
    handler = bidden(handler, lambda code: errors[code]())
    calls = GrpcHandler(handler, context_builder=GrpcCallContexts())
    serve(
        application(handler, expense_card, args),
        args,
        lambda server: add_A2AServiceServicer_to_server(calls, server),
    )
