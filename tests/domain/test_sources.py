"""Who may send events, and who may call the management API."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.applications import ManagedBy
from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.events import Audience, ClientId, SourceName
from dispatcher.domain.sources import (
    SECRET_MEMBERS,
    Issuer,
    ManagementClient,
    Proof,
    Scope,
    Source,
    SourceFormat,
    source_from,
)
from tests.domain.builders import json_values

IDP: dict[str, Any] = {"name": "idp", "secret": "whsec_one"}


def faults_of(document: dict[str, Any], path: str = "") -> list[str]:
    """List what is wrong with a source's record."""
    with pytest.raises(InvalidSettings) as caught:
        source_from(document, path=path)
    return [str(fault) for fault in caught.value.faults]


def test_a_source_has_its_defaults() -> None:
    """A source needs a name and a proof: it sends native events of any initiator, for sessions."""
    assert source_from(IDP) == Source(
        name=SourceName("idp"),
        format=SourceFormat.NATIVE,
        secrets=("whsec_one",),
        bearer_tokens=(),
        audience=Audience.SESSION,
        initiators=None,
        managed_by=ManagedBy.FILE,
    )


def test_a_source_says_everything() -> None:
    """Every member of a source is read; its one secret comes before those that replace it."""
    document = {
        "name": "hr_1-x",
        "format": "native",
        "secret": "whsec_one",
        "secrets": ["whsec_two", "whsec_three"],
        "bearer_token": "token",
        "audience": "subscribers",
        "initiators": ["rp-logout", "moon-landed", "rp-logout"],
    }

    assert source_from(document) == Source(
        name=SourceName("hr_1-x"),
        format=SourceFormat.NATIVE,
        secrets=("whsec_one", "whsec_two", "whsec_three"),
        bearer_tokens=("token",),
        audience=Audience.SUBSCRIBERS,
        initiators=frozenset({"rp-logout", "moon-landed"}),
        managed_by=ManagedBy.FILE,
    )


@pytest.mark.parametrize("proof", [{"secret": "a"}, {"secrets": ["a"]}, {"bearer_token": "a"}])
def test_any_proof_is_enough(proof: dict[str, Any]) -> None:
    """A secret, several, or a bearer token: one of them is enough."""
    source = source_from({"name": "idp", **proof})

    assert (*source.secrets, *source.bearer_tokens) == ("a",)


@pytest.mark.parametrize(
    "proof", [{}, {"secret": ""}, {"secrets": []}, {"bearer_token": ""}, {"secret": None}]
)
def test_a_source_must_prove_itself(proof: dict[str, Any]) -> None:
    """A source without any secret and token, or with empty ones, is refused."""
    assert faults_of({"name": "idp", **proof}) == [
        "secret: is required, or bearer_token or header: a source must prove itself"
    ]


@given(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True))
def test_a_name_stands_in_a_path(name: str) -> None:
    """A name is 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit."""
    assert source_from({**IDP, "name": name}).name == name


@pytest.mark.parametrize(
    "name", ["-", "_", "--", "-a", "_a", "A", "a b", "a/b", "a.b", "é", "a\n", "a" * 65, "٣"]
)
def test_a_name_of_another_form_is_refused(name: str) -> None:
    """A name of other characters, too long, or without a letter or digit first, is refused."""
    assert faults_of({**IDP, "name": name}) == [
        "name: must be 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit"
    ]


def test_every_fault_is_named_with_its_path() -> None:
    """All faults are told at once, each by its path."""
    document = {
        "secrets": ["", 5],
        "bearer_token": 5,
        "format": "xml",
        "audience": "all",
        "initiators": ["rp-logout", "RP"],
        "secert": "whsec_one",
    }

    assert faults_of(document, "sources[1]") == [
        "sources[1].secert: is not a known member",
        "sources[1].secrets[0]: must be a secret",
        "sources[1].secrets[1]: must be a secret",
        "sources[1].bearer_token: is a whole number, expected a string",
        "sources[1].name: is required",
        f"sources[1].format: must be one of {', '.join(SourceFormat)}",
        "sources[1].audience: must be one of session, subscribers",
        "sources[1].initiators[1]: must be an initiator's name",
    ]


