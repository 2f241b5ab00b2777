"""Applications: our record of a relying party, kept as Auth0's client object."""

import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.applications import (
    ALIAS,
    FILE_ONLY,
    Application,
    LogoutDelivery,
    ManagedBy,
    Mode,
    RegistrationRules,
    Subject,
    TokenType,
    application_from,
)
from dispatcher.domain.errors import Fault, InvalidApplication
from dispatcher.domain.events import IDP_LOGOUT, RP_LOGOUT, Initiator
from tests.domain.builders import (
    FROM_THE_FILE,
    OVER_THE_API,
    an_application,
    for_all,
    json_values,
)

URLS = ["https://shop.example/logout"]
BOTH = ["rp-logout", "idp-logout"]
SHOP: dict[str, Any] = {"client_id": "shop", "name": "Shop"}
WITH_URLS = {"backchannel_logout_urls": URLS}
CUSTOM_BOTH = {"mode": "custom", "selected_initiators": BOTH}


def read(document: object, rules: RegistrationRules = OVER_THE_API) -> Application:
    """Read a client object."""
    return application_from(document, rules)


def faults_of(document: object, rules: RegistrationRules = OVER_THE_API) -> list[str]:
    """List what is wrong with a client object."""
    with pytest.raises(InvalidApplication) as caught:
        application_from(document, rules)
    return [str(fault) for fault in caught.value.faults]


def subscribed(initiators: object, **more: object) -> dict[str, Any]:
    """Make a client object with these initiators."""
    return {
        **SHOP,
        "oidc_logout": {**WITH_URLS, "backchannel_logout_initiators": initiators, **more},
    }


# The client object.


def test_an_application_has_its_defaults() -> None:
    """A name and a client_id make an application, which no URI means is told of nothing."""
    application = read(SHOP)

    assert application == Application(client_id="shop", name="Shop", document=SHOP)  # type: ignore[arg-type]  # the NewType, spelled as text
    assert application.selected == {RP_LOGOUT, IDP_LOGOUT}
    assert application.algorithm == "RS256"
    assert not application.subscribes_to(RP_LOGOUT)


def test_the_client_object_is_kept_whole() -> None:
    """Any member beside ours is stored and shown as it came, at the root and further in."""
    document = {
        **SHOP,
        "app_type": "regular_web",
        "jwks": {"keys": [{"kty": "RSA"}]},
        "callbacks": None,
        "jwt_configuration": {"alg": "PS256", "lifetime_in_seconds": 36000},
        "oidc_logout": {
            **WITH_URLS,
            "ours": {"not": ["this"]},
            "backchannel_logout_initiators": {**CUSTOM_BOTH, "note": "kept"},
        },
        "logout_delivery": {"timeout": 3},
    }
    before = copy.deepcopy(document)

    shown = read(document).document

    assert shown == {**document, ALIAS: WITH_URLS}
    assert document == before


@pytest.mark.parametrize("document", [None, "shop", 1, [SHOP], True])
def test_what_is_no_object_is_no_application(document: object) -> None:
    """A document that is no object is refused as one."""
    assert [fault.rpartition(", ")[2] for fault in faults_of(document)] == ["expected an object"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_id": None}, "client_id: is required"),
        ({"client_id": ""}, "client_id: must be 1 to 255 printable ASCII characters"),
        ({"client_id": "é"}, "client_id: must be 1 to 255 printable ASCII characters"),
        ({"client_id": 5}, "client_id: is a whole number, expected a string"),
        ({"name": None}, "name: is required"),
        ({"name": ""}, "name: must be at least one character, without < and >"),
        ({"name": "a<b"}, "name: must be at least one character, without < and >"),
        ({"name": "a>b"}, "name: must be at least one character, without < and >"),
        (
            {"backchannel_logout_session_required": "yes"},
            "backchannel_logout_session_required: is a string, expected a boolean",
        ),
    ],
)
def test_an_application_has_a_name_and_an_id(changes: dict[str, Any], expected: str) -> None:
    """A client object has a client_id and a name, each of its form."""
    assert faults_of(SHOP | changes) == [expected]


