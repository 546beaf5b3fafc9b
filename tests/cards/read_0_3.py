"""Reads 0.3 cards with the A2A 0.3 SDK for Python, as its client does, and picks an interface.

In: a JSON list of {"version", "card"}. Out: a JSON list of what was read, in the same order.
"""

import asyncio
import json
import sys

import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.types import AgentCard


async def read(version: str, card: dict) -> dict:
    parsed = AgentCard.model_validate(card)
    # The SDK writes out its defaults; apart from them nothing may be lost.
    written = parsed.model_dump(mode='json', exclude_unset=True, by_alias=True)
    defaults = parsed.model_dump(mode='json', exclude_none=True, by_alias=True)
    assert {**defaults, **card} == {**defaults, **written}, (card, written)
    async with httpx.AsyncClient() as http:
        ClientFactory(ClientConfig(httpx_client=http, supported_transports=['JSONRPC', 'HTTP+JSON'])).create(parsed)
    others = parsed.additional_interfaces or []
    return {
        'name': parsed.name,
        'skills': [skill.id for skill in parsed.skills],
        'schemes': sorted(parsed.security_schemes or {}),
        'requirements': parsed.security or [],
        'interfaces': [[parsed.url, parsed.preferred_transport]] + [[one.url, one.transport] for one in others[1:]],
    }


async def main() -> None:
    print(json.dumps([await read(**one) for one in json.load(sys.stdin)]))


asyncio.run(main())
