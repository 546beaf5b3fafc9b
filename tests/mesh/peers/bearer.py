"""Lets requests to an agent in that show a JWT access token (RFC 9068) of one authorization server, over HTTP and gRPC.

Cards are for all. What is refused gets a challenge (RFC 6750), over gRPC status 16 with ErrorInfo and Help. The agent's echo has the
token's `subject`, `client` and `scope`.
"""

import base64
import json
import time
from argparse import Namespace
from urllib.parse import parse_qs

import grpc
import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo, Help
from google.rpc.status_pb2 import Status
from starlette.responses import JSONResponse

REALM = 'partner'
HELP = 'https://partner.example.com/access'


class RefusedError(Exception):
    """Why a request does not get in: what the challenge says."""

    def __init__(self, status: int, error: str | None, description: str, scope: str = ''):
        super().__init__(description)
        self.status, self.error, self.description = status, error, description
        told = {'realm': REALM, 'error': error, 'error_description': error and description, 'scope': scope}
        self.challenge = 'Bearer ' + ', '.join(f'{name}="{value}"' for name, value in told.items() if value)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


class Tokens:
    """The tokens of `--issuer` for `--audience`, with `--scope` if that is given."""

    def __init__(self, args: Namespace):
        self._issuer, self._audience, self._scope = args.issuer, args.audience, args.scope
        self._jwks_uri = args.jwks or f'{args.issuer}/jwks'
        self._keys: dict[str, dict] = {}
        self._seen: set[str] = set()
        self._refused: set[str] = set()
        self._refuses_all = False

    def refuse(self, which: str) -> None:
        """From now on it refuses `all` tokens, those that it has `seen` until now, or `none`, although they are good."""
        self._refuses_all = which == 'all'
        self._refused = set(self._seen) if which == 'seen' else set()

    async def _key(self, kid: str) -> dict:
        if kid not in self._keys:
            async with httpx.AsyncClient() as http:
                keys = (await http.get(self._jwks_uri)).raise_for_status().json()['keys']
            self._keys = {key['kid']: key for key in keys}
        if kid not in self._keys:
            raise ValueError('no such key')
        return self._keys[kid]

    async def _verified(self, token: str) -> dict:
        signed, signature = token.rsplit('.', 1)
        header, claims = (json.loads(decoded(part)) for part in signed.split('.'))
        if header['alg'] != 'RS256' or header['typ'] != 'at+jwt':
            raise ValueError('no access token')
        key = await self._key(header['kid'])
        e, n = (int.from_bytes(decoded(key[name]), 'big') for name in ('e', 'n'))
        RSAPublicNumbers(e, n).public_key().verify(decoded(signature), signed.encode(), PKCS1v15(), SHA256())
        if claims['iss'] != self._issuer or claims['aud'] != self._audience:
            raise ValueError('another issuer or audience')
        if claims['exp'] <= time.time():
            raise ValueError('expired')
        return claims

    async def subject(self, authorizations: list[str]) -> dict:
        """Whose request it is, by the values of its `authorization`."""
        if len(authorizations) != 1 or not authorizations[0].startswith('Bearer '):
            raise RefusedError(401, None, f'a bearer token must be sent once; it was sent {len(authorizations)} times', self._scope)
        token = authorizations[0].removeprefix('Bearer ')
        try:
            claims = await self._verified(token)
        except (InvalidSignature, ValueError, KeyError, TypeError) as error:
            raise RefusedError(401, 'invalid_token', str(error) or type(error).__name__) from error
        self._seen.add(token)
        if self._refuses_all or token in self._refused:
            raise RefusedError(401, 'invalid_token', 'taken back')
        scopes = claims.get('scope', '')
        if not set(self._scope.split()) <= set(scopes.split()):
            raise RefusedError(403, 'insufficient_scope', 'more is needed', self._scope)
        return {'subject': claims['sub'], 'client': claims['client_id'], 'scope': scopes}


class TokenRequired:
    """Lets HTTP requests through that show such a token, and takes `POST /control/refuse?tokens=all|seen|none`."""

    def __init__(self, app, tokens: Tokens, received: str, control: str):
        self._app, self._tokens, self._received, self._control = app, tokens, received, control

    async def __call__(self, scope, receive, send):
        if scope['type'] != 'http' or '/.well-known/' in scope['path']:
            return await self._app(scope, receive, send)
        if scope['path'] == self._control:
            self._tokens.refuse(parse_qs(scope['query_string'].decode())['tokens'][0])
            return await JSONResponse({})(scope, receive, send)
        sent = [value.decode('latin-1') for name, value in scope['headers'] if name == b'authorization']
        try:
            scope[self._received].update(await self._tokens.subject(sent))
        except RefusedError as error:
            body = {'error': error.error or 'unauthorized', 'error_description': error.description}
            refusal = JSONResponse(body, status_code=error.status, headers={'WWW-Authenticate': error.challenge})
            return await refusal(scope, receive, send)
        return await self._app(scope, receive, send)


def packed(message) -> Any:
    detail = Any()
    detail.Pack(message)
    return detail


class CallTokenRequired(grpc.aio.ServerInterceptor):
    """The same for gRPC; `call` holds the call that is being answered."""

    def __init__(self, tokens: Tokens, call):
        self._tokens, self._call = tokens, call

    async def intercept_service(self, continuation, handler_call_details):
        sent = [value for name, value in handler_call_details.invocation_metadata if name == 'authorization']
        try:
            self._call.get().update(await self._tokens.subject(sent))
        except RefusedError as error:
            return grpc.unary_unary_rpc_method_handler(self._refusal(error))
        return await continuation(handler_call_details)

    @staticmethod
    def _refusal(error: RefusedError):
        code = grpc.StatusCode.PERMISSION_DENIED if error.status == 403 else grpc.StatusCode.UNAUTHENTICATED
        info = ErrorInfo(reason=(error.error or 'unauthorized').upper(), domain='partner.example.com')
        links = Help(links=[Help.Link(description='How to get a token', url=HELP)])
        status = Status(code=code.value[0], message=error.description, details=[packed(info), packed(links)])

        async def refuse(_request, context):
            context.set_trailing_metadata([('grpc-status-details-bin', status.SerializeToString())])
            await context.abort(code, error.description)

        return refuse
