"""What a request came to, for rules and habits, from its record."""

from collections.abc import Sequence

from gateway.accounts.rules.habits import Habits
from gateway.accounts.rules.plan import Bill, Hold
from gateway.service.record import AttemptEntry, Record


def settle(hold: Hold, record: Record | None, choices: int) -> None:
    """Replace what a request holds by what it came to, and learn from a complete answer; None: nothing was sent."""
    if record is None:
        hold.settle_bills(())
        return
    entries, plan = record.entries, hold.plan
    if len(entries) == 1 and (entry := entries[0]).messages and entry.model == plan.model:
        fresh, output, money = _used(entry)
        hold.settle((1, fresh, output, 0, money, fresh, output, money))
    else:
        hold.settle_bills(bills_of(record), choices)
    habits = plan.habits
    if record.stop_reason is not None and habits.is_due():
        learn(habits, record, choices)


def bills_of(record: Record) -> Sequence[Bill]:
    """One bill for each attempt; one that was sent and not billed counts as a request."""
    entries = record.entries
    if not entries and record.attempts:
        return (Bill(record.model or "", 1, 0, 0, 0),)
    return [Bill(entry.model, 1, *_used(entry), entry.is_unreported) for entry in entries]


def learn(habits: Habits, record: Record, choices: int) -> None:
    """Learn from a complete answer."""
    usage = record.answer_usage
    habits.note(usage.prompt_tokens, usage.cache_read_tokens, usage.output_tokens // choices)


def _used(entry: AttemptEntry) -> tuple[int, int, int]:
    total = entry.total
    # What a cache has is left out, as in upstream's own limits.
    fresh = total.input_tokens + total.cache_write_5m_tokens + total.cache_write_1h_tokens
    return fresh, total.output_tokens, entry.charge.nano_dollars
