"""The environment: what each variable may say, and what is told of one that says something else."""

import os
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.domain.errors import InvalidSettings
from dispatcher.domain.events import KNOWN_INITIATORS
from dispatcher.settings.environment import (
    SECRETS,
    Listen,
    LogFormat,
    Settings,
    unknown_variables,
    variable,
)
from dispatcher.settings.values import StoreUrl

KEY = "KANARI-master-key"
GOOD = {"DISPATCHER_ISSUER": "https://op.example/", "DISPATCHER_MASTER_KEY": KEY}
PLAIN, FILE = "DISPATCHER_MASTER_KEY", "DISPATCHER_MASTER_KEY_FILE"
REQUIRED = {"DISPATCHER_ISSUER", "DISPATCHER_MASTER_KEY"}
DEFAULTS: dict[str, object] = {
    "DISPATCHER_STORE": StoreUrl("sqlite:///dispatcher.db"),
    "DISPATCHER_POSTGRES_DIRECT": None,
    "DISPATCHER_POSTGRES_ALLOW_UNSAFE": False,
    "DISPATCHER_LISTEN": Listen("127.0.0.1", 8080),
    "DISPATCHER_MANAGEMENT_LISTEN": None,
    "DISPATCHER_PUBLIC_URL": None,
    "DISPATCHER_TRUSTED_PROXIES": (),
    "DISPATCHER_KEYS": "generated",
    "DISPATCHER_ALGORITHMS": ("RS256", "PS256", "ES256", "EdDSA"),
    "DISPATCHER_CONFIG": None,
    "DISPATCHER_EGRESS": "public",
    "DISPATCHER_EGRESS_ALLOW": (),
    "DISPATCHER_EGRESS_ALLOW_HTTP": False,
    "DISPATCHER_INITIATORS_EXTRA": (),
    "DISPATCHER_TOKEN_LIFETIME": 120,
    "DISPATCHER_ATTEMPT_TIMEOUT": 5,
    "DISPATCHER_MAX_IN_FLIGHT": 256,
    "DISPATCHER_HORIZON": timedelta(hours=168),
    "DISPATCHER_RETENTION": timedelta(days=30),
    "DISPATCHER_RETENTION_FAILED": timedelta(days=90),
    "DISPATCHER_SESSION_RETENTION": timedelta(days=30),
    "DISPATCHER_DISK_RESERVE": 256 * 1024 * 1024,
    "DISPATCHER_DRAIN_DELAY": timedelta(seconds=3),
    "DISPATCHER_GRACE": timedelta(seconds=15),
    "DISPATCHER_DISCOVERY_EXTRA": None,
    "DISPATCHER_LOG": None,
}
VARIABLES = sorted(map(variable, Settings.model_fields))

_ISSUER = (
    "must be an http or https URL without query, fragment and user (OpenID Connect Core section 2)"
)
_URL = "must be an http or https URL without query, fragment and user"
_LISTEN = "must be HOST:PORT, as 127.0.0.1:8080 or [::1]:8080"
_POSTGRES = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, percent-encoded"
_STORE = f"must be sqlite:///PATH (sqlite:////PATH for an absolute one), or {_POSTGRES}"
_NO_DATABASE = ["x", "postgresql://db", "postgresql:///", "mysql://db/a", "postgresql://db:x/a", "postgresql://u:a#b@db/a",
                "postgresql://db/a?password=KANARI", "postgresql://[/a"]  # fmt: skip
_KEYS = "must be generated, or folder:/path/to/keys"
_ALGORITHMS = "must be some of RS256, PS256, ES256, EdDSA, each once"
_SIZE = "must be a size such as 268435456, 256MiB or 1GiB"
_PRINTABLE = "must be printable characters of UTF-8"
_URLS = ["x", "ftp://op.example", "https://", "https://[", "https://op.example/?a", "https://a b",
         "https://op.example/#a", "https://me:KANARI@op.example", "https://op.example:99999",
         "https://é.example"]  # fmt: skip
_LISTENS = ["8080", ":8080", "host:", "host:x", "host:65536", "[]:80", "a..b:80", "a b:80",
            "é:80", "host:٣", "host:-1", "a" * 64 + ":1", "host:" + "9" * 5000]  # fmt: skip
