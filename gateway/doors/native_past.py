"""Writes native requests with a history: unchanged, or without thinking that upstream would not accept."""

import logging
from dataclasses import replace

from gateway.service.signers import Recalled, Signers
from gateway.telemetry.logs import log_event
from translators.adjustments import Adjustments, united
from translators.hosts import HostProfile
from translators.kept.turns import refuses_thinking
from translators.native.request import NativeRequest
from translators.native.thinking import Thinking

_ACCOUNT = "account"
_REFUSED = "refused"


class NativeWriter:
    """Writes a native request whose history holds thinking, without the thinking that the chosen key cannot verify.

    The account that signed the latest thinking gets everything it has signed since any was left out; other accounts
    get none. Thinking that upstream rejects is also left out, once.
    """

    __slots__ = ("_forms", "_is_refused", "_recalled", "_request", "_scope", "_signers", "_thinking")

    def __init__(
        self, request: NativeRequest, thinking: Thinking, recalled: Recalled, signers: Signers, scope: bytes
    ) -> None:
        self._request = request
        self._thinking = thinking
        self._recalled = recalled
        self._signers = signers
        self._scope = scope
        self._is_refused = False
        self._forms: dict[tuple[int, str], NativeRequest] = {}

    def __call__(self, _host: HostProfile, is_home: bool) -> NativeRequest:
        """The request for a key; `is_home` says whether the key's account has signed the latest thinking."""
        if self._is_refused:
            return self._without(len(self._thinking.digests), _REFUSED)
        if not is_home:
            return self._without(len(self._thinking.digests), _ACCOUNT)
        return self._without(self._recalled.gone, self._recalled.left_out)

    def learn(self, _host: HostProfile, message: str, sent: NativeRequest) -> None:
        """Take in a 400: if it concerns thinking that was sent, send none of it again."""
        if sent.left_out or not refuses_thinking(message):
            return
        log_event(logging.WARNING, "Upstream refuses the thinking in a native request")
        self._signers.refuse(self._scope, self._thinking.digests)
        self._is_refused = True

    def _without(self, count: int, why: str) -> NativeRequest:
        if not count:
            return self._request
        if (known := self._forms.get((count, why))) is not None:
            return known
        body, is_off = self._thinking.without(self._request.body, count)
        notes = Adjustments()
        notes.note("thinking_blocks", "dropped", why)
        if is_off:
            notes.note("thinking", "disabled", "no-signed-thinking")
        request = replace(
            self._request,
            body=body,
            adjusted=united((self._request.adjusted, notes.header)),
            left_out=why if count == len(self._thinking.digests) else "",
        )
        self._forms[count, why] = request
        return request
