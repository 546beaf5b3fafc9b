"""An A2A 1.0 client on the official SDK: looks up the card below `--url`, runs `--ops`, prints one JSON line.

    python client_1_0.py --url BASE [--token T] [--binding jsonrpc|http_json] [--ops send,stream,...]
    python client_1_0.py --binding grpc --grpc-target HOST:PORT [--token T] [--ops send,stream,...]
"""

import uuid

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import get_artifact_text
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.constants import TransportProtocol
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value

from calling import HOOK, answer, arguments, channels, run, until

BINDINGS = {
    'jsonrpc': TransportProtocol.JSONRPC,
    'http_json': TransportProtocol.HTTP_JSON,
    'grpc': TransportProtocol.GRPC,
}


def request(text: str, parts: int = 1, data: bool = False, within: dict | None = None, **configuration) -> SendMessageRequest:
    part = Part(data=Value(string_value=text)) if data else Part(text=text)
    message = Message(message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=[part] * parts, **(within or {}))
    return SendMessageRequest(
        message=message,
        configuration=SendMessageConfiguration(**configuration),
    )


def state_of(value: int) -> str:
    """`TASK_STATE_INPUT_REQUIRED` as 0.3 spells it, so that all clients report the same words."""
    return TaskState.Name(value).removeprefix('TASK_STATE_').lower().replace('_', '-')


def said(message: Message) -> list[dict]:
    """The parts of a status message: a text or data each, as the SDK read them."""
    return [{kind: MessageToDict(part)[kind]} for part in message.parts if (kind := part.WhichOneof('content'))]


def task_answer(task: Task, **more) -> dict:
    texts = [get_artifact_text(artifact) for artifact in task.artifacts]
    more |= {'context': task.context_id, 'said': said(task.status.message)}
    return answer(state_of(task.status.state), texts, task=task.id, answer=MessageToDict(task), **more)


async def collect(events, on_event=None) -> dict:
    """Reads a stream to its end: the kinds of its events, the last state, the text of the artifacts."""
    kinds, told, texts, state, task_id, context, parts = [], [], {}, None, None, None, []
    async for event in events:
        kind = event.WhichOneof('payload')
        body = getattr(event, kind)
        kinds.append(kind)
        told.append(MessageToDict(event))
        if kind == 'task':
            task_id = body.id
            texts = {artifact.artifact_id: get_artifact_text(artifact) for artifact in body.artifacts}
        if kind == 'artifact_update':
            texts[body.artifact.artifact_id] = get_artifact_text(body.artifact)
        if kind in ('task', 'status_update'):
            state, context, parts = state_of(body.status.state), body.context_id, said(body.status.message)
        if on_event:
            await on_event(kinds)
    return answer(state, list(texts.values()), task=task_id, context=context, said=parts, events=kinds, answer=told)


async def every_page(calls) -> dict:
    """Lists all tasks, three on a page: their ids, what they are, and the total of each page."""
    asked, listed, totals = ListTasksRequest(page_size=3), [], []
    while True:
        page = await calls.list_tasks(asked)
        listed += page.tasks
        totals.append(page.total_size)
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
    return {'tasks': [task.id for task in listed], 'totals': totals, 'answer': [MessageToDict(task) for task in listed]}


def grpc_card(target: str, tenant: str) -> AgentCard:
    """gRPC has no discovery: a card that says where to call, for which tenant, and nothing else."""
    interface = AgentInterface(url=target, protocol_binding='GRPC', protocol_version='1.0', tenant=tenant)
    capabilities = AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True)
    return AgentCard(supported_interfaces=[interface], capabilities=capabilities)