_ENDLESS = "9" * 5000


def _duration(least: str, most: str) -> str:
    """Return what is allowed of a duration."""
    return f"must be a duration such as 90s, 15m, 168h or 30d, {least} to {most}"


def _network(text: str) -> str:
    """Return what is told of a network that is none."""
    return f"{text!r} is not a network; allowed are such as 10.20.0.0/16 and fd00::/8"


WRONG: dict[str, list[tuple[list[str], str]]] = {
    "ISSUER": [(_URLS, _ISSUER)],
    "STORE": [(["sqlite://a.db", "sqlite:///", "sqlite:////", "sqlite:///.", *_NO_DATABASE],
               _STORE)],
    "POSTGRES_DIRECT": [(["sqlite:///a.db", *_NO_DATABASE], f"must be {_POSTGRES}")],
    "POSTGRES_ALLOW_UNSAFE": [(["x", "2", "ja"], "must be true or false")],
    "LISTEN": [(_LISTENS, _LISTEN)],
    "MANAGEMENT_LISTEN": [(_LISTENS, _LISTEN)],
    "PUBLIC_URL": [(_URLS, _URL)],
    "TRUSTED_PROXIES": [(["x"], _network("x")), (["10.0.0.0/8, 10.0.0.1/8"],
                                                 _network("10.0.0.1/8"))],
    "KEYS": [(["x", "folder:", "Generated"], _KEYS)],
    "ALGORITHMS": [(["none", "HS256", "RS256,RS256", ","], _ALGORITHMS)],
    "MASTER_KEY": [(["a\nb"], _PRINTABLE)],
    "CONFIG": [(["a\0b", "\udcff"], _PRINTABLE)],
    "EGRESS": [(["x", "Public"], "input should be 'public' or 'private'")],
    "EGRESS_ALLOW": [(["x"], _network("x")), (["::1/129"], _network("::1/129"))],
    "EGRESS_ALLOW_HTTP": [(["x", "2", "ja"], "must be true or false")],
    "INITIATORS_EXTRA": [(["a,B"], "'B' is not an initiator's name: ^[a-z][a-z0-9-]{0,63}$")],
    "TOKEN_LIFETIME": [(["x", "9", "121", "1.5", "-1", _ENDLESS],
                        "must be a whole number from 10 to 120")],
    "ATTEMPT_TIMEOUT": [(["x", "0", "11", "5s"], "must be a whole number from 1 to 10")],
    "MAX_IN_FLIGHT": [(["x", "0", "4097", "1_0"], "must be a whole number from 1 to 4096")],
    "HORIZON": [(["x", "1", "59s", "366d", _ENDLESS + "s"], _duration("1m", "365d"))],
    "RETENTION": [(["x", "59m", "3651d"], _duration("1h", "3650d"))],
    "RETENTION_FAILED": [(["x", "59m", "3651d"], _duration("1h", "3650d"))],
    "SESSION_RETENTION": [(["x", "59m", "3651d"], _duration("1h", "3650d"))],
    "DISK_RESERVE": [(["x", "-1", "MiB", "1TiB", "1.5GiB", _ENDLESS], _SIZE)],
    "DRAIN_DELAY": [(["x", "-1s", "601s"], _duration("0s", "10m"))],
    "GRACE": [(["x", "-1s", "601s"], _duration("0s", "10m"))],
    "DISCOVERY_EXTRA": [(["a\0b"], _PRINTABLE)],
    "LOG": [(["x", "JSON"], "input should be 'json' or 'console'")],
}  # fmt: skip
EACH_WRONG = [
    pytest.param(f"DISPATCHER_{name}", text, allowed, id=f"{name}={text[:30]!a}")
    for name, cases in WRONG.items()
    for texts, allowed in cases
    for text in texts
]


def faults_of(environ: dict[str, str]) -> list[str]:
    """List what is wrong with an environment."""
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env(environ)
    return [str(fault) for fault in caught.value.faults]


def with_key_in(path: Path | str) -> dict[str, str]:
    """Return an environment whose master key is in the file at *path*."""
    return {"DISPATCHER_ISSUER": "https://op.example/", FILE: str(path)}


