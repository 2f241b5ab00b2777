"""Reading a document that somebody else wrote: every fault is named by its field."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.domain.errors import Fault
from dispatcher.domain.reading import (
    Reader,
    format_duration,
    is_json,
    parse_duration,
    parse_moment,
)
from tests.domain.builders import HOUR, MINUTE, SECOND, json_values


def reading(document: object, path: str = "") -> Reader:
    """Make a reader with no faults yet."""
    return Reader(document, path=path, faults=[])


def faults_of(reader: Reader) -> list[str]:
    """List the faults as a person reads them."""
    return [str(fault) for fault in reader.faults]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "null"),
        ("a", "a string"),
        (True, "a boolean"),
        (1, "a whole number"),
        (1.5, "a number"),
        ([], "an array"),
        (datetime(2026, 1, 1, tzinfo=UTC), "not JSON"),
    ],
)
def test_what_is_no_object_is_a_fault(value: object, named: str) -> None:
    """What is no object is a fault of its place, says what it is, and reads as empty."""
    reader = reading(value, "clients[0]")

    assert reader.faults == [Fault("clients[0]", f"is {named}, expected an object")]
    assert reader.document == {}


@pytest.mark.parametrize(
    ("method", "right", "wrong", "expected"),
    [
        ("text", "a", 1, "is a whole number, expected a string"),
        ("text", "", {}, "is an object, expected a string"),
        ("boolean", True, 1, "is a whole number, expected a boolean"),
        ("boolean", False, "false", "is a string, expected a boolean"),
        ("moment", "2026-11-22T10:00:00Z", 1, "is a whole number, expected a string"),
    ],
)
def test_a_member_of_another_type_is_a_fault(
    method: str, right: object, wrong: object, expected: str
) -> None:
    """A member of another type is a fault of that member."""
    fine, faulty = reading({"member": right}), reading({"member": wrong}, "root")

    getattr(fine, method)("member")
    getattr(faulty, method)("member")

    assert faults_of(fine) == []
    assert faults_of(faulty) == [f"root.member: {expected}"]


def test_null_is_absence() -> None:
    """A member that is null reads as if it were absent, and is no fault."""
    reader = reading({"member": None})

    assert "member" not in reader
    assert reader.text("member") is None
    assert reader.boolean("member") is False
    assert reader.boolean("member", default=True) is True
    assert reader.integer("member", least=1, most=2) is None
    assert reader.choice("member", str, ["a"]) is None
    assert reader.moment("member") is None
    assert reader.duration("member", least=SECOND, most=HOUR) is None
    assert reader.member("member") is None
    assert list(reader.items("member")) == []
    assert reader.texts("member", ok=bool, rule="x") is None
    assert reader.faults == []


def test_a_false_value_is_present() -> None:
    """A member that is false, zero or empty is there."""
    reader = reading({"no": False, "none": 0, "empty": "", "bare": {}})

    assert all(name in reader for name in reader.document)
    assert reader.boolean("no", default=True) is False
    assert reader.text("empty") == ""
    assert reader.member("bare") is not None


def test_a_text_keeps_its_rule() -> None:
    """A text that breaks its rule is a fault that says the rule, and reads as absent."""
    reader = reading({"name": "<b>"})

    read = reader.text("name", ok=str.isalpha, rule="letters")

    assert read is None
    assert faults_of(reader) == ["name: must be letters"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, ["name: is required"]),
        ({"name": None}, ["name: is required"]),
        ({"name": ""}, ["name: must not be empty"]),
        ({"name": 7}, ["name: is a whole number, expected a string"]),
    ],
)
def test_what_is_required_is_given(document: object, expected: list[str]) -> None:
    """A required text that is absent, null, empty or no text is one fault, and reads as empty."""
    reader = reading(document)

    assert reader.required("name") == ""
    assert faults_of(reader) == expected


def test_a_required_text_is_read() -> None:
    """A required text is read by its rule, and breaking the rule is one fault."""
    reader = reading({"good": "a", "bad": "1", "empty": ""})

    assert reader.required("good", ok=str.isalpha, rule="letters") == "a"
    assert reader.required("bad", ok=str.isalpha, rule="letters") == ""
    assert reader.required("empty", ok=str.isalpha, rule="letters") == ""
    assert faults_of(reader) == ["bad: must be letters", "empty: must be letters"]


@pytest.mark.parametrize("value", [1, 2, 10])
def test_a_whole_number_within_its_bounds_is_read(value: int) -> None:
    """A whole number from the least to the most is read as it stands."""
    reader = reading({"timeout": value})

    assert reader.integer("timeout", least=1, most=10) == value
    assert reader.faults == []


@pytest.mark.parametrize("value", [0, 11, True, False, -1, 10**400])
def test_a_number_out_of_bounds_is_a_fault(value: int) -> None:
    """A whole number out of its bounds is a fault, and so is a boolean."""
    reader = reading({"timeout": value})

    assert reader.integer("timeout", least=1, most=10) is None
    assert faults_of(reader) == ["timeout: must be a whole number from 1 to 10"]


def test_a_choice_is_one_of_its_values() -> None:
    """A choice is one of its values and nothing like them."""
    reader = reading({"good": "all", "bad": "al"})

    assert reader.choice("good", str.upper, ["all", "custom"]) == "ALL"
    assert reader.choice("bad", str.upper, ["all", "custom"]) is None
    assert faults_of(reader) == ["bad: must be one of all, custom"]


def test_a_moment_that_is_none_is_a_fault() -> None:
    """A moment that can not be understood is a fault that shows how one is written."""
    reader = reading({"good": "2026-11-22T10:00:00+01:00", "bad": "yesterday"})

    assert reader.moment("good") == datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert reader.moment("bad") is None
    assert faults_of(reader) == [
        "bad: must be a date and time with its offset, as 2026-11-22T10:00:00Z"
    ]


@pytest.mark.parametrize(("text", "expected"), [("1m", MINUTE), ("60s", MINUTE), ("1h", HOUR)])
def test_a_duration_within_its_bounds_is_read(text: str, expected: timedelta) -> None:
    """A duration from the least to the most is read."""
    reader = reading({"horizon": text})

    assert reader.duration("horizon", least=MINUTE, most=HOUR) == expected
    assert reader.faults == []


@pytest.mark.parametrize("text", ["59s", "61m", "", "1", "h", "1 h", "-5m", "1.5m"])
def test_a_duration_out_of_bounds_is_a_fault(text: str) -> None:
    """A duration that is none, or out of its bounds, is a fault that says what is allowed."""
    reader = reading({"horizon": text})

    assert reader.duration("horizon", least=MINUTE, most=HOUR) is None
    assert faults_of(reader) == [
        "horizon: must be a duration such as 90s, 15m, 168h or 30d, from 1m to 1h"
    ]


def test_members_share_the_faults() -> None:
    """Whatever is read of a member is noted with the whole path, among the faults of the root."""
    root = reading({"a": {"b": {"c": 1}}, "d": [{"e": 1}, "f"], "g": 5})

    inner = root.member("a")
    assert inner is not None
    deeper = inner.member("b")
    assert deeper is not None
    deeper.text("c")
    for path, item in root.items("d"):
        Reader(item, path=path, faults=root.faults).text("e")
    root.member("g")
    list(root.items("g"))

    assert faults_of(root) == [
        "a.b.c: is a whole number, expected a string",
        "d[0].e: is a whole number, expected a string",
        "d[1]: is a string, expected an object",
        "g: is a whole number, expected an object",
        "g: is a whole number, expected an array",
    ]


def test_texts_are_read_one_by_one() -> None:
    """Each item of an array that is no text, or breaks the rule, is a fault by its index."""
    reader = reading({"names": ["a", 1, "2", None, "b"], "none": [], "flat": "a"})

    assert reader.texts("names", ok=str.isalpha, rule="letters") == ("a", "b")
    assert reader.texts("none", ok=str.isalpha, rule="letters") == ()
    assert reader.texts("flat", ok=str.isalpha, rule="letters") == ()
    assert reader.texts("absent", ok=str.isalpha, rule="letters") is None
    assert faults_of(reader) == [
        "names[1]: must be letters",
        "names[2]: must be letters",
        "names[3]: must be letters",
        "flat: is a string, expected an array",
    ]


def test_a_value_may_stand_only_once() -> None:
    """Where values must differ, one that stands twice is a fault of their member."""
    reader = reading({})

    reader.unique("names", ["a", "b"])
    reader.unique("urls", ["a", "b", "a"])

    assert faults_of(reader) == ["urls: must not hold the same value twice"]


def test_unknown_members_are_refused() -> None:
    """Each member that is not known is a fault, even where it is null, so that no typo vanishes."""
    reader = reading({"known": 1, "typo": 1, "another": None}, "logout_delivery")

    reader.refuse_others(frozenset({"known", "optional"}))

    assert faults_of(reader) == [
        "logout_delivery.another: is not a known member",
        "logout_delivery.typo: is not a known member",
    ]


@given(json_values())
def test_any_value_can_be_read(value: Any) -> None:
    """No JSON value in the place of another makes reading raise."""
    reader = reading({"member": value})

    reader.text("member", ok=str.isalpha, rule="letters")
    reader.required("member")
    reader.boolean("member")
    reader.integer("member", least=1, most=5)
    reader.choice("member", str, ["a"])
    reader.moment("member")
    reader.duration("member", least=SECOND, most=HOUR)
    reader.member("member")
    list(reader.items("member"))
    reader.texts("member", ok=bool, rule="text")
    reading(value).refuse_others(frozenset({"a"}))

    assert all(fault.field.startswith("member") for fault in reader.faults)


@given(json_values(most=30))
def test_what_json_says_can_be_written_again(value: Any) -> None:
    """A value made of JSON's own kinds is JSON."""
    assert is_json(value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        "\ud800",
        {"\udfff": 1},
        datetime(2026, 1, 1, tzinfo=UTC),
        [b"bytes"],
    ],
)
def test_what_json_can_not_say_is_not_json(value: object) -> None:
    """A date of TOML's, a number that is none and half a character are not JSON."""
    assert not is_json(value)


