"""What is played: applications, sessions, the events that end them, and what must come of it.

Every expectation is written down by hand, so that the demo compares what the service did with what
a person says is right.
"""

from dataclasses import dataclass
from enum import StrEnum

from dispatcher.domain.applications import REQUIRED_INITIATORS, Mode, TokenType

PASSWORD_CHANGED = "password-changed"  # noqa: S105 - an initiator, no secret


class Fate(StrEnum):
    """What an event means for one application's sessions."""

    LOGGED_OUT = "logged out"
    NOT_SUBSCRIBED = "left alone: not subscribed"
    TOOK_NO_PART = "left alone: took no part"
    STILL_LOGGED_IN = "STILL LOGGED IN"
    """Never expected: the application should have been told, and was not, or did not act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleApplication:
    """One application; its first *stumbles* logouts are answered with 503."""

    client_id: str
    mode: Mode
    selected: tuple[str, ...] = REQUIRED_INITIATORS
    algorithm: str = "RS256"
    token_type: TokenType = TokenType.LOGOUT_JWT
    stumbles: int = 0

    def subscribes_to(self, initiator: str) -> bool:
        """Whether sessions that end for *initiator* are this application's concern."""
        return self.mode is Mode.ALL or initiator in self.selected


@dataclass(frozen=True, slots=True)
class SampleSession:
    """One session of one user, and the applications that took part in it.

    Only of one that is *told* does the service know: by the source's `session.joined`.
    """

    user: str
    device: str
    clients: tuple[str, ...]
    told: bool = True

    @property
    def sid(self) -> str:
        """The session's id."""
        return f"{self.user}-{self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEvent:
    """One event: the end of one session, or without a *device* of all of the user's.

    It must log out the applications in *logged_out*; those in *not_subscribed* took part too and
    must be left alone, since they did not ask for its initiator; all others took no part.
    """

    id: str
    initiator: str
    user: str
    device: str | None = None
    clients: tuple[str, ...] | None = None
    known: bool = True
    logged_out: tuple[str, ...] = ()
    not_subscribed: tuple[str, ...] = ()

    @property
    def sid(self) -> str | None:
        """The one session that ended, or None for all of the user's."""
        return None if self.device is None else f"{self.user}-{self.device}"

    @property
    def scope(self) -> str:
        """What ended, in words."""
        return f"user {self.user}" if self.sid is None else f"session {self.sid}"

    def concerns(self, sid: str, user: str) -> bool:
        """Whether a session ended with this event."""
        return user == self.user if self.sid is None else sid == self.sid

    def expected(self, client_id: str) -> Fate:
        """Return what this event must mean for one application."""
        if client_id in self.logged_out:
            return Fate.LOGGED_OUT
        return Fate.NOT_SUBSCRIBED if client_id in self.not_subscribed else Fate.TOOK_NO_PART

    def told(self) -> dict[str, object]:
        """Return the event as it is POSTed."""
        told: dict[str, object] = {"id": self.id, "initiator": self.initiator, "sub": self.user}
        if self.sid is not None:
            told["sid"] = self.sid
        if self.clients is not None:
            told["clients"] = [{"client_id": client_id} for client_id in self.clients]
        return told


def times(number: int) -> str:
    """Return how often, in words."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that is played; *forged* is the event that somebody else signs."""

    applications: tuple[SampleApplication, ...]
    sessions: tuple[SampleSession, ...]
    events: tuple[SampleEvent, ...]
    forged: SampleEvent

    def sessions_of(self, client_id: str) -> dict[str, str]:
        """Return the sessions (sid → user) that an application starts with."""
        return {one.sid: one.user for one in self.sessions if client_id in one.clients}

    def expected_sessions(self, client_id: str) -> dict[str, str]:
        """Return the sessions (sid → user) that must be left to an application at the end."""
        ending = [event for event in self.events if client_id in event.logged_out]
        return {
            sid: user
            for sid, user in self.sessions_of(client_id).items()
            if not any(event.concerns(sid, user) for event in ending)
        }

    def joins(self) -> list[dict[str, object]]:
        """Return the sessions as they are told, in one POST."""
        return [
            {
                "id": f"joined-{one.sid}",
                "type": "session.joined",
                "sub": one.user,
                "sid": one.sid,
                "clients": [{"client_id": client_id} for client_id in one.clients],
            }
            for one in self.sessions
            if one.told
        ]


SCENARIO = Scenario(
    applications=(
        SampleApplication(client_id="portal", mode=Mode.ALL),
        SampleApplication(
            client_id="shop",
            mode=Mode.CUSTOM,
            selected=(*REQUIRED_INITIATORS, PASSWORD_CHANGED),
            algorithm="ES256",
        ),
        SampleApplication(client_id="wiki", mode=Mode.CUSTOM, token_type=TokenType.JWT),
        SampleApplication(client_id="mail", mode=Mode.ALL, algorithm="ES256"),
        SampleApplication(client_id="crm", mode=Mode.ALL, stumbles=2),
    ),
    sessions=(
        SampleSession("alice", "phone", ("portal", "shop", "wiki", "crm")),
        SampleSession("alice", "laptop", ("portal", "shop", "mail")),
        SampleSession("bob", "phone", ("portal", "shop", "wiki")),
        SampleSession("bob", "laptop", ("portal", "mail")),
        SampleSession("carol", "tablet", ("portal", "shop", "wiki")),
        SampleSession("carol", "laptop", ("portal", "mail")),
        SampleSession("dave", "phone", ("portal", "wiki", "mail"), told=False),
        SampleSession("erin", "laptop", ("portal", "shop", "mail")),
        SampleSession("frank", "phone", ("portal", "shop", "wiki", "mail", "crm")),
    ),
    events=(
        SampleEvent(
            id="evt-1",
            initiator="rp-logout",
            user="alice",
            device="phone",
            logged_out=("portal", "shop", "wiki", "crm"),
        ),
        SampleEvent(
            id="evt-2",
            initiator=PASSWORD_CHANGED,
            user="bob",
            logged_out=("portal", "shop", "mail"),
            not_subscribed=("wiki",),
        ),
        SampleEvent(
            id="evt-3",
            initiator="session-revoked",
            user="carol",
            device="tablet",
            logged_out=("portal",),
            not_subscribed=("shop", "wiki"),
        ),
        SampleEvent(
            id="evt-4",
            initiator="account-deleted",
            user="dave",
            clients=("portal", "wiki", "mail"),
            logged_out=("portal", "mail"),
            not_subscribed=("wiki",),
        ),
        SampleEvent(
            id="evt-5",
            initiator="galaxy-collapsed",
            user="erin",
            device="laptop",
            known=False,
            logged_out=("portal", "mail"),
            not_subscribed=("shop",),
        ),
    ),
    forged=SampleEvent(id="evt-6", initiator="idp-logout", user="frank"),
)
