"""An A2A 0.3 client on the official SDK: looks up the card below `--url`, runs `--ops`, prints one JSON line.

    python client_0_3.py --url BASE [--token T] [--binding jsonrpc|http_json] [--ops send,stream,...]
    python client_0_3.py --binding grpc --grpc-target HOST:PORT [--token T] [--ops send,stream,...]
"""

import uuid

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    Artifact,
    DataPart,
    GetTaskPushNotificationConfigParams,
    Message,
    MessageSendConfiguration,
    Part,
    PushNotificationConfig,
    Role,
    Task,
    TaskArtifactUpdateEvent,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TextPart,
    TransportProtocol,
)
from a2a.utils import get_text_parts

from calling import HOOK, answer, arguments, channels, run, until

BINDINGS = {
    'jsonrpc': TransportProtocol.jsonrpc,
    'http_json': TransportProtocol.http_json,
    'grpc': TransportProtocol.grpc,
}


def message(text: str, parts: int = 1, data: bool = False, within: dict | None = None) -> Message:
    part = Part(root=DataPart(data={'text': text}) if data else TextPart(text=text))
    return Message(message_id=str(uuid.uuid4()), role=Role.user, parts=[part] * parts, **(within or {}))


def told(model) -> dict:
    """What the SDK read, as JSON."""
    return model.model_dump(mode='json', exclude_none=True)


def artifact_text(artifact: Artifact) -> str:
    return ''.join(get_text_parts(artifact.parts))


def said(spoken: Message | None) -> list[dict]:
    """The parts of a status message: a text or data each, as the SDK read them."""
    parts = [part.root for part in spoken.parts] if spoken else []
    return [{part.kind: part.data if part.kind == 'data' else part.text} for part in parts if part.kind in ('text', 'data')]


def task_answer(task: Task, **more) -> dict:
    more |= {'context': task.context_id, 'said': said(task.status.message)}
    texts = [artifact_text(artifact) for artifact in task.artifacts or []]
    return answer(task.status.state.value, texts, task=task.id, answer=told(task), **more)


async def collect(events, on_event=None) -> dict:
    """Reads a stream to its end: the kinds of its events, the last state, the text of the artifacts."""
    kinds, all_told, texts, state, task_id, context, parts = [], [], {}, None, None, None, []
    async for task, update in events:
        kinds.append('task' if update is None else update.kind.replace('-', '_'))
        all_told.append(told(update or task))
        task_id, context, state, parts = task.id, task.context_id, task.status.state.value, said(task.status.message)
        if update is None:
            texts = {artifact.artifact_id: artifact_text(artifact) for artifact in task.artifacts or []}
        if isinstance(update, TaskArtifactUpdateEvent):
            texts[update.artifact.artifact_id] = artifact_text(update.artifact)
        if on_event:
            await on_event(kinds)
    return answer(state, list(texts.values()), task=task_id, context=context, said=parts, events=kinds, answer=all_told)


def grpc_card(target: str) -> AgentCard:
    """gRPC has no discovery: a card that says where to call and nothing else."""
    return AgentCard(
        name='',
        description='',
        version='',
        url=target,
        preferred_transport=TransportProtocol.grpc,
        capabilities=AgentCapabilities(streaming=True, push_notifications=True),
        supports_authenticated_extended_card=True,
        default_input_modes=[],
        default_output_modes=[],
        skills=[],
    )


async def conversation(args, http, results) -> None:
    if args.grpc_target:
        card = grpc_card(args.grpc_target)
    else:
        card = await A2ACardResolver(http, args.url).get_agent_card(args.card_path)

    def client(streaming: bool, hooks=()):
        return ClientFactory(
            ClientConfig(
                httpx_client=http,
                streaming=streaming,
                supported_transports=[BINDINGS[args.binding]],
                grpc_channel_factory=channels(args),
                push_notification_configs=list(hooks),
            )
        ).create(card)

    calls, streams = client(streaming=False), client(streaming=True)

    async def send(text: str, blocking: bool = True, by=calls, **content) -> Task:
        configuration = MessageSendConfiguration(blocking=blocking)
        async for task, _ in by.send_message(message(text, **content), configuration=configuration):
            return task

    async def started() -> Task:
        """A task that works until it is cancelled, and has said what it has to say."""
        task = await send('wait', blocking=False)
        await until(lambda: calls.get_task(TaskQueryParams(id=task.id)), lambda now: now.artifacts)
        return task

    async def about() -> str:
        """The task that push configurations are of."""
        nonlocal known
        if not args.task:
            known = known or await send(args.text)
        return args.task or known.id

    known, hook = None, PushNotificationConfig(id='set', **HOOK)
    for op in args.ops:
        if op == 'card':
            results[op] = {
                'name': card.name,
                'description': card.description,
                'skills': [skill.id for skill in card.skills],
                'interfaces': [
                    {'url': i.url, 'binding': i.transport, 'version': card.protocol_version}
                    for i in card.additional_interfaces or []
                ],
                'answer': told(card),
            }
        elif op == 'send':
            known = await send(args.text, parts=args.parts, data=args.data)
            results[op] = task_answer(known)
        elif op == 'stream':
            events = streams.send_message(message(args.text, parts=args.parts, data=args.data))
            results[op] = await collect(events)
        elif op in ('continue', 'continue_stream'):
            known = known or (None if args.task or args.context else await send(args.text))
            within = {'task_id': args.task or None, 'context_id': args.context or None}
            if known:
                within = {'task_id': known.id, 'context_id': known.context_id}
            if op == 'continue':
                results[op] = task_answer(await send(args.text, within=within))
            else:
                results[op] = await collect(streams.send_message(message(args.text, within=within)))
        elif op == 'get':
            known = known or (None if args.task else await send(args.text))
            asked = TaskQueryParams(id=args.task or known.id)
            results[op] = task_answer(await calls.get_task(asked))
        elif op == 'cancel':
            asked = TaskIdParams(id=args.task or (await started()).id)
            results[op] = task_answer(await calls.cancel_task(asked))
        elif op == 'subscribe':
            waiting = args.task or (await started()).id

            async def cancel_at_report(kinds: list[str], task_id: str = waiting) -> None:
                if kinds[-1] == 'status_update' and kinds.count('status_update') == 1:
                    await calls.cancel_task(TaskIdParams(id=task_id))

            events = streams.resubscribe(TaskIdParams(id=waiting))
            results[op] = await collect(events, cancel_at_report)
        elif op == 'push_send':
            hook = PushNotificationConfig(id='inline', **HOOK)
            # Only the client's own configuration reaches the message whole.
            known = await send(args.text, by=client(streaming=False, hooks=[hook]))
            results[op] = task_answer(known)
        elif op == 'push_set':
            hook = PushNotificationConfig(id='set', **HOOK)
            asked = TaskPushNotificationConfig(task_id=await about(), push_notification_config=hook)
            results[op] = {'answer': told(await calls.set_task_callback(asked))}
        elif op == 'push_get':
            asked = GetTaskPushNotificationConfigParams(id=await about(), push_notification_config_id=hook.id)
            results[op] = {'answer': told(await calls.get_task_callback(asked))}
        elif op in ('push_list', 'push_delete', 'list', 'list_all'):
            raise NotImplementedError(f'this SDK has no {op}')
        elif op == 'extended':
            results[op] = {'answer': told(await calls.get_card())}


if __name__ == '__main__':
    run(arguments(__doc__), conversation)
