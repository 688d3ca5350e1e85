"""Moments as hosts write them, in ISO 8601 or as HTTP does; a text that names none is a `ValueError`."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def iso_moment(text: str) -> datetime:
    """The moment of an ISO 8601 text; without a zone it is UTC."""
    return _aware(datetime.fromisoformat(text))


def http_moment(text: str) -> datetime:
    """The moment of a date as HTTP writes it."""
    try:
        return _aware(parsedate_to_datetime(text))
    except OverflowError as error:
        # It takes any number of digits for a year.
        raise ValueError("no such date") from error


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