def test_every_variable_has_its_default() -> None:
    """All but the issuer and the master key may be left out; the rest have these defaults."""
    read = Settings.from_env(GOOD)

    defaults = {
        variable(name): getattr(read, name)
        for name in Settings.model_fields
        if variable(name) not in REQUIRED
    }

    assert defaults == DEFAULTS


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_required_is_required(name: str) -> None:
    """Without the issuer or the master key there is no start; an empty one is none."""
    without = {one: text for one, text in GOOD.items() if one != name}

    assert faults_of(without) == [f"{name}: is required"]
    assert faults_of({**GOOD, name: " "}) == [f"{name}: is required"]


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_an_empty_variable_is_not_given(name: str) -> None:
    """A variable that is there and empty counts as left out."""
    read = Settings.from_env({**GOOD, name: ""})

    assert read == Settings.from_env(GOOD)


def test_every_variable_can_be_wrong() -> None:
    """Each variable of this version stands in the table of wrong values below."""
    assert {f"DISPATCHER_{name}" for name in WRONG} == set(VARIABLES)


@pytest.mark.parametrize(("name", "text", "allowed"), EACH_WRONG)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, text: str, allowed: str) -> None:
    """A wrong value stops the start with its variable's name and what is allowed, and no more."""
    assert faults_of({**GOOD, name: text}) == [f"{name}: {allowed}"]


def test_all_faults_are_told_at_once() -> None:
    """Whoever has several faults to mend learns of all of them, in the table's order."""
    environ = {
        "DISPATCHER_STORE": "x",
        "DISPATCHER_LISTEN": "0.0.0.0:80",
        "DISPATCHER_CONFIG": "\0",
        "DISPATCHER_LOG": "x",
        FILE: "/missing/KANARI",
    }

    assert faults_of(environ) == [
        "DISPATCHER_ISSUER: is required",
        f"DISPATCHER_STORE: {_STORE}",
        "DISPATCHER_PUBLIC_URL: is required where DISPATCHER_LISTEN is not on loopback",
        f"{FILE}: can not be read: No such file or directory",
        "DISPATCHER_LOG: input should be 'json' or 'console'",
        f"DISPATCHER_CONFIG: {_PRINTABLE}",
    ]


DATABASE_URL = "postgresql://me:KANARI%40@db.example:5432/logout?sslmode=verify-full"

GIVEN: list[tuple[str, str, Any]] = [
    ("issuer", "http://127.0.0.1:8080/a/", "http://127.0.0.1:8080/a/"),
    ("store", "sqlite:////var/lib/d.db", StoreUrl("sqlite:////var/lib/d.db")),
    ("store", DATABASE_URL, StoreUrl(DATABASE_URL)),
    ("store", "postgres:///d?host=/run/pg", StoreUrl("postgres:///d?host=/run/pg")),
    ("postgres_direct", DATABASE_URL, StoreUrl(DATABASE_URL)),
    ("postgres_allow_unsafe", "true", True),
    ("listen", "[::1]:0", Listen("::1", 0)),
    ("listen", "localhost:65535", Listen("localhost", 65535)),
    ("management_listen", "0.0.0.0:9090", Listen("0.0.0.0", 9090)),  # noqa: S104 - only read
    ("public_url", "https://logout.example/", "https://logout.example"),
    ("trusted_proxies", "10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
    ("keys", "folder:/keys", "folder:/keys"),
    ("algorithms", "EdDSA, RS256", ("EdDSA", "RS256")),
    ("config", "/etc/a b.toml", Path("/etc/a b.toml")),
    ("egress", "private", "private"),
    ("egress_allow", "127.0.0.0/8,", (ip_network("127.0.0.0/8"),)),
    ("egress_allow_http", "true", True),
    ("egress_allow_http", "No", False),
    ("initiators_extra", "moon-landed,a", ("moon-landed", "a")),
    ("token_lifetime", "10", 10),
    ("attempt_timeout", "10", 10),
    ("max_in_flight", "4096", 4096),
    ("horizon", "365d", timedelta(days=365)),
    ("retention", "1h", timedelta(hours=1)),
    ("retention_failed", "3650d", timedelta(days=3650)),
    ("session_retention", "90m", timedelta(minutes=90)),
    ("disk_reserve", "0", 0),
    ("disk_reserve", "512KiB", 512 * 1024),
    ("disk_reserve", "2GiB", 2 << 30),
    ("drain_delay", "0s", timedelta()),
    ("grace", "10m", timedelta(minutes=10)),
    ("discovery_extra", "extra.json", Path("extra.json")),
    ("log", "console", LogFormat.CONSOLE),
]


@pytest.mark.parametrize(("name", "text", "value"), GIVEN)
def test_a_value_is_read(name: str, text: str, value: object) -> None:
    """What a variable says is what the service is given, up to the bounds of what is allowed."""
    read = Settings.from_env({**GOOD, variable(name): f" {text}\n"})

    assert getattr(read, name) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, text, _ in GIVEN])