def test_what_is_no_json_is_refused() -> None:
    """Whatever could not be written as JSON again is refused, by its member, before all else."""
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    document = {"client_id": "", "name": "\ud800", "nan": float("nan"), "\udfff": 1, "deep": deep}

    assert faults_of(document) == [
        f"{name}: can not be written as JSON" for name in ("name", "nan", "\udfff", "deep")
    ]


def test_every_fault_is_told_at_once() -> None:
    """A client object with many faults is refused with all of them, each by its path."""
    document = {
        "name": 5,
        "jwt_configuration": "RS256",
        "id_token_encrypted_response_alg": "RSA-OAEP",
        "oidc_logout": {
            "backchannel_logout_urls": ["http://shop.example/", 5],
            "backchannel_logout_initiators": {"mode": "some", "selected_initiators": ["x"]},
            "backchannel_logout_session_metadata": {"include": 1},
        },
        "logout_delivery": [],
    }

    assert [fault.partition(": ")[0] for fault in faults_of(document)] == [
        "client_id",
        "name",
        "jwt_configuration",
        "id_token_encrypted_response_alg",
        "oidc_logout.backchannel_logout_initiators.mode",
        "oidc_logout.backchannel_logout_initiators.selected_initiators[0]",
        "oidc_logout.backchannel_logout_initiators.selected_initiators",
        "oidc_logout.backchannel_logout_session_metadata.include",
        "oidc_logout.backchannel_logout_urls[0]",
        "oidc_logout.backchannel_logout_urls[1]",
        "logout_delivery",
    ]


# URIs switch it on.


def test_urls_alone_subscribe_to_the_default_two() -> None:
    """Giving a URI switches the feature on, with rp-logout and idp-logout, and shows both."""
    application = read({**SHOP, "oidc_logout": WITH_URLS})

    assert application.urls == tuple(URLS)
    assert application.mode is Mode.CUSTOM
    assert application.selected == {"rp-logout", "idp-logout"}
    assert application.document == {
        **SHOP,
        "oidc_logout": {**WITH_URLS, "backchannel_logout_initiators": CUSTOM_BOTH},
        ALIAS: WITH_URLS,
    }


@pytest.mark.parametrize("initiators", [None, {}])
def test_initiators_that_say_nothing_are_the_default_two(initiators: object) -> None:
    """Initiators that are null or an empty object are the default two."""
    assert read(subscribed(initiators)) == read({**SHOP, "oidc_logout": WITH_URLS})


@pytest.mark.parametrize(
    "logout",
    [None, {}, {"backchannel_logout_urls": None}, WITH_URLS | {"backchannel_logout_urls": []}],
)
def test_no_urls_switch_it_off(logout: object) -> None:
    """Without URIs an application is told of nothing, whatever it subscribes to."""
    application = read({**SHOP, "oidc_logout": logout})

    assert application.urls == ()
    assert not application.subscribes_to(RP_LOGOUT)


@pytest.mark.parametrize("document", [{**SHOP, "oidc_logout": {}}, {**SHOP, "oidc_logout": None}])
def test_an_empty_object_is_shown_as_it_is(document: dict[str, Any]) -> None:
    """An oidc_logout that is empty or null is shown so, without defaults and without alias."""
    assert read(document).document == document


def test_initiators_without_urls_are_shown() -> None:
    """Initiators without URIs are stored and shown, with an alias that is empty."""
    document = {**SHOP, "oidc_logout": {"backchannel_logout_initiators": {"mode": "all"}}}

    application = read(document)

    assert application.mode is Mode.ALL
    assert application.document == {**document, ALIAS: {}}


