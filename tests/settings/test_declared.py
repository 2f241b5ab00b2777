"""The declarative file: what it may say, and that every fault of it is told by its place."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.domain.applications import FILE_ONLY, ManagedBy, Mode, RegistrationRules
from dispatcher.domain.errors import InvalidSettings
from dispatcher.domain.events import Audience
from dispatcher.domain.sources import Scope
from dispatcher.settings import Declared, read_declared

RULES = RegistrationRules()
SOURCE = {"name": "idp", "secret": "whsec_KANARI"}
CLIENT = {"client_id": "ops", "client_secret": "KANARI", "scopes": ["read:clients"]}
APPLICATION = {"client_id": "shop", "name": "Shop"}
SCOPES = ", ".join(Scope)

Write = Callable[[Mapping[str, object] | str | bytes], Path]


def toml(value: object) -> str:
    """Write *value* as TOML, tables inline."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{toml(key)} = {toml(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case date() | time():
            return value.isoformat()
        case float() if math.isnan(value) or math.isinf(value):
            return str(value)
        case _:
            return json.dumps(value)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return how to write the declarative file."""

    def written(content: Mapping[str, object] | str | bytes) -> Path:
        path = tmp_path / "dispatcher.toml"
        if isinstance(content, Mapping):
            content = "\n".join(f"{toml(key)} = {toml(one)}" for key, one in content.items())
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def faults_of(path: Path, rules: RegistrationRules = RULES) -> list[str]:
    """List what is wrong with the file at *path*, which each fault names."""
    with pytest.raises(InvalidSettings) as caught:
        read_declared(path, rules)
    assert all(str(fault).startswith(f"{path}: ") for fault in caught.value.faults)
    return [str(fault).removeprefix(f"{path}: ") for fault in caught.value.faults]


def test_an_empty_file_names_nothing(write: Write) -> None:
    """Every table may be left out."""
    assert read_declared(write(""), RULES) == Declared()


def test_a_file_is_read(write: Write) -> None:
    """Sources, management clients and applications are read, and belong to the file."""
    path = write("""
        [[sources]]
        name = "idp"
        secrets = ["whsec_one", "whsec_two"]
        audience = "subscribers"
        initiators = ["rp-logout"]

        [[management_clients]]
        client_id = "ops"
        client_secret = "secret"
        scopes = ["read:clients", "read:events"]

        [[applications]]
        client_id = "shop"
        name = "Shop"
        logo_uri = "https://shop.example/logo"
        [applications.oidc_logout]
        backchannel_logout_urls = ["https://shop.example/bcl"]
        [applications.oidc_logout.backchannel_logout_initiators]
        mode = "all"
    """)

    declared = read_declared(path, RULES)

    (source,), (client,), (application,) = (
        declared.sources,
        declared.management_clients,
        declared.applications,
    )
    assert (source.name, source.secrets) == ("idp", ("whsec_one", "whsec_two"))
    assert (source.audience, source.initiators) == (
        Audience.SUBSCRIBERS,
        frozenset({"rp-logout"}),
    )
    assert (client.client_id, client.secret) == ("ops", "secret")
    assert client.scopes == {Scope.READ_CLIENTS, Scope.READ_EVENTS}
    assert (application.client_id, application.mode) == ("shop", Mode.ALL)
    assert application.document["logo_uri"] == "https://shop.example/logo"
    assert (source.managed_by, application.managed_by) == (ManagedBy.FILE, ManagedBy.FILE)


def test_every_fault_is_told_by_its_place(write: Write) -> None:
    """All faults of all tables are told at once: table, index, field."""
    path = write(
        {
            "sources": [SOURCE, {"name": "A", "secret": 5}],
            "management_clients": [{"client_id": "", "client_secret": "", "scopes": ["all"]}, {}],
            "applications": [
                {"client_id": "shop"},
                {
                    **APPLICATION,
                    "oidc_logout": {"backchannel_logout_urls": ["https://a.example", "ftp://b"]},
                    "logout_delivery": {"timeout": 11, "max_inflight": 1},
                    "when": date(2026, 1, 1),
                },
            ],
        }
    )

    found = faults_of(path)

    assert found == [
        "sources[1].secret: is a whole number, expected a string",
        "sources[1].name: must be 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit",
        "sources[1].secret: is required, or bearer_token or header: a source must prove itself",
        f"management_clients[0].scopes[0]: must be one of {SCOPES}",
        "management_clients[0].client_id: must be 1 to 255 printable ASCII characters",
        "management_clients[0].client_secret: must not be empty",
        "management_clients[1].client_id: is required",
        "management_clients[1].client_secret: is required",
        "management_clients[1].scopes: is required: what may this client do?",
        "applications[0].name: is required",
        "applications[1].when: can not be written as JSON",
    ]


def test_an_applications_faults_are_told_by_their_place(write: Write) -> None:
    """A fault deep inside an application is told by its whole path."""
    logout = {"backchannel_logout_urls": ["https://a.example/", "ftp://b"]}
    delivery = {"timeout": 11, "max_inflight": 1}
    application = {**APPLICATION, "oidc_logout": logout, "logout_delivery": delivery}

    found = faults_of(write({"applications": [application]}))

    assert [fault.split(": ")[0] for fault in found] == [
        "applications[0].oidc_logout.backchannel_logout_urls[1]",
        "applications[0].logout_delivery.max_inflight",
        "applications[0].logout_delivery.timeout",
    ]


def test_unknown_members_are_refused(write: Write) -> None:
    """A typing error in a table's or a member's name can not vanish; applications keep theirs."""
    path = write(
        {
            "source": [SOURCE],
            "sources": [{**SOURCE, "initiator": "x"}],
            "management_clients": [{**CLIENT, "scope": "x"}],
            "applications": [{**APPLICATION, "anything": "x"}],
        }
    )

    assert faults_of(path) == [
        "source: is not a known member",
        "sources[0].initiator: is not a known member",
        "management_clients[0].scope: is not a known member",
    ]


@pytest.mark.parametrize("table", ["sources", "management_clients", "applications"])
def test_a_table_is_an_array_of_tables(write: Write, table: str) -> None:
    """What is written with one pair of brackets, or holds no tables, is refused by its place."""
    assert faults_of(write({table: {"name": "idp"}})) == [
        f"{table}: is an object, expected an array"
    ]
    assert faults_of(write({table: ["idp"]})) == [f"{table}[0]: must be a table"]


@pytest.mark.parametrize(
    ("table", "one", "fault"),
    [
        ("sources", SOURCE, "sources: name 'idp' twice"),
        ("management_clients", CLIENT, "management_clients: name 'ops' twice"),
        ("applications", APPLICATION, "applications: name 'shop' twice"),
    ],
)
def test_a_name_stands_once(
    write: Write, table: str, one: Mapping[str, object], fault: str
) -> None:
    """Two records of one name in one table are a fault, told once."""
    assert faults_of(write({table: [one, one, one]})) == [fault]


def test_tables_share_no_names(write: Write) -> None:
    """A source, a client and an application may have the same name."""
    path = write(
        {
            "sources": [{**SOURCE, "name": "shop"}],
            "management_clients": [{**CLIENT, "client_id": "shop"}],
            "applications": [APPLICATION],
        }
    )

    assert len(read_declared(path, RULES).applications) == 1


SECRETS = [
    ("sources", {"name": "idp"}, "secret"),
    ("sources", {"name": "idp"}, "bearer_token"),
    ("sources", {"name": "kc", "format": "keycloak"}, "hmac_secret"),
    ("management_clients", {"client_id": "ops", "scopes": ["read:clients"]}, "client_secret"),
]


@pytest.mark.parametrize(("table", "rest", "name"), SECRETS)
def test_a_secret_is_read_from_its_file(
    write: Write, tmp_path: Path, table: str, rest: Mapping[str, object], name: str
) -> None:
    """Each secret may be in a file; the line end is none of it."""
    (tmp_path / "secret").write_text("whsec_KANARI\r\n")

    from_file = read_declared(
        write({table: [{**rest, f"{name}_file": f"{tmp_path}/secret"}]}), RULES
    )

    assert from_file == read_declared(write({table: [{**rest, name: "whsec_KANARI"}]}), RULES)


def test_a_header_is_read_from_its_file(write: Write, tmp_path: Path) -> None:
    """A header with its name and value may be in a file, as any secret."""
    (tmp_path / "secret").write_text("Authorization: Basic Og==\n")
    path = write({"sources": [{"name": "idp", "header_file": f"{tmp_path}/secret"}]})

    assert read_declared(path, RULES).sources[0].headers == ("Authorization: Basic Og==",)


def test_secrets_are_read_from_their_files(write: Write, tmp_path: Path) -> None:
    """Old and new, while one replaces the other, may each be in a file of its own."""
    for name in ("new", "old"):
        (tmp_path / name).write_text(f"whsec_{name}\n")
    path = write(
        {"sources": [{"name": "idp", "secrets_file": [f"{tmp_path}/new", f"{tmp_path}/old"]}]}
    )

    assert read_declared(path, RULES).sources[0].secrets == ("whsec_new", "whsec_old")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (["/dev/null"], "secrets_file[0]: is an empty file"),
        ([5], "secrets_file[0]: must be a string, the path of a file"),
        ("/dev/null", "secrets_file: must be an array of strings, the paths of files"),
    ],
)
def test_secrets_files_must_be_readable(write: Write, files: object, fault: str) -> None:
    """Each file of several that can not be read is told by its place."""
    path = write({"sources": [{"name": "idp", "secret": "whsec_one", "secrets_file": files}]})

    assert faults_of(path) == [f"sources[0].{fault}"]


def test_keys_are_fetched_over_http_where_the_deployment_says_so(write: Write) -> None:
    """A jwks_uri may be plain HTTP only where Back-Channel Logout URIs may."""
    source = {
        "name": "ssf", "format": "set", "issuer": "https://op.example", "expected_aud": "us",
        "jwks_uri": "http://op.internal/jwks",
    }  # fmt: skip
    path = write({"sources": [source]})

    assert faults_of(path) == [
        "sources[0].jwks_uri: must be an https URL without user and fragment"
    ]
    assert read_declared(path, replace(RULES, allow_http=True)).sources[0].issuer is not None


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("/missing/KANARI", "can not be read: No such file or directory"),
        ("/", "can not be read: Is a directory"),
        ("", "can not be read: Is a directory"),
        ("KANARI\0", "can not be read: that is no path"),
        ("/dev/null", "is an empty file"),
        (5, "must be a string, the path of a file"),
        (["/a"], "must be a string, the path of a file"),
    ],
)
@pytest.mark.parametrize(("table", "rest", "name"), SECRETS)
def test_a_secrets_file_must_be_readable(
    write: Write, *, table: str, rest: Mapping[str, object], name: str, file: object, fault: str
) -> None:
    """A secret's file that can not be read is the one fault told of it, beside the others."""
    record = {**rest, f"{name}_file": file, "typo": 1}

    assert sorted(faults_of(write({table: [record]}))) == [
        f"{table}[0].{name}_file: {fault}",
        f"{table}[0].typo: is not a known member",
    ]


