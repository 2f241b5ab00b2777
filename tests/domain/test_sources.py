"""Who may send events, and who may call the management API."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.applications import ManagedBy
from dispatcher.domain.errors import Fault, InvalidSettings
from dispatcher.domain.events import Audience, ClientId, SourceName
from dispatcher.domain.sources import (
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
        "secret: is required, or a bearer_token: a source must prove itself"
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
        "sources[1].bearer_token: is a whole number, expected a string",
        "sources[1].secrets[0]: must be a secret",
        "sources[1].secrets[1]: must be a secret",
        "sources[1].name: is required",
        "sources[1].format: must be one of native",
        "sources[1].audience: must be one of session, subscribers",
        "sources[1].initiators[1]: must be an initiator's name",
        "sources[1].secret: is required, or a bearer_token: a source must prove itself",
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


def test_a_signature_proves_one_of_four() -> None:
    """What a webhook's signature proves is one of four."""
    assert set(Proof) == {"ok", "malformed", "stale", "mismatch"}