def test_what_is_nested_without_end_is_not_json() -> None:
    """A value too deep to be written is not JSON."""
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]

    assert not is_json(deep)


_OFFSETS = st.builds(
    timezone, st.integers(-1439, 1439).map(lambda minutes: timedelta(minutes=minutes))
)


_YEARS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=_OFFSETS | st.just(UTC))  # noqa: DTZ001 - the zone is given apart


@given(_YEARS)
def test_moments_round_trip(moment: datetime) -> None:
    """A moment that is written and read is the same instant, in UTC."""
    read = parse_moment(moment.isoformat())

    assert read == moment
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["2026-11-22T10:00:00Z", "2026-11-22t10:00:00z", "2026-11-22T12:30:00.000+02:30"]
)
def test_a_moment_is_read_whatever_its_case_and_offset(text: str) -> None:
    """RFC 3339 section 5.6: T and Z may be of either case; any offset names the same instant."""
    assert parse_moment(text) == datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22 10:00:00Z",
        "2026-02-30T10:00:00Z",
        "1763805600",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_moment_is_none(text: str) -> None:
    """A moment without time, T or offset, of no calendar or out of all years is none."""
    assert parse_moment(text) is None


@given(st.text(alphabet=st.characters()) | st.from_regex(r"[0-9TZ:+.-]{1,30}"))
def test_no_text_makes_reading_raise(text: str) -> None:
    """Any text at all is a moment, a duration, or none."""
    moment, duration = parse_moment(text), parse_duration(text)

    assert moment is None or moment.tzinfo is UTC
    assert duration is None or duration >= timedelta(0)