@pytest.mark.parametrize(("table", "rest", "name"), SECRETS)
def test_a_secret_is_given_once(
    write: Write, table: str, rest: Mapping[str, object], name: str
) -> None:
    """A secret and its file together are a fault."""
    record = {**rest, name: "whsec_KANARI", f"{name}_file": "/dev/null"}

    assert faults_of(write({table: [record]})) == [
        f"{table}[0].{name}_file: stands beside {name}; give one of them"
    ]


def test_an_applications_members_are_no_files(write: Write, tmp_path: Path) -> None:
    """A member of an application is kept as it stands, whatever its name: it is shown again."""
    (tmp_path / "secret").write_text("KANARI")
    path = write({"applications": [{**APPLICATION, "client_secret_file": f"{tmp_path}/secret"}]})

    (application,) = read_declared(path, RULES).applications

    assert "KANARI" not in str(application.document)
    assert application.document["client_secret_file"] == f"{tmp_path}/secret"


def test_only_the_file_names_addresses_and_paths(write: Write) -> None:
    """What reaches the disk and the network inside is accepted here."""
    delivery = {
        "allow_addresses": ["10.20.0.0/16"],
        "ca_file": "/ca.pem",
        "client_certificate_file": "/us.pem",
        "client_key_file": "/key.pem",
    }
    assert set(delivery) == set(FILE_ONLY)

    path = write({"applications": [{**APPLICATION, "logout_delivery": delivery}]})
    (application,) = read_declared(path, RULES).applications

    assert application.delivery.allow_addresses == ("10.20.0.0/16",)
    assert application.delivery.ca_file == "/ca.pem"
    assert application.delivery.client_certificate_file == "/us.pem"
    assert application.delivery.client_key_file == "/key.pem"