def test_several_urls_are_allowed_once_each() -> None:
    """An application may have several URIs, in their order, and none of them twice."""
    urls = [*URLS, "https://shop.example/logout?a=%20b"]

    application = read({**SHOP, "oidc_logout": {"backchannel_logout_urls": urls}})

    assert application.urls == tuple(urls)
    assert faults_of({**SHOP, "oidc_logout": {"backchannel_logout_urls": URLS * 2}}) == [
        "oidc_logout.backchannel_logout_urls: must not hold the same value twice"
    ]


def test_http_is_the_deployments_to_allow() -> None:
    """2.2: a URI of http is refused by its index, unless the deployment allows it."""
    document = {**SHOP, "oidc_logout": {"backchannel_logout_urls": [*URLS, "http://a.example/"]}}

    faults = faults_of(document)

    assert len(faults) == 1
    assert faults[0].startswith("oidc_logout.backchannel_logout_urls[1]: must be https")
    assert len(read(document, RegistrationRules(allow_http=True)).urls) == 2


# Modes and initiators.


def test_mode_all_drops_a_list() -> None:
    """Mode all means all present and future initiators: it is stored without a list, unread."""
    initiators = {"mode": "all", "selected_initiators": ["no such", 5], "note": "kept"}

    application = read(subscribed(initiators))

    assert application.subscribes_to(Initiator("moon-landed"))
    assert application.document["oidc_logout"] == {
        **WITH_URLS,
        "backchannel_logout_initiators": {"mode": "all", "note": "kept"},
    }


@pytest.mark.parametrize("mode", [{}, {"mode": None}, {"mode": "custom"}])
def test_custom_keeps_the_order_of_its_list(mode: dict[str, Any]) -> None:
    """Mode custom, which is the default, keeps the selected initiators in their order."""
    selected = ["session-expired", "idp-logout", "account-deleted", "rp-logout"]

    application = read(subscribed({**mode, "selected_initiators": selected}))

    assert application.mode is Mode.CUSTOM
    assert application.selected == set(selected)
    assert application.document["oidc_logout"] == {
        **WITH_URLS,
        "backchannel_logout_initiators": {"mode": "custom", "selected_initiators": selected},
    }


_SELECTED = "oidc_logout.backchannel_logout_initiators.selected_initiators"
_KNOWN = ", ".join(OVER_THE_API.known_initiators)


@pytest.mark.parametrize(
    ("initiators", "expected"),
    [
        ({"mode": "custom"}, [f"{_SELECTED}: is required in mode custom"]),
        (
            {"mode": "custom", "selected_initiators": None},
            [f"{_SELECTED}: is required in mode custom"],
        ),
        (
            {"mode": "custom", "selected_initiators": []},
            [f"{_SELECTED}: must hold rp-logout and idp-logout, which mode custom requires"],
        ),
        (
            {"mode": "custom", "selected_initiators": ["rp-logout"]},
            [f"{_SELECTED}: must hold idp-logout, which mode custom requires"],
        ),
        (
            {"mode": "custom", "selected_initiators": ["idp-logout", "account-deleted"]},
            [f"{_SELECTED}: must hold rp-logout, which mode custom requires"],
        ),
        (
            {"selected_initiators": [*BOTH, "moon-landed"]},
            [f"{_SELECTED}[2]: must be one of {_KNOWN}"],
        ),
        (
            {"selected_initiators": [*BOTH, "rp-logout"]},
            [f"{_SELECTED}: must not hold the same value twice"],
        ),
        (
            {"mode": "some", "selected_initiators": BOTH},
            ["oidc_logout.backchannel_logout_initiators.mode: must be one of custom, all"],
        ),
        (
            "all",
            ["oidc_logout.backchannel_logout_initiators: is a string, expected an object"],
        ),
    ],
)
def test_custom_needs_its_list(initiators: object, expected: list[str]) -> None:
    """In mode custom the list is required, holds both that are always on, and knows each name."""
    assert faults_of(subscribed(initiators)) == expected


