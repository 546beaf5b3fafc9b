"""The agent of `agent_1_0.py` with the card that a file holds as JSON, read at each request for the card.

    CARD_FILE=F python agent_stating.py [--port N]
"""

import os
from pathlib import Path

from a2a.types import AgentCard
from google.protobuf.json_format import Parse

from agent_1_0 import application, request_handler
from serving import arguments, serve

FILE = Path(os.environ['CARD_FILE'])


def stated_card(_url: str) -> AgentCard:
    """The card as it is now. Members that are not of 1.0 are left out."""
    return Parse(FILE.read_text(), AgentCard(), ignore_unknown_fields=True)


if __name__ == '__main__':
    args = arguments(__doc__)
    handler = request_handler('1.0', stated_card(args.own_url), args, stated_card)
    serve(application(handler, stated_card, args), args)
