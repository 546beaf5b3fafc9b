"""Prints cards as the A2A 0.3 SDK for Python serves them: one JSON object, by name of the card."""

import json

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
    HTTPAuthSecurityScheme,
    ImplicitOAuthFlow,
    In,
    MutualTLSSecurityScheme,
    OAuth2SecurityScheme,
    OAuthFlows,
    OpenIdConnectSecurityScheme,
    PasswordOAuthFlow,
    SecurityScheme,
)

INNER = 'http://10.1.2.3:9000'
LOGIN = 'https://login.example.com'
SCOPES = {'expense:read': 'See expenses', 'expense:submit': 'Hand in expenses'}

FULL = AgentCard(
    name='Expense agent',
    description=f'Files expense reports at {INNER}/.',
    version='2.1.0',
    url=f'{INNER}/',
    preferred_transport='HTTP+JSON',
    additional_interfaces=[
        AgentInterface(url=f'{INNER}/', transport='HTTP+JSON'),
        AgentInterface(url=f'{INNER}/rpc', transport='JSONRPC'),
        AgentInterface(url='expense-grpc.internal.example:9001', transport='GRPC'),
    ],
    provider=AgentProvider(organization='Example Corp', url=f'{INNER}/about'),
    documentation_url='https://docs.example.com/expense',
    icon_url='https://cdn.example.com/icon.png',
    capabilities=AgentCapabilities(
        streaming=True,
        push_notifications=True,
        state_transition_history=True,
        extensions=[AgentExtension(uri='https://example.com/extensions/trace', required=False, params={'level': 2})],
    ),
    supports_authenticated_extended_card=True,
    default_input_modes=['text/plain'],
    default_output_modes=['text/plain'],
    security_schemes={
        'corp': SecurityScheme(
            root=OAuth2SecurityScheme(
                description='People and services',
                flows=OAuthFlows(
                    authorization_code=AuthorizationCodeOAuthFlow(
                        authorization_url=f'{LOGIN}/authorize', token_url=f'{LOGIN}/token', scopes=SCOPES
                    ),
                    client_credentials=ClientCredentialsOAuthFlow(token_url=f'{LOGIN}/token', scopes=SCOPES),
                    implicit=ImplicitOAuthFlow(authorization_url=f'{LOGIN}/authorize', scopes=SCOPES),
                    password=PasswordOAuthFlow(token_url=f'{LOGIN}/token', refresh_url=f'{LOGIN}/refresh', scopes={}),
                ),
                oauth2_metadata_url=f'{LOGIN}/.well-known/oauth-authorization-server',
            )
        ),
        'bearer': SecurityScheme(root=HTTPAuthSecurityScheme(scheme='bearer', bearer_format='JWT')),
        'oidc': SecurityScheme(
            root=OpenIdConnectSecurityScheme(open_id_connect_url=f'{LOGIN}/.well-known/openid-configuration')
        ),
        'key': SecurityScheme(root=APIKeySecurityScheme(in_=In.cookie, name='session', description='Partners')),
        'mtls': SecurityScheme(root=MutualTLSSecurityScheme(description='Inside the mesh')),
    },
    security=[{'corp': ['expense:read']}, {'key': [], 'mtls': []}],
    skills=[
        AgentSkill(
            id='submit',
            name='Submit an expense',
            description='Records an expense.',
            tags=['expense'],
            examples=['Taxi to the airport, 42 EUR'],
            input_modes=['text/plain'],
            output_modes=['application/json'],
            security=[{'corp': ['expense:submit']}],
        ),
        AgentSkill(id='explain', name='Explain a report', description='Says why.', tags=[]),
    ],
    signatures=[AgentCardSignature(protected='eyJhbGciOiJFUzI1NiJ9', signature='c2ln', header={'a': 1})],
)

PLAIN = AgentCard(
    name='Plain agent',
    description='',
    version='1',
    url='http://plain:8080/rpc',
    capabilities=AgentCapabilities(),
    default_input_modes=[],
    default_output_modes=[],
    skills=[],
)


def served(card: AgentCard) -> dict:
    return card.model_dump(mode='json', exclude_none=True, by_alias=True)


print(json.dumps({'python-0.3': served(FULL), 'python-0.3-plain': served(PLAIN)}))
