"""A simulated Messages upstream, so that everything runs without a key.

It speaks Anthropic's Messages API faithfully, with its validation and its streams, and answers in canned sentences
that repeat what it understood. What it can be told to do instead, by a word in the last user message, is in `ORDERS`.
"""

from gateway.demo.app import simulated_upstream
from gateway.demo.credentials import Account, account_of
from gateway.demo.orders import ORDERS
from gateway.demo.received import Ending, ReceivedRequest
from gateway.demo.server import RunningUpstream, run_simulated_upstream

__all__ = [
    "ORDERS",
    "Account",
    "Ending",
    "ReceivedRequest",
    "RunningUpstream",
    "account_of",
    "run_simulated_upstream",
    "simulated_upstream",
]
