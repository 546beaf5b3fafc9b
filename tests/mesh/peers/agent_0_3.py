"""An A2A 0.3 agent on the official SDK that echoes each request, over JSON-RPC at `/`, HTTP+JSON at `/v1/`
and gRPC on a port of its own.

    python agent_0_3.py [--port N] [--url-file F] [--issuer URL --audience URL [--jwks URL] [--scope S]]

A message that begins with `wait` leaves its task working until it is cancelled; the agent says every
REPORT_SECONDS that it still works, so that who subscribes to the task hears of it. One that begins with `auth`
leaves it waiting for credentials; what follows `auth ` is a link that the status message has as text and as data.

With `--issuer` it is the agent of a partner who has users: it wants their access tokens, and its echo says whose it got (`bearer.py`).
"""

import asyncio

from a2a.grpc.a2a_pb2_grpc import add_A2AServiceServicer_to_server
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.apps.jsonrpc.jsonrpc_app import DefaultCallContextBuilder
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.request_handlers.grpc_handler import DefaultCallContextBuilder as GrpcContextBuilder
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    ContentTypeNotSupportedError,
    DataPart,
    HTTPAuthSecurityScheme,
    InvalidParamsError,
    InvalidRequestError,
    JSONParseError,
    MethodNotFoundError,
    Part,
    PushNotificationNotSupportedError,
    SecurityScheme,
    TaskNotFoundError,
    TextPart,
    TransportProtocol,
    UnsupportedOperationError,
)
from a2a.utils import new_task
from a2a.utils.errors import ServerError

from serving import CALL, RECEIVED, arguments, bidden, echo, link_of, public_url, serve

REPORT_SECONDS = 0.25


class Echo(AgentExecutor):
    """Answers with one artifact that holds the request as it arrived."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = context.current_task
        if task is None:
            task = new_task(context.message)
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        text = context.get_user_input()
        answer = echo('0.3', text, context.call_context.state[RECEIVED])
        await updater.add_artifact([Part(root=TextPart(text=answer))], name='echo', last_chunk=True)
        while text.startswith('wait'):  # until the SDK cancels this coroutine with the task
            await asyncio.sleep(REPORT_SECONDS)
            await updater.start_work()
        if text.startswith('auth'):
            link = link_of(text)
            parts = [Part(root=TextPart(text=f'Open {link} first.')), Part(root=DataPart(data={'link': link}))]
            await updater.requires_auth(updater.new_agent_message(parts) if link else None)
            return
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


class CallContexts(DefaultCallContextBuilder):
    """Hands the request as it arrived to the executor."""

    def build(self, request):
        context = super().build(request)
        context.state[RECEIVED] = request.scope[RECEIVED]
        return context


class GrpcCallContexts(GrpcContextBuilder):
    """The same for gRPC."""

    def build(self, context):
        call_context = super().build(context)
        call_context.state[RECEIVED] = CALL.get()
        return call_context


def expense_card(url: str) -> AgentCard:
    """The card that states `url` for both bindings."""
    return AgentCard(
        name='Expense agent',
        description='Files and explains expense reports.',
        version='1.0.0',
        protocol_version='0.3.0',
        url=url,
        preferred_transport=TransportProtocol.jsonrpc,
        additional_interfaces=[
            AgentInterface(url=url, transport=TransportProtocol.jsonrpc),
            AgentInterface(url=url, transport=TransportProtocol.http_json),
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True),
        supports_authenticated_extended_card=True,
        default_input_modes=['text/plain'],
        default_output_modes=['text/plain'],
        security_schemes={
            'bearer': SecurityScheme(root=HTTPAuthSecurityScheme(scheme='Bearer', bearer_format='JWT'))
        },
        security=[{'bearer': []}],
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
    card.skills.append(
        AgentSkill(
            id='audit',
            name='Audit the expenses',
            description='Lists what was recorded for a department.',
            tags=['expense'],
        )
    )
    return card


def application(handler: DefaultRequestHandler, card: AgentCard, args):
    """The card, JSON-RPC and HTTP+JSON of the agent."""
    if args.layouts:
        return layouts(handler)
    served = {
        'agent_card': card,
        'http_handler': handler,
        'context_builder': CallContexts(),
        'card_modifier': lambda _plain: expense_card(public_url(args)),
        'extended_agent_card': extended_card(args.own_url),
        'extended_card_modifier': lambda _plain, _context: extended_card(public_url(args)),
    }
    app = A2ARESTFastAPIApplication(**served).build()
    A2AStarletteApplication(**served).add_routes_to_app(app)
    return app


def layouts(handler: DefaultRequestHandler):
    """Two agents in one server. Kagent's: JSON-RPC at a path with a slash at its end, the card at the path of 0.2. Vertex's:
    HTTP+JSON alone, the card at its route for known callers."""

    def described(path: str, transport: TransportProtocol) -> dict:
        card = expense_card(args.own_url + path)
        card.preferred_transport, card.additional_interfaces = transport, None
        return {'agent_card': card, 'http_handler': handler, 'context_builder': CallContexts()}

    kagent, vertex = '/api/a2a/ns/agent/', '/a2a'
    served = described(vertex, TransportProtocol.http_json)
    served['extended_agent_card'] = served['agent_card']
    vertex_app = A2ARESTFastAPIApplication(**served).build(
        agent_card_url='/nowhere', redirect_slashes=False
    )
    app = A2AStarletteApplication(**described(kagent, TransportProtocol.jsonrpc)).build(
        agent_card_url=f'{kagent}.well-known/agent.json', rpc_url=kagent
    )
    app.router.redirect_slashes = False
    app.mount(vertex, vertex_app)
    return app


ERRORS = {
    kind().code: kind
    for kind in (
        *(ContentTypeNotSupportedError, InvalidParamsError, InvalidRequestError, JSONParseError, MethodNotFoundError),
        *(PushNotificationNotSupportedError, TaskNotFoundError, UnsupportedOperationError),
    )
}
"""The errors of 0.3 by their codes."""


if __name__ == '__main__':
    args = arguments(__doc__)
    card = expense_card(args.own_url)
    # Push configurations are kept, and nothing is ever sent to their URLs.
    handler = DefaultRequestHandler(
        agent_executor=Echo(),
        task_store=InMemoryTaskStore(),
        push_config_store=InMemoryPushNotificationConfigStore(),
    )
    handler = bidden(handler, lambda code: ServerError(error=ERRORS[code]()))
    # The only card over gRPC is that for known callers (A2A 0.3 section 7.10).
    calls = GrpcHandler(
        card,
        handler,
        context_builder=GrpcCallContexts(),
        card_modifier=lambda _plain: extended_card(public_url(args)),
    )
    serve(
        application(handler, card, args),
        args,
        lambda server: add_A2AServiceServicer_to_server(calls, server),
    )