async def conversation(args, http, results) -> None:
    def factory(streaming: bool) -> ClientFactory:
        return ClientFactory(
            ClientConfig(
                httpx_client=http,
                streaming=streaming,
                supported_protocol_bindings=[BINDINGS[args.binding]],
                grpc_channel_factory=channels(args),
            )
        )

    card = None
    if args.card_first:  # as the SDK's own samples do
        card = await A2ACardResolver(http, args.url).get_agent_card(args.card_path)
    # The factories come first: they make the HTTP client say `A2A-Version: 1.0`, for the card too.
    factories = factory(streaming=False), factory(streaming=True)
    if card:
        pass
    elif args.grpc_target:
        card = grpc_card(args.grpc_target, args.tenant)
    else:
        card = await A2ACardResolver(http, args.url).get_agent_card(args.card_path)
    calls, streams = (factory.create(card) for factory in factories)

    async def send(text: str, **configuration) -> Task:
        async for event in calls.send_message(request(text, **configuration)):
            return event.task

    async def started() -> Task:
        """A task that works until it is cancelled, and has said what it has to say."""
        task = await send('wait', return_immediately=True)
        await until(lambda: calls.get_task(GetTaskRequest(id=task.id)), lambda now: now.artifacts)
        return task

    async def about() -> str:
        """The task that push configurations are of."""
        nonlocal known
        if not args.task:
            known = known or await send(args.text)
        return args.task or known.id

    known, hook = None, TaskPushNotificationConfig(id='set', **HOOK)
    for op in args.ops:
        if op == 'card':
            results[op] = {
                'name': card.name,
                'description': card.description,
                'skills': [skill.id for skill in card.skills],
                'interfaces': [
                    {'url': i.url, 'binding': i.protocol_binding, 'version': i.protocol_version}
                    for i in card.supported_interfaces
                ],
                'answer': MessageToDict(card),
            }
        elif op == 'send':
            known = await send(args.text, parts=args.parts, data=args.data)
            results[op] = task_answer(known)
        elif op == 'stream':
            events = streams.send_message(request(args.text, parts=args.parts, data=args.data))
            results[op] = await collect(events)
        elif op in ('continue', 'continue_stream'):
            known = known or (None if args.task or args.context else await send(args.text))
            within = {'task_id': args.task or '', 'context_id': args.context or ''}
            if known:
                within = {'task_id': known.id, 'context_id': known.context_id}
            if op == 'continue':
                results[op] = task_answer(await send(args.text, within=within))
            else:
                results[op] = await collect(streams.send_message(request(args.text, within=within)))
        elif op == 'get':
            known = known or (None if args.task else await send(args.text))
            asked = GetTaskRequest(id=args.task or known.id)
            results[op] = task_answer(await calls.get_task(asked))
        elif op == 'cancel':
            asked = CancelTaskRequest(id=args.task or (await started()).id)
            results[op] = task_answer(await calls.cancel_task(asked))
        elif op == 'subscribe':
            waiting = args.task or (await started()).id

            async def cancel_at_report(kinds: list[str], task_id: str = waiting) -> None:
                if kinds[-1] == 'status_update' and kinds.count('status_update') == 1:
                    await calls.cancel_task(CancelTaskRequest(id=task_id))

            events = streams.subscribe(SubscribeToTaskRequest(id=waiting))
            results[op] = await collect(events, cancel_at_report)
        elif op == 'push_send':
            hook = TaskPushNotificationConfig(id='inline', **HOOK)
            known = await send(args.text, task_push_notification_config=hook)
            results[op] = task_answer(known)
        elif op == 'push_set':
            hook = TaskPushNotificationConfig(id='set', task_id=await about(), **HOOK)
            stored = await calls.create_task_push_notification_config(hook)
            results[op] = {'answer': MessageToDict(stored)}
        elif op == 'push_get':
            asked = GetTaskPushNotificationConfigRequest(task_id=await about(), id=hook.id)
            stored = await calls.get_task_push_notification_config(asked)
            results[op] = {'answer': MessageToDict(stored)}
        elif op in ('push_list', 'push_delete'):  # what a deletion leaves is its answer
            if op == 'push_delete':
                asked = DeleteTaskPushNotificationConfigRequest(task_id=await about(), id=hook.id)
                await calls.delete_task_push_notification_config(asked)
            asked = ListTaskPushNotificationConfigsRequest(task_id=await about())
            stored = await calls.list_task_push_notification_configs(asked)
            results[op] = {'answer': MessageToDict(stored).get('configs', [])}
        elif op == 'list':
            known = known or (None if args.context else await send(args.text))
            listed = await calls.list_tasks(ListTasksRequest(context_id=args.context or known.context_id))
            results[op] = {'answer': MessageToDict(listed)}
        elif op == 'list_all':
            results[op] = {'answer': MessageToDict(await calls.list_tasks(ListTasksRequest()))}
        elif op == 'pages':
            results[op] = await every_page(calls)
        elif op == 'extended':
            extended = await calls.get_extended_agent_card(GetExtendedAgentCardRequest())
            results[op] = {'answer': MessageToDict(extended)}


if __name__ == '__main__':
    run(arguments(__doc__), conversation)
