"""The agent of `agent_1_0.py`, which also speaks 0.3 at the same place, with a card that the SDK signs: by an RSA key and by one of P-256.

    python agent_signed.py [--port N]

Its keys are told at `GET /control/jwks`.
"""

from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.types import AgentCard, AgentInterface
from a2a.utils.signing import create_agent_card_signer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from agent_1_0 import CallContexts, expense_card, request_handler
from serving import arguments, serve

KEYS = {
    'RS256': (rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    'ES256': (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
}


def signed_card(url: str) -> AgentCard:
    """The card that states `url` for both versions, signed by both keys."""
    card = expense_card(url)
    card.supported_interfaces.append(
        AgentInterface(url=url, protocol_binding='JSONRPC', protocol_version='0.3')
    )
    signatures = []
    for algorithm, (key, _) in KEYS.items():
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        header = {'alg': algorithm, 'kid': algorithm, 'typ': 'JOSE', 'jku': None}
        signatures.append(create_agent_card_signer(pem, header)(AgentCard.FromString(card.SerializeToString())))
    for one in signatures:
        card.signatures.extend(one.signatures)
    return card


async def jwks(_request) -> JSONResponse:
    """The public keys."""
    keys = [
        {**kind.to_jwk(key.public_key(), as_dict=True), 'kid': algorithm, 'alg': algorithm}
        for algorithm, (key, kind) in KEYS.items()
    ]
    return JSONResponse({'keys': [{name: member for name, member in key.items() if name != 'key_ops'} for key in keys]})


if __name__ == '__main__':
    args = arguments(__doc__)
    handler = request_handler('1.0', signed_card(args.own_url), args)
    routes = [
        *create_agent_card_routes(signed_card(args.own_url)),
        *create_jsonrpc_routes(handler, rpc_url='/', context_builder=CallContexts(), enable_v0_3_compat=True),
        Route('/control/jwks', jwks),
    ]
    serve(Starlette(routes=routes), args)
