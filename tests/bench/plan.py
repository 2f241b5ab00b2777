"""How much of everything is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The amounts of one run; each is an option of the command line."""

    tokens: int = 50_000
    """Tokens that each algorithm's pipeline carries."""
    shared_tokens: int = 20_000
    """Tokens that replicas carry together."""
    posts: int = 2_000
    """POSTs of each client in each round."""
    rounds: int = 5
    """Interleaved rounds of the clients."""
    hosts: int = 200
    """Applications on servers of their own that one process tells."""
    idle_events: int = 300
    """Events that come one by one to an idle service."""
    webhooks: int = 10_000
    """Webhooks of each kind; ten times as many events in arrays."""
    due: int = 1_000_000
    """Due deliveries of the long backlog."""
    due_few: int = 1_000
    """Due deliveries of the short backlog that it is compared with."""
    claims: int = 100
    """Claims, each settled, of either backlog."""
    stored: int = 20_000
    """Events that each store takes in, and delivers to one application."""
    pending: int = 1_000_000
    """Deliveries that wait while memory is measured."""
    seconds: int = 120
    """How long a brown-out lasts."""
    pairs: int = 3
    """Brown-outs, each after a time without one."""
    attempt_seconds: int = 5
    """How long an attempt may take in a brown-out: what the service is shipped with."""
    deadlines: int = 10_000
    """Attempts that are made to run out of time."""
    afterwards: int = 1_000
    """Healthy deliveries after them."""


TINY = Plan(
    tokens=200,
    shared_tokens=200,
    posts=60,
    rounds=1,
    hosts=5,
    idle_events=10,
    webhooks=100,
    due=2_000,
    due_few=300,
    claims=2,
    stored=500,
    pending=500,
    seconds=1,
    pairs=1,
    attempt_seconds=1,
    deadlines=128,
    afterwards=64,
)
"""Enough to see that everything works; its figures mean nothing."""