def test_the_rules_of_the_deployment_hold(write: Write) -> None:
    """An application of the file obeys what the settings allow, as one of the API does."""
    initiators = {"selected_initiators": ["rp-logout", "idp-logout", "moon-landed"]}
    logout = {
        "backchannel_logout_urls": ["http://shop.example/bcl"],
        "backchannel_logout_initiators": {"mode": "custom", **initiators},
    }
    path = write({"applications": [{**APPLICATION, "oidc_logout": logout}]})
    lenient = RegistrationRules(
        allow_http=True, known_initiators=(*RULES.known_initiators, "moon-landed")
    )

    assert [fault.split(": ")[0].split(".")[-1] for fault in faults_of(path)] == [
        "selected_initiators[2]",
        "backchannel_logout_urls[0]",
    ]
    assert read_declared(path, lenient).applications[0].urls == ("http://shop.example/bcl",)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[[sources]", "is not TOML: "),
        ("a = 1\na = 2", "is not TOML: "),
        ('a = "', "is not TOML: "),
        ("a = " + "9" * 5000, "is not TOML: a number is too long"),
        ("a = " + "[" * 5000, "is not TOML: a number is too long, or something is nested too"),
    ],
)
def test_what_is_not_toml_is_refused(write: Write, content: str, fault: str) -> None:
    """A file that is not TOML is one fault, which says where it breaks."""
    (found,) = faults_of(write(content))

    assert found.startswith(fault)