def test_what_is_shown_can_be_given(name: str, text: str) -> None:
    """What is shown of the settings in force, secrets aside, reads as the same settings."""
    read = Settings.from_env({**GOOD, variable(name): text})
    secrets = {variable(name): text} if name in SECRETS else {}

    again = Settings.from_env({**read.shown(), "DISPATCHER_MASTER_KEY": KEY, **secrets})

    assert again == read


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_loopback_needs_no_public_url(host: str) -> None:
    """Where only this machine can connect, the service's URL is that of its listener."""
    read = Settings.from_env({**GOOD, "DISPATCHER_LISTEN": f"{host}:8080"})

    assert read.shown_url == f"http://{host}:8080"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "logout.example"])  # noqa: S104 - only read
def test_off_loopback_a_public_url_is_required(host: str) -> None:
    """Where others can connect, how they reach the service has to be said."""
    environ = {**GOOD, "DISPATCHER_LISTEN": f"{host}:8080"}

    assert faults_of(environ) == [
        "DISPATCHER_PUBLIC_URL: is required where DISPATCHER_LISTEN is not on loopback"
    ]
    read = Settings.from_env({**environ, "DISPATCHER_PUBLIC_URL": "https://logout.example"})
    assert read.shown_url == "https://logout.example"


def test_extra_initiators_are_known() -> None:
    """An application may select the extra initiators too, and none is listed twice."""
    read = Settings.from_env({**GOOD, "DISPATCHER_INITIATORS_EXTRA": "rp-logout,moon-landed"})

    assert read.known_initiators == (*KNOWN_INITIATORS, "moon-landed")


