"""EC numbers as annotation writes them, and today's numbers for superseded ones."""

from __future__ import annotations

import pytest

from gemforest.evidence.ec import current_ecs, level_shared, parse_ecs, superseded_ecs


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1.1.1.1", ("1.1.1.1",)),
        ("EC:2.7.1.11", ("2.7.1.11",)),
        ("EC 2.7.1.11, EC 1.1.1.-", ("1.1.1.-", "2.7.1.11")),
        ("3.4.21.n1;2.7.1", ("2.7.1.-", "3.4.21.n1")),
        ("1.1.1.1 1.1.1.1|1.1.1.2", ("1.1.1.1", "1.1.1.2")),
        ("", ()),
    ],
)
def test_lists_prefixes_partial_and_provisional_numbers_are_read(text: str, numbers: tuple[str, ...]) -> None:
    parsed = parse_ecs(text)
    assert parsed.numbers == numbers
    assert parsed.rejected == ()


@pytest.mark.parametrize("text", ["alcohol dehydrogenase", "0.1.1.1", "1.-.1.1", "1.1.1.1.1", "9.1.1.1", "1.1.1.x"])
def test_prose_and_malformed_numbers_are_rejected_not_guessed(text: str) -> None:
    parsed = parse_ecs(text)
    assert parsed.numbers == ()
    assert parsed.rejected


def test_a_transferred_number_is_replaced_and_several_successors_share_the_weight() -> None:
    # ENZYME: acetoin dehydrogenase 1.1.1.5 was split by stereochemistry into 1.1.1.303 and 1.1.1.304.
    assert current_ecs("1.1.1.5") == {"1.1.1.303": 0.5, "1.1.1.304": 0.5}
    assert current_ecs("2.7.1.11") == {"2.7.1.11": 1.0}


def test_chains_are_followed_to_their_end_and_circles_end() -> None:
    assert current_ecs("a", {"a": ("b",), "b": ("c", "d")}) == {"c": 0.5, "d": 0.5}
    assert sum(current_ecs("a", {"a": ("b",), "b": ("a",)}).values()) == 1.0


def test_weights_of_every_superseded_number_sum_to_one() -> None:
    table = superseded_ecs()
    assert len(table) > 800
    for old in table:
        assert sum(current_ecs(old).values()) == pytest.approx(1.0)


def test_shared_levels_count_from_the_left_and_a_dash_shares_nothing() -> None:
    assert level_shared("1.1.1.1", "1.1.1.2") == 3
    assert level_shared("1.1.1.-", "1.1.1.-") == 3
    assert level_shared("1.1.1.1", "2.1.1.1") == 0
