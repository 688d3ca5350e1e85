"""What happens to the pool's keys and hosts, told to operators: a line of the log, and for some of it an alert."""

import logging
from typing import Final

from gateway.alerts.alert import Alert, repeated
from gateway.keypool import KeyState
from gateway.service.dispatch import Change
from gateway.service.outages import Outage
from gateway.telemetry.logs import log_event

# A request that another key could answer is no reason for a warning; the loss of a key is.
_CHANGES: Final = {
    Change.REJECTED: (
        logging.WARNING,
        "Upstream rejects a key, which is not used until upstream accepts it again: correct its secret, "
        "or run `dragoman doctor`",
    ),
    Change.ACCEPTED: (logging.INFO, "Upstream accepts a rejected key again"),
    Change.OUT_OF_FUNDS: (logging.WARNING, "An organization is out of funds, its keys are not used for now"),
    Change.WORKSPACE_RESTS: (logging.WARNING, "A workspace is unavailable, its keys are not used for now"),
}
_ALERTS: Final = {
    Change.REJECTED: "key_rejected",
    Change.OUT_OF_FUNDS: "out_of_funds",
    Change.WORKSPACE_RESTS: "workspace_unavailable",
}


def log_change(change: Change, state: KeyState) -> None:
    level, message = _CHANGES[change]
    log_event(level, message, key=state.key.name, organisation=_organization(state))


def log_outage(outage: Outage) -> None:
    about = {"host": outage.host, "models": outage.models, "why": outage.why}
    if outage.seconds is None:
        log_event(logging.WARNING, "Upstream fails, only trial requests are sent to it", **about)
    else:
        log_event(logging.INFO, "Upstream answers again", **about, seconds=round(outage.seconds, 1))


def alert_of(change: Change, state: KeyState, at: float, repeat_seconds: float) -> Alert | None:
    """The alert about a change of a key; None for one that is good news."""
    kind = _ALERTS.get(change)
    if kind is None:
        return None
    organization = _organization(state)
    data = {"key": state.key.name, "organization": organization}
    # An organization's keys run out of funds together.
    subject = state.key.name if change is Change.REJECTED or organization is None else organization
    return repeated(subject, kind, at, repeat_seconds, f"{_CHANGES[change][1]} (key {state.key.name})", data)


def _organization(state: KeyState) -> str | None:
    return state.organization.name if state.organization.is_known else None
