"""How servers in Python read requests of A2A 0.3: a plain FastAPI server (`fastapi`) and the official SDK's (`py-0.3`).

    python readers_0_3.py
"""

from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, TransportProtocol
from fastapi import Body, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from reading import OPERATIONS, PREFIXES, note, noting, run
from serving import arguments


class Idle(AgentExecutor):
    """Is never asked to do anything."""

    async def execute(self, context, event_queue) -> None:
        """Does nothing."""

    async def cancel(self, context, event_queue) -> None:
        """Does nothing."""


def fastapi() -> FastAPI:
    """Plain routes, whose bodies FastAPI reads."""
    app = FastAPI()

    def add(method: str, path: str, name: str) -> None:
        if '{id}' in path and method == 'GET':

            async def endpoint(id: str):
                note(name, {}, id)
                return {}
        elif '{id}' in path:

            async def endpoint(id: str, body: dict | None = Body(default=None)):
                note(name, body or {}, id)
                return {}
        else:

            async def endpoint(body: dict = Body()):
                note(name, body)
                return {}

        app.add_api_route(path, endpoint, methods=[method])

    async def jsonrpc(body: dict = Body()):
        note(OPERATIONS.get(body['method'], body['method']), body.get('params'))
        return {'jsonrpc': '2.0', 'id': body.get('id'), 'result': {}}

    for prefix in PREFIXES:
        app.add_api_route(prefix, jsonrpc, methods=['POST'])
        add('POST', f'{prefix}/v1/message:send', 'SendMessage')
        add('POST', f'{prefix}/v1/message:stream', 'SendStreamingMessage')
        add('POST', f'{prefix}/v1/tasks/{{id}}:cancel', 'CancelTask')
        add('GET', f'{prefix}/v1/tasks/{{id}}:subscribe', 'SubscribeToTask')
        add('GET', f'{prefix}/v1/tasks/{{id}}', 'GetTask')
        add('POST', f'{prefix}/v1/tasks/{{id}}/pushNotificationConfigs', 'CreateTaskPushNotificationConfig')
        add('GET', f'{prefix}/v1/tasks/{{id}}/pushNotificationConfigs', 'ListTaskPushNotificationConfigs')
    return app


def sdk() -> Starlette:
    """The SDK's applications."""
    card = AgentCard(
        name='Reader',
        description='Tells how it reads.',
        version='1.0.0',
        protocol_version='0.3.0',
        url='http://reader.example',
        preferred_transport=TransportProtocol.jsonrpc,
        capabilities=AgentCapabilities(streaming=True, push_notifications=True),
        default_input_modes=['text/plain'],
        default_output_modes=['text/plain'],
        skills=[],
    )
    handler = noting(DefaultRequestHandler, lambda params: params.model_dump(by_alias=True) if params is not None else {})(
        agent_executor=Idle(),
        task_store=InMemoryTaskStore(),
        push_config_store=InMemoryPushNotificationConfigStore(),
    )
    app = Starlette()
    for prefix in PREFIXES:
        A2AStarletteApplication(agent_card=card, http_handler=handler).add_routes_to_app(
            app, rpc_url=prefix, agent_card_url=f'{prefix}/.well-known/agent-card.json'
        )
    for prefix in PREFIXES:
        app.routes.append(Mount(prefix, A2ARESTFastAPIApplication(agent_card=card, http_handler=handler).build()))
    return app


if __name__ == '__main__':
    run({'fastapi': fastapi(), 'py-0.3': sdk()}, arguments(__doc__))
