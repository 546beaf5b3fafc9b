"""What an agent on the official SDK reads: one call a line (`package/Method` and its message in base64), one answer in
JSON a line; null if the SDK's protobuf classes refuse it."""

import base64
import json
import sys

from a2a.compat.v0_3 import a2a_v0_3_pb2 as old
from a2a.types import a2a_pb2 as new
from google.protobuf.message import DecodeError

TYPES = {
    'lf.a2a.v1/SendMessage': new.SendMessageRequest,
    'lf.a2a.v1/SendStreamingMessage': new.SendMessageRequest,
    'lf.a2a.v1/CreateTaskPushNotificationConfig': new.TaskPushNotificationConfig,
    'lf.a2a.v1/GetTask': new.GetTaskRequest,
    'lf.a2a.v1/ListTasks': new.ListTasksRequest,
    'lf.a2a.v1/CancelTask': new.CancelTaskRequest,
    'a2a.v1/SendMessage': old.SendMessageRequest,
    'a2a.v1/SendStreamingMessage': old.SendMessageRequest,
    'a2a.v1/CreateTaskPushNotificationConfig': old.CreateTaskPushNotificationConfigRequest,
    'a2a.v1/GetTask': old.GetTaskRequest,
}
SKILLS = {None: 'null', 'null_value': 'null', 'number_value': 'number', 'struct_value': 'object', 'list_value': 'list'}
KINDS = {'text': 'text', 'raw': 'file', 'url': 'file', 'file': 'file', 'data': 'data'}


def skill(metadata) -> str:
    """The member `skill`, or what it is if it is no text."""
    if 'skill' not in metadata.fields:
        return ''
    value = metadata.fields['skill']
    kind = value.WhichOneof('kind')
    if kind == 'bool_value':
        return 'true' if value.bool_value else 'false'
    return value.string_value if kind == 'string_value' else SKILLS[kind]


def said(request) -> dict:
    """Members that are not there count as empty; so do empty ones."""
    facts = {'url': '', 'credentials': set(), 'modes': set(), 'history': '', 'parts': 0, 'kinds': {}, 'inline': False, 'skill': ''}
    push, settings = None, request
    if isinstance(request, (new.SendMessageRequest, old.SendMessageRequest)):
        settings = request.configuration
        facts['modes'] = set(settings.accepted_output_modes)
        inline = 'task_push_notification_config' if isinstance(request, new.SendMessageRequest) else 'push_notification'
        facts['inline'] = settings.HasField(inline)
        push = getattr(settings, inline)
        message = request.message if isinstance(request, new.SendMessageRequest) else request.request
        facts['skill'] = skill(message.metadata)
        parts = message.parts if isinstance(message, new.Message) else message.content
        facts['parts'] = len(parts)
        for part in parts:
            kind = part.WhichOneof('content' if isinstance(part, new.Part) else 'part')
            if kind:
                facts['kinds'][KINDS[kind]] = facts['kinds'].get(KINDS[kind], 0) + 1
    elif isinstance(request, new.TaskPushNotificationConfig):
        push = request
    elif isinstance(request, old.CreateTaskPushNotificationConfigRequest):
        push = request.config.push_notification_config
    if push is not None:
        facts['url'] = push.url
        authentication = push.authentication
        schemes = authentication.schemes if hasattr(authentication, 'schemes') else [authentication.scheme]
        facts['credentials'] = {push.token, authentication.credentials, *schemes}
    if hasattr(settings, 'history_length') and settings.history_length:
        facts['history'] = str(settings.history_length)
    for name in ('credentials', 'modes'):
        facts[name] = sorted(facts[name] - {''})
    return facts


for line in sys.stdin.read().splitlines():
    method, _, message = line.partition(' ')
    request = TYPES[method]()
    try:
        request.ParseFromString(base64.b64decode(message))
        print(json.dumps(said(request)))
    except DecodeError:
        print('null')
