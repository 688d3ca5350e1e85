"""Times as texts: reads the formats of hosts, ISO 8601 and HTTP dates (`ValueError` for others), and writes ISO."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def iso_text(at: float) -> str:
    """A Unix time as text in UTC, to the second (RFC 3339)."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_moment(text: str) -> datetime:
    """The time of an ISO 8601 text; without a time zone it is UTC."""
    return _aware(datetime.fromisoformat(text))


def http_moment(text: str) -> datetime:
    """The time of an HTTP date."""
    try:
        return _aware(parsedate_to_datetime(text))
    except OverflowError as error:
        # The parser accepts years with any number of digits.
        raise ValueError("no such date") from error


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
