"""What services said about themselves: until when they want to be left alone, and how much they allow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg


class ServiceState(NamedTuple):
    """``not_before`` in seconds since 1970; ``mode`` as the service's own documentation calls it."""

    not_before: float | None = None
    reason: str | None = None
    mode: str | None = None


def service_state(connection: psycopg.Connection, service: str) -> ServiceState:
    """What is known of *service*."""
    row = connection.execute(
        "SELECT extract(epoch FROM not_before)::float8, reason, mode FROM service_states WHERE service = %s", [service]
    ).fetchone()
    return ServiceState(*row) if row else ServiceState()


def leave_alone(connection: psycopg.Connection, service: str, until: float, reason: str) -> None:
    """*service* is asked nothing before *until* (seconds since 1970)."""
    connection.execute(
        """
        INSERT INTO service_states (service, not_before, reason) VALUES (%s, %s, %s)
        ON CONFLICT (service) DO UPDATE
        SET not_before = greatest(service_states.not_before, excluded.not_before), reason = excluded.reason
        """,
        [service, datetime.fromtimestamp(until, UTC), reason],
    )


def remember_mode(connection: psycopg.Connection, service: str, mode: str) -> None:
    """*service* lets us do what *mode* allows."""
    connection.execute(
        """
        INSERT INTO service_states (service, mode) VALUES (%s, %s)
        ON CONFLICT (service) DO UPDATE SET mode = excluded.mode
        """,
        [service, mode],
    )
