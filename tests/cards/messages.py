"""Cards as the SDK's own protobuf classes write and read them: of A2A 1.0 or 0.3, whichever SDK this Python has.

    messages.py emit    in: a JSON object of cards by name; out: the same with each card's message and its ProtoJSON
    messages.py read    in: a JSON list of messages; out: a JSON list of their ProtoJSON
    messages.py table   out: the fields of the card's messages

Messages are in base64.
"""

import base64
import json
import sys

from google.protobuf.json_format import MessageToDict, ParseDict

try:
    from a2a.types.a2a_pb2 import AgentCard

    def message_of(card: dict):
        return ParseDict(card, AgentCard())

except ImportError:
    from a2a.grpc.a2a_pb2 import AgentCard
    from a2a.types import AgentCard as Card
    from a2a.utils.proto_utils import ToProto

    def message_of(card: dict):
        return ToProto.agent_card(Card.model_validate(card))


def emit(cards: dict) -> dict:
    messages = {name: message_of(card) for name, card in cards.items()}
    return {
        name: {
            'message': base64.b64encode(message.SerializeToString(deterministic=True)).decode(),
            'json': MessageToDict(message),
        }
        for name, message in messages.items()
    }


def read(messages: list) -> list:
    found = []
    for message in messages:
        card = AgentCard.FromString(base64.b64decode(message))
        written = card.SerializeToString(deterministic=True)
        card.DiscardUnknownFields()
        assert card.SerializeToString(deterministic=True) == written, 'there are unknown fields'
        found.append(MessageToDict(card))
    return found


def row(field) -> dict:
    if field.type == field.TYPE_MESSAGE:
        message = field.message_type
        if message.GetOptions().map_entry:
            return {'map': row(message.fields_by_name['value'])}
        return {'struct': True} if message.full_name == 'google.protobuf.Struct' else table(message)
    return {field.TYPE_STRING: {'text': True}, field.TYPE_BOOL: {'bool': True}}[field.type]


def table(message) -> dict:
    fields = {}
    for field in message.fields:
        label = 'repeated' if field.is_repeated else 'optional' if field.has_presence else 'plain'
        if 'map' in (what := row(field)):
            label = 'map'
        fields[str(field.number)] = [field.json_name, label, what]
    is_oneof = len(message.oneofs) == 1 and len(message.oneofs[0].fields) == len(message.fields) > 1
    return {'fields': fields, 'oneof': is_oneof}


if sys.argv[1] == 'table':
    print(json.dumps(table(AgentCard.DESCRIPTOR)))
else:
    print(json.dumps({'emit': emit, 'read': read}[sys.argv[1]](json.load(sys.stdin))))