def test_a_fault_of_toml_quotes_no_secret(write: Write) -> None:
    """The text around a fault of TOML is not quoted: it may be a secret."""
    found = faults_of(write('[[sources]]\nsecret = "whsec_KANARI\nname = "idp"'))

    assert "KANARI" not in "".join(found)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("missing", "can not be read: No such file or directory"),
        (".", "can not be read: Is a directory"),
        ("latin", "can not be read: it is not UTF-8 text"),
    ],
)
def test_what_can_not_be_read_is_named_by_its_variable(
    tmp_path: Path, name: str, fault: str
) -> None:
    """A file that can not be read is the fault of the variable that names it."""
    (tmp_path / "latin").write_bytes(b"\xff")
    path = tmp_path / name

    with pytest.raises(InvalidSettings) as caught:
        read_declared(path, RULES)

    assert [str(one) for one in caught.value.faults] == [f"DISPATCHER_CONFIG: {path} {fault}"]


def test_no_secret_is_in_a_fault_or_repr(write: Write) -> None:
    """Secrets are in no error and no repr, wherever the file is faulty."""
    sound = {
        "sources": [{**SOURCE, "bearer_token": "KANARI"}],
        "management_clients": [CLIENT],
    }
    faulty = {
        "sources": [{**SOURCE, "secrets": ["KANARI", 5], "name": "A"}],
        "management_clients": [{**CLIENT, "scopes": []}],
    }

    told = [repr(read_declared(write(sound), RULES)), *faults_of(write(faulty))]

    assert "KANARI" not in "".join(told)


NAMES = st.sampled_from(
    ["sources", "management_clients", "applications", "name", "format", "secret", "secret_file",
     "secrets", "secrets_file", "bearer_token", "bearer_token_file", "header", "hmac_secret",
     "issuer", "jwks_uri", "expected_aud", "audience", "initiators", "client_id",
     "client_secret", "client_secret_file", "scopes", "oidc_logout", "backchannel_logout_urls",
     "backchannel_logout_initiators", "mode", "selected_initiators", "logout_delivery", "timeout",
     "horizon", "allow_addresses", "ca_file", "client_key_pem", "jwt_configuration", "alg"]
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXT,
    st.sampled_from(["idp", "custom", "https://a.example/", "rp-logout", "read:clients", "90s"]),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(),
    st.dates(),
    st.times(),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES | TEXT, inner), max_leaves=10
)
TABLES = st.lists(st.dictionaries(NAMES | TEXT, VALUES) | VALUES, max_size=3)
DOCUMENTS = st.dictionaries(NAMES | TEXT, TABLES | VALUES)
ON_ONE_FILE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)


def test_the_writer_of_these_tests_writes_toml(write: Write) -> None:
    """What these tests write is read as they mean it, odd values too."""
    odd = {"a b\x7f\0": [1.5, -1e300, True, 'é"\\\n\x7f'], "when": datetime(1, 1, 1, tzinfo=UTC)}

    assert faults_of(write({**odd, "sources": [SOURCE | odd]})) == [
        "a b\x7f\0: is not a known member",
        "when: is not a known member",
        "sources[0].a b\x7f\0: is not a known member",
        "sources[0].when: is not a known member",
    ]


@ON_ONE_FILE
@given(DOCUMENTS)
def test_any_document_is_read_or_refused(write: Write, document: dict[str, Any]) -> None:
    """Whatever TOML the file holds, it is read, or each of its faults is told by its place."""
    path = write(document)

    try:
        told = [repr(read_declared(path, RULES))]
    except InvalidSettings as error:
        told = [fault.field for fault in error.faults]
        assert all(field.startswith(f"{path}: ") for field in told)

    assert told


@ON_ONE_FILE
@given(st.binary() | TEXT.map(str.encode))
def test_any_bytes_are_read_or_refused(write: Write, content: bytes) -> None:
    """Whatever bytes the file holds, nothing but InvalidSettings is raised."""
    path = write(content)

    try:
        told = repr(read_declared(path, RULES))
    except InvalidSettings as error:
        told = str(error)

    assert str(path) in told or told == repr(Declared())


def test_times_are_not_settings(write: Write) -> None:
    """A duration is written as text; TOML's own times are refused by their place."""
    delivery = {"horizon": time(1), "timeout": 5}

    found = faults_of(write({"applications": [{**APPLICATION, "logout_delivery": delivery}]}))

    assert found == ["applications[0].logout_delivery: can not be written as JSON"]
    assert (
        timedelta(seconds=5)
        == read_declared(
            write({"applications": [{**APPLICATION, "logout_delivery": {"timeout": 5}}]}), RULES
        )
        .applications[0]
        .delivery.timeout
    )
