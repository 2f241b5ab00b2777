"""Applications: our record of a relying party, kept as Auth0's client object.

The whole object is stored and returned untouched, beside the members that we act on, which are read
here into an ``Application``. Defaults are Auth0's: giving a Back-Channel Logout URI switches the
feature on, with the initiators ``rp-logout`` and ``idp-logout``; those two are always required in
mode ``custom``; mode ``all`` means all present and future initiators and is stored without a list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from dispatcher.domain.errors import Fault, InvalidApplication
from dispatcher.domain.events import (
    IDENTIFIER_RULE,
    IDP_LOGOUT,
    KNOWN_INITIATORS,
    RP_LOGOUT,
    ClientId,
    Initiator,
    is_identifier,
)
from dispatcher.domain.logout_uri import fault_of_logout_uri
from dispatcher.domain.reading import Reader, is_json

REQUIRED_INITIATORS: tuple[Initiator, ...] = (RP_LOGOUT, IDP_LOGOUT)
ALIAS = "oidc_backchannel_logout"
DEFAULT_ALGORITHM = "RS256"


class Mode(StrEnum):
    """Which initiators an application subscribes to."""

    CUSTOM = "custom"
    ALL = "all"


class TokenType(StrEnum):
    """The ``typ`` in a logout token's header; real applications disagree on which they accept."""

    LOGOUT_JWT = "logout+jwt"
    JWT = "JWT"
    NONE = "none"


class Subject(StrEnum):
    """Which of ``sub`` and ``sid`` an application wants in its tokens."""

    BOTH = "sub+sid"
    SID = "sid"
    SUB = "sub"


class ManagedBy(StrEnum):
    """Who owns an application's record."""

    API = "api"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutDelivery:
    """How logout tokens are delivered to one application: the object ``logout_delivery``.

    None stands for the deployment's own setting. Paths and addresses come from the declarative file
    alone; over the API certificates and keys are given as PEM text.
    """

    token_type: TokenType = TokenType.LOGOUT_JWT
    subject: Subject = Subject.BOTH
    timeout: timedelta | None = None
    max_in_flight: int = 16
    horizon: timedelta | None = None
    allow_addresses: tuple[str, ...] = ()
    ca_file: str | None = None
    client_certificate_file: str | None = None
    client_key_file: str | None = None
    ca_pem: str | None = None
    client_certificate_pem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application; ``document`` is its client object as it is shown.

    ``client_key_pem`` is the private key of its client certificate, ``secret_hash`` the hash of its
    ``client_secret``: neither is ever part of the document.
    """

    client_id: ClientId
    name: str
    document: Mapping[str, object]
    urls: tuple[str, ...] = ()
    mode: Mode = Mode.CUSTOM
    selected: frozenset[Initiator] = frozenset(REQUIRED_INITIATORS)
    include_session_metadata: bool = False
    algorithm: str = DEFAULT_ALGORITHM
    session_required: bool = False
    delivery: LogoutDelivery = field(default_factory=LogoutDelivery)
    managed_by: ManagedBy = ManagedBy.API
    client_key_pem: str | None = field(default=None, repr=False)
    secret_hash: str | None = field(default=None, repr=False)

    def subscribes_to(self, initiator: Initiator) -> bool:
        """Whether a session that ended for *initiator* is this application's concern."""
        if not self.urls:
            return False
        return self.mode is Mode.ALL or initiator in self.selected

    @property
    def wants_sid(self) -> bool:
        """Whether a token without ``sid`` is of no use to this application."""
        return self.session_required or self.delivery.subject is Subject.SID

    @property
    def wants_sub_alone(self) -> bool:
        """Whether a token of one session would end all of its user's sessions here."""
        return self.delivery.subject is Subject.SUB and not self.session_required


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRules:
    """What this deployment allows in an application's registration."""

    known_initiators: Sequence[str] = KNOWN_INITIATORS
    algorithms: Sequence[str] = ("RS256", "PS256", "ES256", "EdDSA")
    allow_http: bool = False
    managed_by: ManagedBy = ManagedBy.API