def test_the_operator_may_add_initiators() -> None:
    """A name that the operator added to the known ones may be selected."""
    rules = RegistrationRules(known_initiators=(*OVER_THE_API.known_initiators, "moon-landed"))

    application = read(subscribed({"selected_initiators": [*BOTH, "moon-landed"]}), rules)

    assert application.subscribes_to(Initiator("moon-landed"))


def test_who_subscribes() -> None:
    """An application subscribes to what it selected, or to all, as long as it has a URI."""
    picky = an_application(selected=frozenset({Initiator("account-deleted")}))

    assert picky.subscribes_to(Initiator("account-deleted"))
    assert not picky.subscribes_to(RP_LOGOUT)
    assert for_all("shop").subscribes_to(Initiator("moon-landed"))
    assert not for_all("shop", urls=()).subscribes_to(RP_LOGOUT)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [(None, False), ({}, False), ({"include": None}, False), ({"include": True}, True)],
)
def test_metadata_are_included_on_wish(
    metadata: object,
    expected: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    """Session metadata reach an application's tokens only where it includes them."""
    application = read(subscribed(CUSTOM_BOTH, backchannel_logout_session_metadata=metadata))

    assert application.include_session_metadata is expected


# The deprecated alias.


def test_the_alias_stands_in_for_oidc_logout() -> None:
    """What is written under the deprecated alias alone is read, and shown, as oidc_logout."""
    alias = {
        **WITH_URLS,
        "backchannel_logout_initiators": {"mode": "all"},
        "backchannel_logout_session_metadata": {"include": True},
    }

    application = read({**SHOP, ALIAS: alias})

    assert application.mode is Mode.ALL
    assert application.include_session_metadata
    assert application.document == {**SHOP, "oidc_logout": alias, ALIAS: WITH_URLS}
    assert faults_of({**SHOP, ALIAS: {"backchannel_logout_urls": "x"}}) == [
        f"{ALIAS}.backchannel_logout_urls: is a string, expected an array"
    ]


@pytest.mark.parametrize(
    "alias", [None, WITH_URLS, WITH_URLS | {"backchannel_logout_initiators": CUSTOM_BOTH}]
)
def test_the_alias_may_stand_beside(alias: object) -> None:
    """The alias may stand beside oidc_logout as the same, as its URIs alone, or as null."""
    document = {**subscribed(CUSTOM_BOTH), ALIAS: alias}

    assert read(document) == read(subscribed(CUSTOM_BOTH))


@pytest.mark.parametrize("alias", [{}, {"backchannel_logout_urls": ["https://other.example/"]}])
def test_an_alias_that_differs_is_refused(alias: object) -> None:
    """An alias that says something else than oidc_logout in the same write is refused."""
    assert faults_of({**subscribed(CUSTOM_BOTH), ALIAS: alias}) == [
        f"{ALIAS}: differs from oidc_logout, whose deprecated alias it is"
    ]


# Signing.


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_the_algorithm_is_that_of_id_tokens(algorithm: str) -> None:
    """2.6: a logout token is signed as the ID Tokens are, under Auth0's name or OpenID's."""
    by_auth0 = {**SHOP, "jwt_configuration": {"alg": algorithm}}
    by_openid = {**SHOP, "id_token_signed_response_alg": algorithm}

    assert read(by_auth0).algorithm == algorithm
    assert read(by_openid).algorithm == algorithm
    assert read(by_auth0 | by_openid).algorithm == algorithm


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "rs256", "RS512", ""])
def test_only_public_keys_sign(algorithm: str) -> None:
    """2.6: none is never used, nor a shared secret, nor what this deployment has no key for."""
    rule = "must be one of RS256, PS256, ES256, EdDSA; a logout token is always signed"

    by_auth0 = faults_of({**SHOP, "jwt_configuration": {"alg": algorithm}})
    by_openid = faults_of({**SHOP, "id_token_signed_response_alg": algorithm})

    assert by_auth0 == [f"jwt_configuration.alg: {rule} with a public key"]
    assert by_openid == [f"id_token_signed_response_alg: {rule} with a public key"]


