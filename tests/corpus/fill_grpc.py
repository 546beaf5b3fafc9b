"""Every message of every method of both packages, with all fields filled, in two forms: with the ids that the agent knows, and with those
that a caller is shown. Which fields are ids is told by their names. Page tokens of ListTasks have two forms as well. One JSON line for
each message.

    python fill_grpc.py TASK SHOWN_TASK CONTEXT SHOWN_CONTEXT PAGE SHOWN_PAGE
"""

import base64
import json
import sys

from a2a.compat.v0_3 import a2a_v0_3_pb2 as old
from a2a.types import a2a_pb2 as new
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

IDS = {'task_id': 'task', 'reference_task_ids': 'task', 'context_id': 'context'}
IDS_OF = {(name, 'id'): 'task' for name in ('Task', 'GetTaskRequest', 'CancelTaskRequest', 'SubscribeToTaskRequest')}
IDS_OF |= {('ListTasksRequest', 'page_token'): 'page', ('ListTasksResponse', 'next_page_token'): 'page'}
CHOICES = 4
"""The largest oneof has so many."""


def text(field: FieldDescriptor, ids: dict) -> str:
    """The value of a text field."""
    message = field.containing_type
    named = message.name.endswith(('Request', 'PushNotificationConfig')) and field.name in ('name', 'parent')
    if named and message.file.package == 'a2a.v1':
        return f'tasks/{ids["task"]}' + ('/pushNotificationConfigs/c' if 'PushNotification' in message.name else '')
    kind = IDS.get(field.name) or IDS_OF.get((message.name, field.name))
    # What looks like an id of a task, and is none, stays.
    return ids[kind] if kind else ids['other']


def value(field: FieldDescriptor, ids: dict, choice: int):
    if field.message_type is None:
        other = {FieldDescriptor.TYPE_BYTES: b'\x00\xff', FieldDescriptor.TYPE_BOOL: True}
        return text(field, ids) if field.type == FieldDescriptor.TYPE_STRING else other.get(field.type, 1)
    made = GetMessageClass(field.message_type)()
    if field.message_type.full_name == 'google.protobuf.Struct':
        made.update({'taskId': ids['other'], 'id': [ids['other']]})
    elif field.message_type.full_name == 'google.protobuf.Value':
        made.string_value = ids['other']
    else:
        fill(made, ids, choice)
    return made


def fill(message, ids: dict, choice: int) -> None:
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof and len(oneof.fields) > 1 and oneof.fields[choice % len(oneof.fields)] is not field:
            continue
        made = value(field, ids, choice)
        if field.is_repeated:
            getattr(message, field.name).extend([made, made])
        elif field.message_type:
            getattr(message, field.name).CopyFrom(made)
        else:
            setattr(message, field.name, made)


def both(kind, choice: int) -> list[str]:
    """The message as the agent knows it, and as the caller does."""
    made = []
    for ids in (
        {'task': task, 'context': context, 'page': page},
        {'task': shown_task, 'context': shown_context, 'page': shown_page},
    ):
        message = GetMessageClass(kind)()
        fill(message, {**ids, 'other': task}, choice)
        made.append(base64.b64encode(message.SerializeToString(deterministic=True)).decode())
    return made


task, shown_task, context, shown_context, page, shown_page = sys.argv[1:]
for module in (old, new):
    for method in module.DESCRIPTOR.services_by_name['A2AService'].methods:
        if method.output_type.name == 'AgentCard':
            continue
        for choice in range(CHOICES):
            line = {
                'method': f'{module.DESCRIPTOR.package}.A2AService/{method.name}',
                'request': both(method.input_type, choice),
                'answer': both(method.output_type, choice),
            }
            print(json.dumps(line))
