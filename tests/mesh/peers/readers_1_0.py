"""How servers in Python read requests of A2A 1.0: a plain Starlette server (`starlette`) and the official SDK's (`py-1.0`).

    python readers_1_0.py
"""

from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from reading import OPERATIONS, PREFIXES, note, noting, run
from serving import arguments


class Idle(AgentExecutor):
    """Is never asked to do anything."""

    async def execute(self, context, event_queue) -> None:
        """Does nothing."""

    async def cancel(self, context, event_queue) -> None:
        """Does nothing."""


async def jsonrpc(request):
    """JSON-RPC as one writes it by hand."""
    body = await request.json()
    note(OPERATIONS.get(body['method'], body['method']), body.get('params'))
    return JSONResponse({'jsonrpc': '2.0', 'id': body.get('id'), 'result': {}})


def operation(name: str):
    """HTTP+JSON as one writes it by hand."""

    async def endpoint(request):
        params = await request.json() if await request.body() else {}
        note(name, params, request.path_params.get('id'))
        return JSONResponse({})

    return endpoint


def starlette() -> Starlette:
    """Plain routes."""
    table = [
        ('POST', '/message:send', 'SendMessage'),
        ('POST', '/message:stream', 'SendStreamingMessage'),
        ('POST', '/tasks/{id}:cancel', 'CancelTask'),
        ('GET', '/tasks/{id}:subscribe', 'SubscribeToTask'),
        ('POST', '/tasks/{id}:subscribe', 'SubscribeToTask'),
        ('GET', '/tasks/{id}', 'GetTask'),
        ('POST', '/tasks/{id}/pushNotificationConfigs', 'CreateTaskPushNotificationConfig'),
        ('GET', '/tasks/{id}/pushNotificationConfigs', 'ListTaskPushNotificationConfigs'),
        ('GET', '/tasks', 'ListTasks'),
    ]
    routes = []
    for prefix in PREFIXES:
        routes.append(Route(prefix, jsonrpc, methods=['POST']))
        routes += [Route(prefix + path, operation(name), methods=[method]) for method, path, name in table]
    return Starlette(routes=routes)


def sdk() -> Starlette:
    """The SDK's routes."""
    card = AgentCard(
        name='Reader',
        description='Tells how it reads.',
        version='1.0.0',
        supported_interfaces=[
            AgentInterface(url='http://reader.example', protocol_binding=binding, protocol_version='1.0')
            for binding in ('JSONRPC', 'HTTP+JSON')
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True),
    )
    handler = noting(DefaultRequestHandler, lambda params: MessageToDict(params) if params is not None else {})(
        agent_executor=Idle(),
        task_store=InMemoryTaskStore(),
        agent_card=card,
        push_config_store=InMemoryPushNotificationConfigStore(),
    )
    routes = []
    for prefix in PREFIXES:
        routes += create_jsonrpc_routes(handler, rpc_url=prefix)
    for prefix in PREFIXES:
        routes.append(Mount(prefix, routes=create_rest_routes(handler)))
    return Starlette(routes=routes)


if __name__ == '__main__':
    run({'starlette': starlette(), 'py-1.0': sdk()}, arguments(__doc__))
