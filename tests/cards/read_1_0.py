"""Reads cards with the A2A 1.0 SDK for Python, as its client does, and picks an interface.

In: a JSON list of {"version", "card"}. Out: a JSON list of what was read, in the same order.
"""

import asyncio
import copy
import json
import sys

import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.client.card_resolver import parse_agent_card
from a2a.types import AgentCard
from google.protobuf.json_format import ParseDict


async def read(version: str, card: dict) -> dict:
    if version == '1.0':
        ParseDict(card, AgentCard())  # errs on members that 1.0 does not know
    parsed = parse_agent_card(copy.deepcopy(card))
    async with httpx.AsyncClient() as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=['JSONRPC', 'HTTP+JSON'])
        ClientFactory(config).create(parsed)
    return {
        'name': parsed.name,
        'skills': [skill.id for skill in parsed.skills],
        'schemes': sorted(parsed.security_schemes),
        'requirements': [
            {name: list(scopes.list) for name, scopes in requirement.schemes.items()}
            for requirement in parsed.security_requirements
        ],
        'interfaces': [[one.url, one.protocol_binding] for one in parsed.supported_interfaces],
    }


async def main() -> None:
    print(json.dumps([await read(**one) for one in json.load(sys.stdin)]))


asyncio.run(main())
