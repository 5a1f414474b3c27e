"""Names near to one that does not exist."""

from storage.text.suggestions import close_names, did_you_mean, valid_names


def test_the_nearest_name_comes_first_whatever_its_case() -> None:
    assert close_names("ters", ["Verbose", "TERSE", "Tense"]) == ["TERSE", "Tense"]
    assert close_names("voice", ["A much longer name with a voice"]) == [
        "A much longer name with a voice"
    ]
    assert did_you_mean("color", ["colour", "size"]) == " Did you mean 'colour'?"
    assert did_you_mean("color", ["size"]) == ""


def test_a_name_of_a_megabyte_is_compared_at_once() -> None:
    assert close_names("x" * 1_000_000, [f"{'x' * 1000}{number}" for number in range(100)]) == []


def test_at_most_ten_valid_names_are_listed_with_the_number_of_the_others() -> None:
    names = [f"N{number}" for number in range(12)]
    assert valid_names("zz", names, 40) == f" There are: {', '.join(names[:10])}, … and 30 more."
    assert valid_names("zz", [], 0) == " There are none."
    assert valid_names("Ters", ["Terse"], 1) == " Close to it: Terse."