def patched(document: Mapping[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    """Replace each root member that *patch* gives, whole; null removes the member.

    The deprecated alias and ``oidc_logout`` are one member under two names: a patch of either is a
    patch of both.
    """
    merged = dict(document)
    touched = {"oidc_logout", ALIAS} & set(patch)
    for name in {"oidc_logout", ALIAS} if touched else ():
        merged.pop(name, None)
    merged |= patch
    return {name: value for name, value in merged.items() if value is not None}


def application_from(document: object, rules: RegistrationRules) -> Application:
    """Read a client object; raise InvalidApplication with every fault that it has."""
    faults: list[Fault] = []
    root = Reader(document, faults=faults)
    _refuse_unwritable(root)
    client_id = root.required("client_id", ok=is_identifier, rule=IDENTIFIER_RULE)
    name = root.required("name", ok=_is_name, rule="at least one character, without < and >")
    algorithm = _algorithm(root, rules)
    _refuse_encryption(root)
    _refuse_secret(root)
    session_required = root.boolean("backchannel_logout_session_required")
    logout = _logout_member(root)
    urls, mode, selected, metadata = _oidc_logout(logout, rules)
    delivery, key = _delivery(root.member("logout_delivery"), rules)
    if faults:
        raise InvalidApplication(faults)
    return Application(
        client_id=ClientId(client_id),
        name=name,
        document=_shown(root.document, logout, mode=mode, selected=selected),
        urls=urls,
        mode=mode,
        selected=frozenset(selected),
        include_session_metadata=metadata,
        algorithm=algorithm,
        session_required=session_required,
        delivery=delivery,
        managed_by=rules.managed_by,
        client_key_pem=key,
    )


def _refuse_unwritable(root: Reader) -> None:
    """Raise at once where a member can not be kept as JSON: it could not be shown again either."""
    for name, value in root.document.items():
        if not is_json([name, value]):
            root.fault(name, "can not be written as JSON")
    if root.faults:
        raise InvalidApplication(root.faults)


def _is_name(text: str) -> bool:
    return bool(text) and not set(text) & set("<>")


def _algorithm(root: Reader, rules: RegistrationRules) -> str:
    """Read the ID Token algorithm, under Auth0's name or OpenID Connect Registration's."""
    rule = (
        f"one of {', '.join(rules.algorithms)}; a logout token is always signed with a public key"
    )
    configuration = root.member("jwt_configuration")
    faults = len(root.faults)
    ours = lambda text: text in rules.algorithms  # noqa: E731 - one predicate for two members
    auth0 = configuration.text("alg", ok=ours, rule=rule) if configuration else None
    oidc = root.text("id_token_signed_response_alg", ok=ours, rule=rule)
    if auth0 and oidc and auth0 != oidc:
        root.fault("id_token_signed_response_alg", "differs from jwt_configuration.alg")
    named = auth0 or oidc or len(root.faults) > faults
    if not (named or DEFAULT_ALGORITHM in rules.algorithms):
        root.fault("jwt_configuration.alg", f"must be {rule}, since {DEFAULT_ALGORITHM} is not")
    return auth0 or oidc or DEFAULT_ALGORITHM


def _refuse_encryption(root: Reader) -> None:
    for name in ("id_token_encrypted_response_alg", "id_token_encrypted_response_enc"):
        if name in root:
            root.fault(
                name, "encrypted logout tokens are not supported, and none is sent plain instead"
            )


def _refuse_secret(root: Reader) -> None:
    # What is kept in the record is shown to whoever may read it.
    if "client_secret" in root:
        root.fault(
            "client_secret", "is not kept in the record: leave it out, nothing here needs it"
        )


def _logout_member(root: Reader) -> Reader | None:
    """Return ``oidc_logout``, which its deprecated alias may stand in for."""
    logout, alias = root.member("oidc_logout"), root.member(ALIAS)
    if logout and alias and alias.document not in (logout.document, _mirror(logout.document)):
        root.fault(ALIAS, "differs from oidc_logout, whose deprecated alias it is")
    return logout or alias


def _mirror(logout: Mapping[str, object]) -> dict[str, object]:
    urls = logout.get("backchannel_logout_urls")
    return {"backchannel_logout_urls": urls} if urls else {}


def _oidc_logout(
    logout: Reader | None, rules: RegistrationRules
) -> tuple[tuple[str, ...], Mode, tuple[Initiator, ...], bool]:
    if logout is None:
        return (), Mode.CUSTOM, REQUIRED_INITIATORS, False
    mode, selected = _initiators(logout.member("backchannel_logout_initiators"), rules)
    metadata = logout.member("backchannel_logout_session_metadata")
    include = metadata.boolean("include") if metadata else False
    return _urls(logout, rules), mode, selected, include


def _urls(logout: Reader, rules: RegistrationRules) -> tuple[str, ...]:
    urls: list[str] = []
    for path, item in logout.items("backchannel_logout_urls"):
        fault = fault_of_logout_uri(item, allow_http=rules.allow_http)
        if fault:
            logout.faults.append(Fault(path, fault))
        else:
            urls.append(str(item))
    logout.unique("backchannel_logout_urls", urls)
    return tuple(urls)


def _initiators(
    initiators: Reader | None, rules: RegistrationRules
) -> tuple[Mode, tuple[Initiator, ...]]:
    """Read the subscription; null and ``{}`` are the default two."""
    if initiators is None or not initiators.document:
        return Mode.CUSTOM, REQUIRED_INITIATORS
    mode = initiators.choice("mode", Mode, [*Mode]) or Mode.CUSTOM
    if mode is Mode.ALL:
        return mode, ()
    return mode, _selected(initiators, rules)


def _selected(initiators: Reader, rules: RegistrationRules) -> tuple[Initiator, ...]:
    name = "selected_initiators"
    selected = initiators.texts(
        name,
        ok=lambda text: text in rules.known_initiators,
        rule=f"one of {', '.join(rules.known_initiators)}",
    )
    if selected is None:
        initiators.fault(name, "is required in mode custom")
        return ()
    initiators.unique(name, selected)
    missing = [required for required in REQUIRED_INITIATORS if required not in selected]
    if missing:
        initiators.fault(name, f"must hold {' and '.join(missing)}, which mode custom requires")
    return tuple(Initiator(text) for text in selected)


FILE_ONLY = ("allow_addresses", "ca_file", "client_certificate_file", "client_key_file")
_PEM = ("ca_pem", "client_certificate_pem", "client_key_pem")
_DELIVERY_MEMBERS = frozenset(
    {"token_type", "subject", "timeout", "max_in_flight", "horizon", *FILE_ONLY, *_PEM}
)
SHORTEST_HORIZON, LONGEST_HORIZON = timedelta(minutes=1), timedelta(days=365)


def _delivery(
    delivery: Reader | None, rules: RegistrationRules
) -> tuple[LogoutDelivery, str | None]:
    if delivery is None:
        return LogoutDelivery(), None
    delivery.refuse_others(_DELIVERY_MEMBERS)
    if rules.managed_by is ManagedBy.API:
        for name in FILE_ONLY:
            if name in delivery:
                delivery.fault(name, "is accepted from the declarative file only")
    timeout = delivery.integer("timeout", least=1, most=10)
    texts = {
        name: delivery.text(name, ok=bool, rule="given, or left out")
        for name in (*FILE_ONLY[1:], *_PEM)
    }
    key = texts.pop("client_key_pem")
    _one_pair(delivery, texts, key)
    return (
        LogoutDelivery(
            token_type=delivery.choice("token_type", TokenType, [*TokenType])
            or TokenType.LOGOUT_JWT,
            subject=delivery.choice("subject", Subject, [*Subject]) or Subject.BOTH,
            timeout=timedelta(seconds=timeout) if timeout else None,
            max_in_flight=delivery.integer("max_in_flight", least=1, most=256) or 16,
            horizon=delivery.duration("horizon", least=SHORTEST_HORIZON, most=LONGEST_HORIZON),
            allow_addresses=delivery.texts("allow_addresses", ok=bool, rule="a CIDR") or (),
            **texts,
        ),
        key,
    )


def _one_pair(delivery: Reader, texts: Mapping[str, str | None], key: str | None) -> None:
    """Note a client certificate without its key, and what is given twice."""
    certificate = texts["client_certificate_file"] or texts["client_certificate_pem"]
    if bool(certificate) != bool(texts["client_key_file"] or key):
        delivery.fault("client_certificate_pem", "a client certificate and its key come together")
    for stem, second in (
        ("ca", texts["ca_pem"]),
        ("client_certificate", texts["client_certificate_pem"]),
        ("client_key", key),
    ):
        if texts[f"{stem}_file"] and second:
            delivery.fault(f"{stem}_pem", f"stands beside {stem}_file; give one of them")


def _shown(
    document: Mapping[str, object],
    logout: Reader | None,
    *,
    mode: Mode,
    selected: tuple[Initiator, ...],
) -> dict[str, object]:
    """Return the client object as it is stored: defaults filled in, the alias mirrored.

    The private key goes, and so does a list beside mode ``all``; members that are not ours stay.
    """
    shown = dict(document)
    delivery = shown.get("logout_delivery")
    if isinstance(delivery, dict):
        shown["logout_delivery"] = {k: v for k, v in delivery.items() if k != "client_key_pem"}
    if logout is None or not logout.document:
        return shown
    given = logout.document.get("backchannel_logout_initiators")
    initiators: dict[str, object] = dict(given) if isinstance(given, dict) else {}
    initiators["mode"] = mode.value
    if mode is Mode.ALL:
        initiators.pop("selected_initiators", None)
    else:
        initiators["selected_initiators"] = list(selected)
    shown["oidc_logout"] = {**logout.document, "backchannel_logout_initiators": initiators}
    shown[ALIAS] = _mirror(logout.document)
    return shown