def test_two_algorithms_that_differ_are_refused() -> None:
    """Auth0's and OpenID's names may both stand, and must say the same."""
    document = {
        **SHOP,
        "jwt_configuration": {"alg": "RS256"},
        "id_token_signed_response_alg": "ES256",
    }

    assert faults_of(document) == [
        "id_token_signed_response_alg: differs from jwt_configuration.alg"
    ]


def test_a_deployment_without_rs256_asks_for_the_algorithm() -> None:
    """Registration section 2: RS256 is the default; where there is no key for it, one is named."""
    rules = RegistrationRules(algorithms=("ES256",))

    assert read({**SHOP, "jwt_configuration": {"alg": "ES256"}}, rules).algorithm == "ES256"
    assert read({**SHOP, "id_token_signed_response_alg": "ES256"}, rules).algorithm == "ES256"
    for asked in ({}, {"jwt_configuration": {"alg": "RS256"}}):
        assert [fault.partition(": ")[0] for fault in faults_of({**SHOP, **asked}, rules)] == [
            "jwt_configuration.alg"
        ]


@pytest.mark.parametrize(
    "name", ["id_token_encrypted_response_alg", "id_token_encrypted_response_enc"]
)
@pytest.mark.parametrize("value", ["RSA-OAEP", "", 5])
def test_encryption_is_refused(name: str, value: object) -> None:
    """2.4: who wants encrypted tokens is refused, since none is sent plain instead."""
    assert faults_of({**SHOP, name: value}) == [
        f"{name}: encrypted logout tokens are not supported, and none is sent plain instead"
    ]
    assert read({**SHOP, name: None}).client_id == "shop"


@pytest.mark.parametrize(
    ("required", "subject", "expected"),
    [
        (False, "sub+sid", False),
        (False, "sub", False),
        (False, "sid", True),
        (True, "sub+sid", True),
    ],
)
def test_who_wants_sid(
    required: bool,  # noqa: FBT001 - pytest gives it
    subject: str,
    expected: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    """2.2: a token without sid is of no use to who requires it, or wants nothing else."""
    document = {
        **SHOP,
        "backchannel_logout_session_required": required,
        "logout_delivery": {"subject": subject},
    }

    assert read(document).wants_sid is expected


# How it is delivered.


def test_everything_of_the_delivery_is_read() -> None:
    """The declarative file may say everything of how tokens are delivered."""
    delivery = {
        "token_type": "JWT",
        "subject": "sid",
        "timeout": 10,
        "max_in_flight": 256,
        "horizon": "24h",
        "allow_addresses": ["10.20.0.0/16"],
        "ca_file": "/ca.pem",
        "client_certificate_file": "/us.pem",
        "client_key_file": "/key.pem",
    }

    application = read({**SHOP, "logout_delivery": delivery}, FROM_THE_FILE)

    assert application.managed_by is ManagedBy.FILE
    assert application.document["logout_delivery"] == delivery
    assert application.delivery == LogoutDelivery(
        token_type=TokenType.JWT,
        subject=Subject.SID,
        timeout=timedelta(seconds=10),
        max_in_flight=256,
        horizon=timedelta(hours=24),
        allow_addresses=("10.20.0.0/16",),
        ca_file="/ca.pem",
        client_certificate_file="/us.pem",
        client_key_file="/key.pem",
    )


def test_the_delivery_has_its_defaults() -> None:
    """Each member of logout_delivery is optional, and so is the whole."""
    for document in (SHOP, {**SHOP, "logout_delivery": {}}, {**SHOP, "logout_delivery": None}):
        assert read(document).delivery == LogoutDelivery(
            token_type=TokenType.LOGOUT_JWT,
            subject=Subject.BOTH,
            timeout=None,
            max_in_flight=16,
            horizon=None,
        )


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("token_type", "jwt"),
        ("subject", "sid+sub"),
        ("timeout", 0),
        ("timeout", 11),
        ("timeout", 2.5),
        ("timeout", True),
        ("max_in_flight", 0),
        ("max_in_flight", 257),
        ("horizon", "59s"),
        ("horizon", "366d"),
        ("horizon", 3600),
        ("allow_addresses", [""]),
        ("allow_addresses", "10.0.0.0/8"),
        ("ca_file", ""),
        ("ca_pem", ""),
        ("client_key_pem", ""),
        ("typo", 1),
        ("typo", None),
    ],
)
def test_a_wrong_member_of_the_delivery_is_refused(member: str, value: object) -> None:
    """A member of logout_delivery that is unknown, empty, or out of its bounds is refused."""
    faults = faults_of({**SHOP, "logout_delivery": {member: value}}, FROM_THE_FILE)

    assert len(faults) == 1
    assert faults[0].startswith(f"logout_delivery.{member}")


