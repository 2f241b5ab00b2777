"""Auth0's PATCH: each root member that is given is replaced whole, and null removes it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.applications import ALIAS, Mode, application_from, patched
from tests.domain.builders import OVER_THE_API, json_values

URLS = {"backchannel_logout_urls": ["https://shop.example/logout"]}
NEW_URLS = {"backchannel_logout_urls": ["https://shop.example/new"]}
ALL = {"backchannel_logout_initiators": {"mode": "all"}}
STORED: dict[str, Any] = {
    "client_id": "shop",
    "name": "Shop",
    "oidc_logout": {**URLS, **ALL},
    ALIAS: URLS,
}

_NAMES = st.sampled_from(["name", "jwks", "logout_delivery", "oidc_logout", ALIAS])
_MEMBERS = st.dictionaries(_NAMES, json_values(), max_size=4)
_TWO_NAMES = {"oidc_logout", ALIAS}


@given(_MEMBERS, _MEMBERS)
def test_each_root_member_is_replaced_whole(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    """What a patch gives stands as it is given, null removes, and what it does not name stays."""
    merged = patched(document, patch)

    touched = _TWO_NAMES if _TWO_NAMES & set(patch) else set()
    kept = {name: value for name, value in document.items() if name not in touched}
    expected = kept | patch
    assert merged == {name: value for name, value in expected.items() if value is not None}


@given(_MEMBERS, _MEMBERS)
def test_a_patch_changes_nothing_but_its_answer(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    """Neither the stored document nor the patch is written to; a repeat changes nothing more."""
    before, given_patch = dict(document), dict(patch)

    merged = patched(document, patch)

    assert (document, patch) == (before, given_patch)
    assert patched(merged, patch) == merged


@pytest.mark.parametrize("name", ["oidc_logout", ALIAS])
def test_the_alias_and_oidc_logout_are_one_member(name: str) -> None:
    """A patch of either name replaces both: nothing of the old object is left."""
    merged = patched(STORED, {name: NEW_URLS})

    application = application_from(merged, OVER_THE_API)
    assert merged == {"client_id": "shop", "name": "Shop", name: NEW_URLS}
    assert application.urls == ("https://shop.example/new",)
    assert application.mode is Mode.CUSTOM
    assert application.document[ALIAS] == NEW_URLS


@pytest.mark.parametrize("name", ["oidc_logout", ALIAS])
def test_null_removes_both(name: str) -> None:
    """Null for either name removes both, and switches the feature off."""
    merged = patched(STORED, {name: None})

    assert merged == {"client_id": "shop", "name": "Shop"}
    assert application_from(merged, OVER_THE_API).urls == ()


def test_null_further_in_is_the_members_own() -> None:
    """Null inside a member removes nothing by itself: it stands, and reads as the default."""
    logout = {**URLS, "backchannel_logout_initiators": None}

    merged = patched(STORED, {"oidc_logout": logout})

    assert merged["oidc_logout"] == logout
    assert application_from(merged, OVER_THE_API).selected == {"rp-logout", "idp-logout"}


def test_what_is_not_named_is_left() -> None:
    """A patch of another member leaves what the application subscribes to."""
    application = application_from(patched(STORED, {"name": "New"}), OVER_THE_API)

    assert application.name == "New"
    assert application.mode is Mode.ALL
    assert application.urls == ("https://shop.example/logout",)
