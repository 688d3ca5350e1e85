"""A simulated Messages upstream, so that the gateway can be tried without a key.

It imitates the streams, errors and figures of Anthropic's Messages API, and answers in canned sentences that repeat
what it understood. Words in the last user message can order other answers: see `ORDERS`.
"""

from gateway.demo.app import simulated_upstream
from gateway.demo.credentials import Account, account_of
from gateway.demo.orders import ORDERS
from gateway.demo.reading import Reader
from gateway.demo.received import Ending, ReceivedRequest
from gateway.demo.server import RunningUpstream, run_simulated_upstream

__all__ = [
    "ORDERS",
    "Account",
    "Ending",
    "Reader",
    "ReceivedRequest",
    "RunningUpstream",
    "account_of",
    "run_simulated_upstream",
    "simulated_upstream",
]
