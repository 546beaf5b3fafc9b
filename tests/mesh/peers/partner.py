"""The agent of a partner: A2A 1.0, and it answers 401 unless its API key is sent exactly once.

    PARTNER_EXPECTED_KEY=... python partner.py [--port N] [--url-file F]

The key is `partner-key-123` if the environment names none.
"""

import hmac
import os

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentSkill,
    APIKeySecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from starlette.responses import JSONResponse

from agent_1_0 import application, interfaces, request_handler
from serving import arguments, serve

KEY_HEADER = 'x-api-key'


class KeyRequired:
    """Lets a request through if `x-api-key` came once and is right."""

    def __init__(self, app, key: str):
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope, receive, send):
        if scope['type'] == 'http':
            sent = [value for name, value in scope['headers'] if name == KEY_HEADER.encode()]
            if len(sent) != 1 or not hmac.compare_digest(sent[0], self._key):
                refusal = JSONResponse(
                    {'error': f'{KEY_HEADER} must be sent once and be right; it was sent {len(sent)} times'},
                    status_code=401,
                    headers={'WWW-Authenticate': 'ApiKey'},
                )
                return await refusal(scope, receive, send)
        return await self._app(scope, receive, send)


def partner_card(url: str) -> AgentCard:
    """The card that states `url` for both bindings."""
    return AgentCard(
        supported_interfaces=interfaces(url),
        name='Partner agent',
        description='Books travel for the employees of other companies.',
        version='1.0.0',
        capabilities=AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=['text/plain'],
        default_output_modes=['text/plain'],
        security_schemes={
            'key': SecurityScheme(
                api_key_security_scheme=APIKeySecurityScheme(location='header', name=KEY_HEADER)
            )
        },
        security_requirements=[SecurityRequirement(schemes={'key': StringList()})],
        skills=[
            AgentSkill(
                id='book',
                name='Book a trip',
                description='Books a trip and says what was booked.',
                tags=['travel'],
            )
        ],
    )


if __name__ == '__main__':
    args = arguments(__doc__)
    key = os.environ.get('PARTNER_EXPECTED_KEY', 'partner-key-123')
    handler = request_handler('partner', partner_card(args.own_url), args)
    serve(KeyRequired(application(handler, partner_card, args), key), args)