def test_a_source_may_send_nothing() -> None:
    """A source whose initiators are an empty list may send none, unlike one that names none."""
    assert source_from({**IDP, "initiators": []}).initiators == frozenset()
    assert source_from({**IDP, "initiators": None}).initiators is None


_MEMBERS = st.sampled_from(
    ["name", "format", "secret", "secrets", "bearer_token", "audience", "initiators", "other"]
)


@given(st.dictionaries(_MEMBERS, json_values(), max_size=4))
def test_any_value_is_read_or_refused(changes: dict[str, Any]) -> None:
    """Any JSON value in the place of any member makes a source, or faults that name a member."""
    source: Source | None = None
    faults: tuple[Fault, ...] = ()
    try:
        source = source_from(IDP | changes)
    except InvalidSettings as error:
        faults = error.faults

    assert (source is None) is bool(faults)
    assert all(fault.field.split("[")[0] in changes for fault in faults)
    assert source is None or source.secrets or source.bearer_tokens


def test_secrets_are_never_shown() -> None:
    """Neither the faults nor what is printed of a source or a client shows a secret."""
    source = source_from({"name": "idp", "secrets": ["whsec_hidden"], "bearer_token": "hidden"})
    client = ManagementClient(
        client_id=ClientId("ops"), secret_hash="hidden", scopes=frozenset({Scope.READ_CLIENTS})
    )
    faults = faults_of({"name": "hidden!", "secret": "hidden", "secrets": "hidden", "x": "hidden"})

    assert "hidden" not in repr(source) + repr(client)
    assert not [fault for fault in faults if "hidden" in fault]


def test_the_scopes_are_auth0s_and_ours() -> None:
    """A management client may be given eleven scopes, each a verb and what it is done to."""
    assert set(Scope) == {
        "read:clients",
        "create:clients",
        "update:clients",
        "delete:clients",
        "read:sessions",
        "read:events",
        "replay:deliveries",
        "read:keys",
        "rotate:keys",
        "read:sources",
        "update:sources",
    }


def test_a_signature_proves_one_of_six() -> None:
    """What a webhook's signature or a token proves is one of six."""
    assert set(Proof) == {"ok", "malformed", "stale", "mismatch", "issuer", "audience"}


FITTING: dict[str, set[str]] = {
    "native": {"secret", "bearer_token", "header"},
    "cloudevents": {"secret", "bearer_token", "header"},
    "set": {"bearer_token", "header"},
    "auth0-event-stream": {"bearer_token", "header"},
    "auth0-log-stream": {"bearer_token", "header"},
    "keycloak": {"hmac_secret", "bearer_token", "header"},
}
ISSUER = {
    "issuer": "https://op.example",
    "jwks_uri": "https://op.example/jwks",
    "expected_aud": "us",
}
GIVEN = dict.fromkeys(SECRET_MEMBERS, "X-Key: one")


def a_source_of(kind: str, **members: Any) -> dict[str, Any]:
    """Return a source of that format, with its issuer where it has one."""
    return {"name": "idp", "format": kind, **(ISSUER if kind == "set" else {}), **members}


@pytest.mark.parametrize("kind", SourceFormat)
@pytest.mark.parametrize("member", SECRET_MEMBERS)
@pytest.mark.parametrize("several", [False, True])
def test_a_proof_fits_its_format(kind: str, member: str, *, several: bool) -> None:
    """A source proves itself by what its sender can do; another proof is refused by its name."""
    name = f"{member}s" if several else member
    proof = {name: [GIVEN[member], "X-Key: two"] if several else GIVEN[member]}

    if member in FITTING[kind]:
        source = source_from(a_source_of(kind, **proof))
        assert len(
            source.secrets + source.bearer_tokens + source.headers + source.hmac_secrets
        ) == (2 if several else 1)
    else:
        assert f"{name}: proves nothing in the format {kind}" in faults_of(
            a_source_of(kind, **proof)
        )


