"""What a request came to, for rules and habits, from its record."""

from collections.abc import Sequence

from gateway.accounts.rules.habits import Habits
from gateway.accounts.rules.plan import Bill
from gateway.service.record import AttemptEntry, Record


def bills_of(record: Record) -> Sequence[Bill]:
    """One bill for each attempt; one that was sent and not billed counts as a request."""
    entries = record.entries
    if len(entries) == 1:
        return (_bill(entries[0]),)
    if not entries and record.attempts:
        return (Bill(record.model or "", 1, 0, 0, 0),)
    return [_bill(entry) for entry in entries]


def learn(habits: Habits, record: Record, choices: int) -> None:
    """Learn from a complete answer."""
    if record.stop_reason is not None:
        usage = record.answer_usage
        habits.note(usage.prompt_tokens, usage.cache_read_tokens, usage.output_tokens // choices)


def _bill(entry: AttemptEntry) -> Bill:
    total = entry.total
    # What a cache has is left out, as in upstream's own limits.
    fresh = total.input_tokens + total.cache_write_5m_tokens + total.cache_write_1h_tokens
    return Bill(entry.model, 1, fresh, total.output_tokens, entry.charge.nano_dollars)
