"""What the readers in Python share: they note what a server would have done, and do nothing.

`GET /control/readings` tells of each request with an `x-reading` what the proxy said of it (`decided`: its
`operation` in `x-attache`) and what the server would have done (`operation`, `task`, `url`).
"""

import asyncio
import json
from collections.abc import Callable
from contextvars import ContextVar

import http_sf
import uvicorn
from serving import Server

PREFIXES = ('/agents/expense', '/owned/expense')

OPERATIONS = {
    'message/send': 'SendMessage',
    'message/stream': 'SendStreamingMessage',
    'tasks/get': 'GetTask',
    'tasks/cancel': 'CancelTask',
    'tasks/resubscribe': 'SubscribeToTask',
    'on_message_send': 'SendMessage',
    'on_message_send_stream': 'SendStreamingMessage',
    'on_get_task': 'GetTask',
    'on_list_tasks': 'ListTasks',
    'on_cancel_task': 'CancelTask',
    'on_subscribe_to_task': 'SubscribeToTask',
    'on_resubscribe_to_task': 'SubscribeToTask',
    'on_create_task_push_notification_config': 'CreateTaskPushNotificationConfig',
    'on_set_task_push_notification_config': 'CreateTaskPushNotificationConfig',
    'on_get_task_push_notification_config': 'GetTaskPushNotificationConfig',
    'on_list_task_push_notification_configs': 'ListTaskPushNotificationConfigs',
    'on_list_task_push_notification_config': 'ListTaskPushNotificationConfigs',
    'on_delete_task_push_notification_config': 'DeleteTaskPushNotificationConfig',
    'on_get_extended_agent_card': 'GetExtendedAgentCard',
}
"""The operations of A2A 1.0 by the names that the methods of JSON-RPC and of the SDKs' handlers have."""

CURRENT: ContextVar[dict] = ContextVar('reading')


def find(value, *names: str) -> str | None:
    """The first member of one of these names somewhere in `value`, unless it is empty."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return None
    for name in names:
        if isinstance(value.get(name), str) and value[name]:
            return value[name]
    found = (find(below, *names) for below in value.values())
    return next((one for one in found if one is not None), None)


def note(operation: str, params, task: str | None = None) -> None:
    """Notes what the request that is being answered is taken for."""
    if task is None and isinstance(params, dict) and isinstance(params.get('id'), str):
        task = params['id'] or None
    task = task or find(params, 'taskId', 'task_id')
    CURRENT.get().update(operation=operation, task=task, url=find(params, 'url'))


class Noted(Exception):
    """Ends a request that was noted."""


def noting(handler_class: type, as_dict: Callable) -> type:
    """A handler of the SDK that only notes what it is called for; `as_dict` makes JSON of its parameters."""

    def plain(operation):
        async def method(_self, params=None, *_more):
            note(operation, as_dict(params))
            raise Noted(operation)

        return method

    def streaming(operation):
        async def method(_self, params=None, *_more):
            note(operation, as_dict(params))
            raise Noted(operation)
            yield  # makes it a generator

        return method

    methods = {}
    for name, operation in OPERATIONS.items():
        if hasattr(handler_class, name):
            is_stream = operation in ('SendStreamingMessage', 'SubscribeToTask')
            methods[name] = (streaming if is_stream else plain)(operation)
    return type('Noting', (handler_class,), methods)


class Readers:
    """Several servers on one port, told apart by the first label of the host."""

    def __init__(self, readers: dict):
        self.readers = readers
        self.readings: dict[str, dict] = {}

    async def __call__(self, scope, receive, send):
        if scope['type'] != 'http':
            raise RuntimeError(f'no server for {scope["type"]}')
        headers = {name.decode('latin-1'): value.decode('latin-1') for name, value in scope['headers']}
        if scope['path'] == '/control/readings':
            await answer(send, 200, self.readings)
            return
        reader = self.readers.get(headers.get('host', '').split('.example.com')[0])
        if reader is None:
            await answer(send, 404, {})
            return
        reading = {'decided': decided(headers), 'operation': None, 'task': None, 'url': None}
        if 'x-reading' in headers:
            self.readings[headers['x-reading']] = reading
        CURRENT.set(reading)
        try:
            await reader(scope, receive, send)
        except Noted:
            pass


def decided(headers) -> str | None:
    """The operation that the proxy told the server."""
    members = http_sf.parse(headers.get('x-attache', '').encode('latin-1'), tltype='dictionary')
    operation, _ = members.get('operation', (None, {}))
    return operation


async def answer(send, status: int, value) -> None:
    """Answers with JSON."""
    body = json.dumps(value).encode()
    headers = [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': body})


def run(readers: dict, args) -> None:
    """Listens until SIGTERM."""
    config = uvicorn.Config(
        Readers(readers), log_level='critical', access_log=False, lifespan='off', timeout_graceful_shutdown=1
    )
    asyncio.run(Server(config, {}).serve(sockets=[args.listener]))
