from lightning_liver.report.numbers import counted, number_text, p_text, range_text, significant_text


def test_missing_numbers_and_intervals_have_no_digits() -> None:
    assert (number_text(None), number_text(0.12345, 2)) == ("-", "0.12")
    assert (range_text(None, 0.5), range_text(0.5, None)) == ("", "")
    assert range_text(-0.1, 0.25, 2, "+") == "-0.10 to +0.25"


def test_nouns_are_plural_unless_there_is_one() -> None:
    assert [counted(n, "step") for n in (0, 1, 2, 1_234_567)] == ["0 steps", "1 step", "2 steps", "1234567 steps"]


def test_small_p_values_are_not_shown_as_zero() -> None:
    assert [p_text(p, "= ") for p in (0.0123, 0.001, 0.0009)] == ["= 0.012", "= 0.001", "< 0.001"]


def test_small_numbers_have_their_power_of_ten() -> None:
    assert [significant_text(value) for value in (None, 0, 0.02134, 0.76, 100, 12.34, -1.523e-05)] == [
        "-",
        "0.00",
        "0.0213",
        "0.760",
        "100",
        "12.3",
        "-1.52 × 10⁻⁵",
    ]