@pytest.mark.parametrize(
    ("timeout", "most", "horizon", "expected"),
    [(1, 1, "1m", timedelta(minutes=1)), (10, 256, "365d", timedelta(days=365))],
)
def test_the_bounds_are_allowed(timeout: int, most: int, horizon: str, expected: timedelta) -> None:
    """The bounds are allowed: 1 to 10 seconds, 1 to 256 at once, a minute to a year."""
    delivery = {"timeout": timeout, "max_in_flight": most, "horizon": horizon}

    assert read({**SHOP, "logout_delivery": delivery}).delivery == LogoutDelivery(
        timeout=timedelta(seconds=timeout), max_in_flight=most, horizon=expected
    )


@pytest.mark.parametrize("member", FILE_ONLY)
def test_what_reaches_inside_is_for_the_file_alone(member: str) -> None:
    """Addresses and paths are refused over the API, each by its name; null says nothing."""
    values: dict[str, object] = {
        "allow_addresses": [],
        "ca_file": "/ca.pem",
        "client_certificate_file": "/us.pem",
        "client_key_file": "/key.pem",
    }

    faults = faults_of({**SHOP, "logout_delivery": {member: values[member]}})

    assert f"logout_delivery.{member}: is accepted from the declarative file only" in faults
    assert set(values) == set(FILE_ONLY)
    assert read({**SHOP, "logout_delivery": {member: None}}).delivery == LogoutDelivery()


def test_a_client_secret_is_no_part_of_the_record() -> None:
    """A secret in the record, which is shown, is refused by its name and not quoted."""
    for rules in (OVER_THE_API, FROM_THE_FILE):
        assert faults_of({**SHOP, "client_secret": "KANARI"}, rules) == [
            "client_secret: is not kept in the record: leave it out, nothing here needs it"
        ]


def test_a_client_key_is_never_shown() -> None:
    """The key of a client certificate is read, and neither shown in the document nor printed."""
    pem = {"client_certificate_pem": "certificate", "client_key_pem": "hidden", "ca_pem": "ca"}

    application = read({**SHOP, "logout_delivery": pem})

    assert application.client_key_pem == "hidden"
    assert application.delivery.client_certificate_pem == "certificate"
    assert application.document["logout_delivery"] == {
        "client_certificate_pem": "certificate",
        "ca_pem": "ca",
    }
    assert "hidden" not in repr(application)


_CERTIFICATE = "logout_delivery.client_certificate_pem"
_APART = f"{_CERTIFICATE}: a client certificate and its key come together"


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        ({"client_certificate_pem": "c"}, [_APART]),
        ({"client_certificate_file": "c"}, [_APART]),
        ({"client_key_pem": "k"}, [_APART]),
        ({"client_key_file": "k"}, [_APART]),
        (
            {"ca_pem": "a", "ca_file": "a"},
            ["logout_delivery.ca_pem: stands beside ca_file; give one of them"],
        ),
        (
            {"client_certificate_pem": "c", "client_certificate_file": "c", "client_key_pem": "k"},
            [f"{_CERTIFICATE}: stands beside client_certificate_file; give one of them"],
        ),
        (
            {"client_certificate_pem": "c", "client_key_file": "k", "client_key_pem": "k"},
            ["logout_delivery.client_key_pem: stands beside client_key_file; give one of them"],
        ),
    ],
)
def test_a_certificate_and_its_key_are_given_once(
    delivery: dict[str, str], expected: list[str]
) -> None:
    """A client certificate comes with its key, and nothing is given both as text and as a file."""
    assert faults_of({**SHOP, "logout_delivery": delivery}, FROM_THE_FILE) == expected