@pytest.mark.parametrize("written", [KEY, f"{KEY}\n", f" {KEY}\r\n"])
def test_a_secret_is_read_from_its_file(tmp_path: Path, written: str) -> None:
    """A secret may be in a file, whose line end is none of it."""
    file = tmp_path / "key"
    file.write_text(written)

    read = Settings.from_env(with_key_in(file))

    assert read.master_key.get_secret_value() == KEY


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    """A secret and its file together are a fault, since nobody could say which counts."""
    file = tmp_path / "key"
    file.write_text(KEY)

    assert faults_of({**GOOD, FILE: str(file)}) == [
        f"{FILE}: stands beside DISPATCHER_MASTER_KEY; give one of them"
    ]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("missing", "can not be read: No such file or directory"),
        (".", "can not be read: Is a directory"),
        ("latin", "can not be read: it is not UTF-8 text"),
        ("empty", "is an empty file"),
        ("key/KANARI", "can not be read: Not a directory"),
        ("KANARI" * 100, "can not be read: File name too long"),
        ("\0KANARI", "can not be read: that is no path"),
        ("\ud800KANARI", "can not be read: that is no path"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, name: str, fault: str) -> None:
    """What is wrong with a secret's file is said once, without the path: it may be the secret."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "latin").write_bytes(b"KANARI\xff")
    (tmp_path / "empty").write_text("\n")

    assert faults_of(with_key_in(f"{tmp_path}/{name}")) == [f"{FILE}: {fault}"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """A file of somebody else is a fault too."""
    file = tmp_path / "key"
    file.touch(mode=0)

    assert faults_of(with_key_in(file)) == [f"{FILE}: can not be read: Permission denied"]


def test_the_master_key_is_never_shown() -> None:
    """The master key is in no repr, in nothing that is shown, and in no error."""
    read = Settings.from_env(GOOD)
    faults = faults_of({**GOOD, "DISPATCHER_LOG": "x", FILE: "/KANARI"})

    told = [repr(read), str(read), str(read.shown()), read.shown()["DISPATCHER_MASTER_KEY"]]

    assert "KANARI" not in "".join([*told, *faults, *faults_of({**GOOD, "DISPATCHER_STORE": "x"})])
    assert read.shown()["DISPATCHER_MASTER_KEY"] == "**********"


def test_an_unprintable_master_key_is_not_quoted() -> None:
    """A master key that can not be one is refused without a word of it."""
    environ = {**GOOD, "DISPATCHER_MASTER_KEY": "KANARI\nKANARI"}

    assert "KANARI" not in "".join(faults_of(environ))


def test_settings_do_not_change() -> None:
    """Settings are read once: nobody changes them afterwards."""
    read = Settings.from_env(GOOD)

    with pytest.raises(ValueError, match="frozen"):
        read.log = LogFormat.JSON  # type: ignore[misc]  # that is what is refused


def test_unknown_variables_are_found() -> None:
    """A DISPATCHER_ variable of no meaning is found, by name; it stops nothing."""
    typo = {
        "DISPATCHER_ISUER": "x",
        "DISPATCHER_ISSUER_FILE": "x",
        "OTHER": "x",
        "dispatcher_a": "",
    }
    clients = {"DISPATCHER_URL": "x", "DISPATCHER_CLIENT_SECRET_FILE": "x"}

    found = unknown_variables({**GOOD, **typo, **clients, FILE: "x"})

    assert found == ["DISPATCHER_ISSUER_FILE", "DISPATCHER_ISUER"]
    assert Settings.from_env({**GOOD, **typo}) == Settings.from_env(GOOD)


SETTABLE = st.sampled_from([*VARIABLES, FILE])
LIKELY = st.sampled_from(["sqlite:///", "folder:", "https://", "[", "]:1", "9", ",", ".", "%", "@"])
TEXTS = st.one_of(
    st.text(), st.characters(), st.lists(st.one_of(LIKELY, st.text(max_size=3))).map("".join)
)


@settings(deadline=None)
@given(SETTABLE, TEXTS)
def test_any_text_is_read_or_named(name: str, text: str) -> None:
    """Whatever a variable says, it is read, or it is named as the one that is wrong."""
    environ = {one: value for one, value in GOOD.items() if (one, name) != (PLAIN, FILE)}

    try:
        read = Settings.from_env({**environ, name: text})
    except InvalidSettings as error:
        named = {fault.field for fault in error.faults}
    else:
        named = {name} if read.shown() else set()

    listening = {"DISPATCHER_PUBLIC_URL"} if name == "DISPATCHER_LISTEN" else set()
    unset = {PLAIN} if name == FILE and not text.strip() else set()
    assert named <= {name, *listening, *unset}


@settings(deadline=None)
@given(st.dictionaries(SETTABLE, TEXTS))
def test_any_environment_raises_only_settings_errors(environ: dict[str, str]) -> None:
    """Whatever stands in the environment, what is raised says what to mend, in one line each."""
    try:
        read = Settings.from_env(environ)
    except InvalidSettings as error:
        lines = [str(fault) for fault in error.faults]
    else:
        lines = [f"{name}: {text}" for name, text in read.shown().items()]

    assert lines
    assert all(line.startswith("DISPATCHER_") and line.isprintable() for line in lines)


def test_the_stores_password_is_shown_nowhere() -> None:
    """The URL of a store is shown whole but for its password, which only the store is given."""
    settings = Settings.from_env(GOOD | {"DISPATCHER_STORE": DATABASE_URL})

    shown = settings.shown()["DISPATCHER_STORE"]

    assert settings.store.text == DATABASE_URL
    assert shown == "postgresql://me@db.example:5432/logout?sslmode=verify-full"
    assert "KANARI" not in repr(settings) + str(settings) + str(settings.shown())


def test_a_store_is_read_from_a_file(folder: Path) -> None:
    """The URL of a store, for its password, may lie in a file."""
    (folder / "store").write_text(f"{DATABASE_URL}\n")

    settings = Settings.from_env(GOOD | {"DISPATCHER_STORE_FILE": str(folder / "store")})

    assert settings.store == StoreUrl(DATABASE_URL)