@given(st.integers(0, 9_999_999), st.sampled_from("smhd"))
def test_durations_round_trip(amount: int, unit: str) -> None:
    """A duration that is read, written and read again is the same."""
    duration = parse_duration(f"{amount}{unit}")

    assert duration is not None
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("168h", timedelta(hours=168)),
        ("30d", timedelta(days=30)),
        ("9999999d", timedelta(days=9_999_999)),
    ],
)
def test_durations_are_read(text: str, expected: timedelta) -> None:
    """A duration is a whole number of seconds, minutes, hours or days."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "90", "90 s", "-1s", "1.5h", "٣s", "²s", "1w", "10000000s", "1H", "+1s"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    """A duration without its unit, with a sign, a fraction, other digits or too many is none."""
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (1, "1s"),
        (59, "59s"),
        (60, "1m"),
        (61, "61s"),
        (3600, "1h"),
        (5400, "90m"),
        (168 * 3600, "168h"),
        (29 * 86400, "696h"),
        (30 * 86400, "30d"),
        (31 * 86400 + 3600, "745h"),
    ],
)
def test_durations_are_written_as_operators_speak(seconds: int, expected: str) -> None:
    """A duration is written in its largest whole unit, in days only from 30 on."""
    assert format_duration(timedelta(seconds=seconds)) == expected
