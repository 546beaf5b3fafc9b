"""What an agent in Python reads: one body in base64 a line, one answer in JSON a line."""

import base64
import json
import sys


def member(value, *names):
    for name in names:
        if isinstance(value, dict) and name in value:
            return value[name]
    return None


def text(value):
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def read(body):
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    params = member(request, "params")
    parts = member(member(params, "message"), "parts")
    push = member(
        member(params, "configuration"),
        "taskPushNotificationConfig",
        "task_push_notification_config",
        "pushNotificationConfig",
        "push_notification_config",
    )
    return {
        "method": text(member(request, "method")),
        "parts": len(parts) if isinstance(parts, list) else 0,
        "url": text(member(push, "url")),
    }


for line in sys.stdin.read().splitlines():
    print(json.dumps(read(base64.b64decode(line))))
