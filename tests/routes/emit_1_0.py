"""Prints what the A2A 1.0 SDK for Python routes: by router, its HTTP methods and paths (`{}` stands for what is free in them), JSON-RPC
methods and gRPC methods; and of the requests that come in (a list such as `GET /tasks`), those that each router takes."""

import json
import re
import sys

# isort: off
from a2a.server.routes import create_rest_routes
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.compat.v0_3.jsonrpc_adapter import JSONRPC03Adapter  # which the others import first
from a2a.types import a2a_pb2
from google.api import annotations_pb2
from starlette.routing import Match, Mount


def plain(path: str) -> str:
    """`/tasks/{id=*}` and the like with `{}` for each name."""
    path = re.sub(r'\{\w+=([^}]*)\}', lambda found: found[1].replace('*', '{}'), path)
    return re.sub(r'\{\w+\}', '{}', path)


def starlette(routes: list, before: str = '') -> list[str]:
    found = []
    for route in routes:
        if isinstance(route, Mount):
            found += starlette(route.routes, before + route.path)
        else:
            # Starlette adds HEAD to what answers GET.
            found += [f'{method} {plain(before + route.path)}' for method in route.methods - {'HEAD'}]
    return sorted(set(found))


def annotated(service) -> tuple[list[str], list[str]]:
    """What `google.api.http` says of the service's methods, and their full names."""
    found = []
    for method in service.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for one in (rule, *rule.additional_bindings):
            verb = one.WhichOneof('pattern')
            found.append(f'{verb.upper()} {plain(getattr(one, verb))}')
    return sorted(set(found)), sorted(f'/{service.full_name}/{method.name}' for method in service.methods)


def taken(routes: list, requests: list[str]) -> list[str]:
    def takes(request: str) -> bool:
        method, path = request.split(' ')
        scope = {'type': 'http', 'method': method, 'path': path, 'root_path': '', 'headers': []}
        return any(inside(route, scope) for route in routes)

    return [request for request in requests if takes(request)]


def inside(route, scope: dict) -> bool:
    match, more = route.matches(scope)
    if match != Match.FULL or not isinstance(route, Mount):
        return match == Match.FULL
    return any(inside(below, {**scope, **more}) for below in route.routes)


requests = json.load(sys.stdin)
plainly, with_0_3 = create_rest_routes(None), create_rest_routes(None, enable_v0_3_compat=True)
own, both = starlette(plainly), starlette(with_0_3)
http, grpc = annotated(a2a_pb2.DESCRIPTOR.services_by_name['A2AService'])
print(
    json.dumps(
        {
            'taken': {'python-1.0': taken(plainly, requests), 'python-1.0 for 0.3': taken(with_0_3, requests)},
            'python-1.0': own,
            'python-1.0 for 0.3': sorted(set(both) - set(own)),
            'protobuf-1.0': http + grpc,
            'python-1.0 JSON-RPC': sorted(JsonRpcDispatcher.METHOD_TO_MODEL),
            'python-1.0 for 0.3 JSON-RPC': sorted(JSONRPC03Adapter.METHOD_TO_MODEL),
        }
    )
)