# Whatever comes.

_PLACES: list[tuple[str, ...]] = [
    ("client_id",),
    ("name",),
    ("jwt_configuration",),
    ("jwt_configuration", "alg"),
    ("id_token_signed_response_alg",),
    ("backchannel_logout_session_required",),
    ("oidc_logout",),
    ("oidc_logout", "backchannel_logout_urls"),
    ("oidc_logout", "backchannel_logout_initiators"),
    ("oidc_logout", "backchannel_logout_initiators", "mode"),
    ("oidc_logout", "backchannel_logout_initiators", "selected_initiators"),
    ("oidc_logout", "backchannel_logout_session_metadata"),
    ("oidc_logout", "backchannel_logout_session_metadata", "include"),
    (ALIAS,),
    (ALIAS, "backchannel_logout_urls"),
    ("logout_delivery",),
    *(
        ("logout_delivery", member)
        for member in ("token_type", "subject", "timeout", "max_in_flight", "horizon", *FILE_ONLY)
    ),
    ("logout_delivery", "ca_pem"),
    ("logout_delivery", "client_certificate_pem"),
    ("logout_delivery", "client_key_pem"),
    ("anything",),
]
_WORDS = st.sampled_from(["all", "custom", "sid", "JWT", "none", "RS256", "24h", *BOTH, *URLS])


def put(document: dict[str, Any], place: tuple[str, ...], value: object) -> None:
    """Put a value in its place, whatever stood there."""
    *outer, last = place
    for name in outer:
        if not isinstance(document.get(name), dict):
            document[name] = {}
        document = document[name]
    document[last] = value


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a client object with any JSON values in any of its places."""
    document: dict[str, Any] = copy.deepcopy(subscribed(CUSTOM_BOTH))
    values = json_values() | _WORDS | st.lists(_WORDS, max_size=3) | st.integers(0, 12)
    for place in draw(st.lists(st.sampled_from(_PLACES), max_size=4)):
        put(document, place, draw(values))
    return document


def read_or_refused(
    document: object, rules: RegistrationRules
) -> tuple[Application | None, tuple[Fault, ...]]:
    """Read a client object, or say what is wrong with it."""
    try:
        return application_from(document, rules), ()
    except InvalidApplication as error:
        return None, error.faults


@given(documents() | json_values(), st.sampled_from([OVER_THE_API, FROM_THE_FILE]))
def test_any_value_in_any_place_is_read_or_refused(
    document: object, rules: RegistrationRules
) -> None:
    """Any JSON value in any place makes an application or faults, each naming its field."""
    before = copy.deepcopy(document)

    application, faults = read_or_refused(document, rules)

    assert document == before
    assert (application is None) is bool(faults)
    assert not isinstance(document, dict) or all(fault.field for fault in faults)
    assert application is None or json.dumps(application.document, allow_nan=False)


@given(documents(), st.sampled_from([OVER_THE_API, FROM_THE_FILE]))
def test_what_is_shown_is_read_as_the_same(
    document: dict[str, Any], rules: RegistrationRules
) -> None:
    """An application's document makes the same application again, its private key aside."""
    delivery = document.get("logout_delivery")
    if isinstance(delivery, dict):
        delivery.pop("client_key_pem", None)
    application, _ = read_or_refused(document, rules)

    if application is not None:
        assert application_from(application.document, rules) == application
