"""Prints what the A2A 0.3 SDK for Python routes: by router, its HTTP methods and paths (`{}` stands for what is free in them), JSON-RPC
methods and gRPC methods; and of the requests that come in (a list such as `GET /v1/tasks`), those that its router takes."""

import json
import re
import sys

from a2a.grpc import a2a_pb2
from a2a.server.apps.jsonrpc.jsonrpc_app import JSONRPCApplication
from a2a.server.apps.jsonrpc.starlette_app import A2AStarletteApplication
from a2a.server.apps.rest.rest_adapter import RESTAdapter
from a2a.types import AgentCapabilities, AgentCard
from google.api import annotations_pb2
from starlette.routing import Match, Route

CARD = AgentCard(
    name='',
    description='',
    url='http://agent.example',
    version='1',
    capabilities=AgentCapabilities(),
    default_input_modes=[],
    default_output_modes=[],
    skills=[],
    supports_authenticated_extended_card=True,
)


def plain(path: str) -> str:
    """`/v1/{name=tasks/*}` and the like with `{}` for each name."""
    path = re.sub(r'\{\w+=([^}]*)\}', lambda found: found[1].replace('*', '{}'), path)
    return re.sub(r'\{\w+\}', '{}', path)


def takes(request: str) -> bool:
    method, path = request.split(' ')
    scope = {'type': 'http', 'method': method, 'path': path, 'root_path': '', 'headers': []}
    routes = [Route(own, lambda: None, methods=[verb]) for own, verb in RESTAdapter(CARD, None).routes()]
    return any(route.matches(scope)[0] == Match.FULL for route in routes)


rest = sorted(f'{method} {plain(path)}' for path, method in RESTAdapter(CARD, None).routes())
application = A2AStarletteApplication(CARD, None).routes()
beside = sorted(f'{method} {route.path}' for route in application for method in route.methods - {'HEAD'} if route.path != '/')
service = a2a_pb2.DESCRIPTOR.services_by_name['A2AService']
annotated = []
for call in service.methods:
    rule = call.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof('pattern')
    annotated.append(f'{verb.upper()} {plain(getattr(rule, verb))}')
grpc = [f'/{service.full_name}/{call.name}' for call in service.methods]
print(
    json.dumps(
        {
            'taken': {'python-0.3': [request for request in json.load(sys.stdin) if takes(request)]},
            'python-0.3': rest,
            'python-0.3 beside JSON-RPC': [route for route in beside if '.well-known' not in route],
            'protobuf-0.3': sorted(annotated) + sorted(grpc),
            'python-0.3 JSON-RPC': sorted(JSONRPCApplication.METHOD_TO_MODEL),
        }
    )
)
