"""Several A2A 1.0 agents in one server, on the official SDK, each in the layout of a framework.

    python agent_layouts.py [--port N]

Each echoes like `agent_1_0.py`, and says its own name.
"""

from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.types import AgentCard, AgentInterface
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from agent_1_0 import CallContexts, expense_card, request_handler
from google.protobuf.json_format import MessageToDict
from serving import arguments, serve

WELL_KNOWN = '/.well-known/agent-card.json'

BELOW = {
    'alpha': ('/a2a/alpha', '', ''),
    'beta': ('/a2a/beta', '', ''),
    'adk': ('/adk/app', '/', None),
    'net': ('/net/expense', '', ''),
}
"""By name: where the agent is, and its JSON-RPC and HTTP+JSON below. Its card is there, too, unless it is `net`'s."""

CARDS = {'net': '/net/expense/v1/card'}
"""Cards that are not at the well-known path."""

GRAPHS = {'a-1': '/graph/a-1', 'a-2': '/graph/a-2'}
"""By `assistant_id`: assistants behind one card path at the root of the host, which the parameter tells apart."""


def card(name: str, place: str, jsonrpc: str, http_json: str | None) -> AgentCard:
    """What the agent itself says; every URL in it is its own."""
    described = expense_card(args.own_url)
    described.name = name
    del described.supported_interfaces[:]
    for binding, path in (('JSONRPC', jsonrpc), ('HTTP+JSON', http_json)):
        if path is not None:
            url = args.own_url + place + path
            described.supported_interfaces.append(
                AgentInterface(url=url, protocol_binding=binding, protocol_version='1.0')
            )
    return described


def agent(name: str, place: str, jsonrpc: str, http_json: str | None) -> list:
    """Its routes, without the card."""
    handler = request_handler(name, card(name, place, jsonrpc, http_json), args)
    contexts = CallContexts()
    routes = create_jsonrpc_routes(handler, rpc_url=place + jsonrpc, context_builder=contexts)
    if http_json is not None:
        routes += create_rest_routes(handler, context_builder=contexts, path_prefix=place + http_json)
    return routes


async def card_of_graph(request: Request) -> Response:
    """The card of the assistant that the parameter names."""
    known = GRAPHS.get(request.query_params.get('assistant_id', ''))
    if known is None:
        return JSONResponse({'detail': 'no such assistant'}, status_code=404)
    return JSONResponse(MessageToDict(card(request.query_params['assistant_id'], known, '', None)))


if __name__ == '__main__':
    args = arguments(__doc__)
    routes = [Route(WELL_KNOWN, card_of_graph)]
    for name, (place, jsonrpc, http_json) in BELOW.items():
        url = CARDS.get(name, place + WELL_KNOWN)
        routes += create_agent_card_routes(card(name, place, jsonrpc, http_json), card_url=url)
        routes += agent(name, place, jsonrpc, http_json)
    for name, place in GRAPHS.items():
        routes += agent(name, place, '', None)
    # The SDK mounts each agent once more below any first segment, which would hide those that come later.
    routes.sort(key=lambda route: isinstance(route, Mount))
    # A slash more or less is another path: no redirects.
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    serve(app, args)
