"""The agent of `agent_0_3.py`, whose SDK posts notifications to the URLs that callers name, by way of an Envoy.

    NOTIFY_PORT=N python agent_notifying_0_3.py [--port N]
"""

import httpx
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import BasePushNotificationSender, InMemoryPushNotificationConfigStore, InMemoryTaskStore

from agent_0_3 import Echo, application, expense_card
from notifying import through
from serving import arguments, serve

if __name__ == '__main__':
    args = arguments(__doc__)
    configs = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(
        agent_executor=Echo(),
        task_store=InMemoryTaskStore(),
        push_config_store=configs,
        push_sender=BasePushNotificationSender(httpx.AsyncClient(transport=through()), configs),
    )
    serve(application(handler, expense_card(args.own_url), args), args)
