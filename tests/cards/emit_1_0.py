"""Prints cards as the A2A 1.0 SDK for Python serves them: one JSON object, by name of the card."""

import json
import logging

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentCardSignature,
    AgentExtension,
    AgentInterface,
    AgentProvider,
    AgentSkill,
    APIKeySecurityScheme,
    AuthorizationCodeOAuthFlow,
    ClientCredentialsOAuthFlow,
    DeviceCodeOAuthFlow,
    HTTPAuthSecurityScheme,
    MutualTlsSecurityScheme,
    OAuth2SecurityScheme,
    OAuthFlows,
    OpenIdConnectSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)

INNER = 'http://expense.agents.svc.cluster.local:9000'
LOGIN = 'https://login.example.com'
SCOPES = {'expense:read': 'See expenses', 'expense:submit': 'Hand in expenses'}


def requirement(**schemes: list[str]) -> SecurityRequirement:
    return SecurityRequirement(schemes={name: StringList(list=scopes) for name, scopes in schemes.items()})


def interface(binding: str, version: str, url: str = INNER, tenant: str = '') -> AgentInterface:
    return AgentInterface(url=url, protocol_binding=binding, protocol_version=version, tenant=tenant)


def full(interfaces: list[AgentInterface]) -> AgentCard:
    return AgentCard(
        name='Expense agent',
        description=f'Files expense reports. Reach it at {INNER}/ or expense.agents.svc.cluster.local.',
        version='2.1.0',
        provider=AgentProvider(organization='Example Corp', url='https://example.com'),
        documentation_url='https://docs.example.com/expense',
        icon_url=f'{INNER}/icon.png',
        supported_interfaces=interfaces,
        capabilities=AgentCapabilities(
            streaming=True,
            push_notifications=True,
            extended_agent_card=True,
            extensions=[
                AgentExtension(
                    uri='https://example.com/extensions/trace',
                    description='Traces',
                    params={'level': 2, 'collector': f'{INNER}/traces', 'names': ['a', None]},
                ),
                AgentExtension(uri=f'{INNER}/extensions/inner', required=True),
            ],
        ),
        default_input_modes=['text/plain', 'application/json'],
        default_output_modes=['text/plain'],
        security_schemes={
            'corp': SecurityScheme(
                oauth2_security_scheme=OAuth2SecurityScheme(
                    description='People and services',
                    flows=OAuthFlows(
                        authorization_code=AuthorizationCodeOAuthFlow(
                            authorization_url=f'{LOGIN}/authorize',
                            token_url=f'{LOGIN}/token',
                            refresh_url=f'{LOGIN}/refresh',
                            scopes=SCOPES,
                            pkce_required=True,
                        )
                    ),
                    oauth2_metadata_url=f'{LOGIN}/.well-known/oauth-authorization-server',
                )
            ),
            'service': SecurityScheme(
                oauth2_security_scheme=OAuth2SecurityScheme(
                    flows=OAuthFlows(
                        client_credentials=ClientCredentialsOAuthFlow(token_url=f'{LOGIN}/token', scopes=SCOPES)
                    )
                )
            ),
            'device': SecurityScheme(
                oauth2_security_scheme=OAuth2SecurityScheme(
                    flows=OAuthFlows(
                        device_code=DeviceCodeOAuthFlow(
                            device_authorization_url=f'{LOGIN}/device', token_url=f'{LOGIN}/token', scopes=SCOPES
                        )
                    ),
                    oauth2_metadata_url=f'{LOGIN}/.well-known/oauth-authorization-server',
                )
            ),
            'bearer': SecurityScheme(
                http_auth_security_scheme=HTTPAuthSecurityScheme(scheme='Bearer', bearer_format='JWT')
            ),
            'oidc': SecurityScheme(
                open_id_connect_security_scheme=OpenIdConnectSecurityScheme(
                    open_id_connect_url=f'{LOGIN}/.well-known/openid-configuration'
                )
            ),
            'key': SecurityScheme(
                api_key_security_scheme=APIKeySecurityScheme(location='header', name='x-api-key', description='Partners')
            ),
            'mtls': SecurityScheme(mtls_security_scheme=MutualTlsSecurityScheme()),
        },
        security_requirements=[
            requirement(corp=['expense:read']),
            requirement(service=['expense:read']),
            requirement(key=[], mtls=[]),
        ],
        skills=[
            AgentSkill(
                id='submit',
                name='Submit an expense',
                description='Records an expense.',
                tags=['expense'],
                examples=['Taxi to the airport, 42 EUR'],
                input_modes=['text/plain'],
                output_modes=['application/json'],
                security_requirements=[requirement(corp=['expense:submit']), requirement(service=['expense:submit'])],
            ),
            AgentSkill(id='explain', name='Explain a report', description='Says why.', tags=['expense', 'help']),
        ],
        signatures=[AgentCardSignature(protected='eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ', signature='c2ln', header={'a': 1})],
    )


PLAIN = AgentCard(
    name='Plain agent',
    version='1',
    supported_interfaces=[interface('JSONRPC', '1.0', 'http://plain:8080/rpc')],
    skills=[AgentSkill(id='only', name='Only')],
)

BOTH = [
    interface('GRPC', '1.0', 'expense.agents.svc.cluster.local:9001'),
    interface('HTTP+JSON', '1.0', f'{INNER}/rest', tenant='emea'),
    interface('JSONRPC', '1.0'),
    interface('JSONRPC', '0.3'),
    interface('HTTP+JSON', '0.3'),
]

logging.disable()  # of the plain card, that it lacks required members
print(
    json.dumps(
        {
            'python-1.0': agent_card_to_dict(full(BOTH[:3])),
            'python-1.0-merged': agent_card_to_dict(full(BOTH)),
            'python-1.0-plain': agent_card_to_dict(PLAIN),
        }
    )
)
