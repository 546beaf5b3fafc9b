"""An A2A 1.0 client on the official SDK whose one message says which skill it is for; else as `client_1_0.py`.

    SKILL=S python client_with_skill.py --url BASE [--token T] [--binding jsonrpc|http_json] [--header NAME:VALUE]...

The skill stands under `skillId` in the message's metadata. With EXTENSION=URI it stands under that URI, and the request
activates the extension.
"""

import os

from a2a.client import A2ACardResolver, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.service_parameters import ServiceParametersFactory, with_a2a_extensions

from calling import arguments, run
from client_1_0 import BINDINGS, request, task_answer


async def conversation(args, http, results) -> None:
    config = ClientConfig(
        httpx_client=http, streaming=False, supported_protocol_bindings=[BINDINGS[args.binding]]
    )
    # The factory comes first: it makes the HTTP client say `A2A-Version: 1.0`, for the card too.
    factory = ClientFactory(config)
    client = factory.create(await A2ACardResolver(http, args.url).get_agent_card())
    extension = os.environ.get('EXTENSION')
    message = request(args.text)
    message.message.metadata[extension or 'skillId'] = os.environ['SKILL']
    activated = ServiceParametersFactory.create([with_a2a_extensions([extension] if extension else [])])
    context = ClientCallContext(service_parameters=activated)
    async for event in client.send_message(message, context=context):
        results['send'] = task_answer(event.task)


if __name__ == '__main__':
    run(arguments(__doc__), conversation)