@pytest.mark.parametrize("kind", [kind for kind in SourceFormat if kind is not SourceFormat.SET])
def test_only_security_events_have_an_issuer(kind: str) -> None:
    """Issuer, keys and audience prove nothing where no token is sent; each is named."""
    proof = {min(FITTING[kind]): "X-Key: one"}

    assert faults_of(a_source_of(kind, **proof, **ISSUER)) == [
        f"{name}: proves nothing in the format {kind}" for name in ISSUER
    ]


@pytest.mark.parametrize("kind", [kind for kind in SourceFormat if kind is not SourceFormat.SET])
def test_a_source_of_any_format_must_prove_itself(kind: str) -> None:
    """A source without a proof that fits is refused, and told which would."""
    (fault,) = faults_of(a_source_of(kind))

    assert all(name in fault for name in FITTING[kind])


@pytest.mark.parametrize("member", ISSUER)
def test_a_source_of_security_events_names_its_issuer_whole(member: str) -> None:
    """Issuer, keys and audience are each required of a source of security event tokens."""
    assert source_from(a_source_of("set")).issuer == Issuer(**ISSUER)
    assert faults_of(a_source_of("set", **{member: None})) == [f"{member}: is required"]
    assert [one.split(":")[0] for one in faults_of(a_source_of("set", **{member: ""}))] == [member]


BAD_URIS = ["http://op.example/jwks", "ftp://op.example", "op.example/jwks", "https://",
            "https://a@op.example", "https://op.example/#", "https://op.example:0/",
            "https://[op/", "https://op.example/a b", "https://op.example/\u00e4",
            "file:///jwks"]  # fmt: skip


@pytest.mark.parametrize("uri", BAD_URIS)
def test_keys_are_fetched_over_https(uri: str) -> None:
    """A jwks_uri is a plain https URL, unless the deployment allows http."""
    assert faults_of(a_source_of("set", jwks_uri=uri)) == [
        "jwks_uri: must be an https URL without user and fragment"
    ]


def test_http_is_for_deployments_that_allow_it() -> None:
    """Where Back-Channel Logout URIs may be http, keys may be fetched so too."""
    document = a_source_of("set", jwks_uri="http://op.internal:8080/jwks?x=1&y=%20")

    assert source_from(document, allow_http=True).issuer is not None


@pytest.mark.parametrize(
    "header", ["Authorization: Basic Og==", "X-Key:one", "x_key: a b", "X-Key:  one"]
)
def test_a_header_has_a_name_and_a_value(header: str) -> None:
    """A header is Name: value, as it is written everywhere."""
    assert source_from({"name": "idp", "header": header}).headers == (header,)


@pytest.mark.parametrize(
    "header",
    ["Authorization", ": one", "X-Key:", "X-Key: ", "X Key: one", "X-Key: one\n", "\u00e4: a"],
)
def test_what_is_no_header_is_refused(header: str) -> None:
    """A header without name or value, or that no request could have, is refused unquoted."""
    assert faults_of({"name": "idp", "header": header})[0] == (
        "header: must be a header's name and value, as Name: value"
    )


def test_every_proof_is_hidden() -> None:
    """What is printed of a source shows none of its secrets."""
    proofs = {f"{name}s": ["X-Key: hidden"] for name in SECRET_MEMBERS}
    sources = [
        source_from({"name": "idp", "format": kind, name: proofs[name]})
        for kind, name in [("keycloak", "hmac_secrets"), ("native", "headers")]
    ]

    assert "hidden" not in repr(sources)
