"""Codes of several positions in a row: their grid, their order, and their checks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skhyper._utils._codes import check_codes, fold_codes, unfold_codes
from skhyper._utils._grid import grid_shape

sides = st.integers(1, 300)


def arrays_of_codes(n_samples, n_positions, n_levels):
    """A row a position, every token another."""
    size = n_samples * n_positions * n_levels
    return np.arange(size).reshape(n_samples * n_positions, n_levels)


shapes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 4))


@given(channels=st.integers(1, 4), height=sides, width=sides)
def test_a_position_stands_for_four_by_four_pixels(channels, height, width):
    expected = tuple(len({i // 4 for i in range(side)}) for side in (height, width))
    assert grid_shape((channels, height, width)) == expected


@given(channels=st.integers(1, 4), length=st.integers(1, 5000))
def test_a_position_stands_for_64_samples_of_sound(channels, length):
    assert grid_shape((channels, length)) == (len({i // 64 for i in range(length)}),)


def test_a_row_that_is_no_picture_has_no_grid():
    assert grid_shape(None) == ()
    assert grid_shape([3, 8, 9]) == (2, 3)


@given(shape=shapes)
def test_columns_are_level_major(shape):
    n_samples, n_positions, n_levels = shape
    codes = arrays_of_codes(*shape)
    folded = fold_codes(codes, n_positions)
    assert folded.shape == (n_samples, n_levels * n_positions)
    for sample in range(n_samples):
        for level in range(n_levels):
            for position in range(n_positions):
                token = folded[sample, level * n_positions + position]
                assert token == codes[sample * n_positions + position, level]


@given(shape=shapes)
def test_unfolding_is_the_way_back_from_every_prefix(shape):
    _, n_positions, n_levels = shape
    codes = arrays_of_codes(*shape)
    folded = fold_codes(codes, n_positions)
    for m in range(1, n_levels + 1):
        prefix = np.asfortranarray(folded[:, : m * n_positions])
        assert_array_equal(unfold_codes(prefix, n_positions), codes[:, :m])


@given(shape=shapes)
def test_folding_is_the_way_back_from_unfolding(shape):
    n_samples, n_positions, n_levels = shape
    folded = arrays_of_codes(n_samples, 1, n_positions * n_levels)
    assert_array_equal(
        fold_codes(unfold_codes(folded, n_positions), n_positions), folded
    )


@pytest.mark.parametrize("width", [1, 2, 4, 5, 7, 9])
def test_parts_of_levels_are_refused(width):
    codes = np.zeros((3, width), dtype=int)
    with pytest.raises(ValueError, match=rf"codes has {width} columns.*3 positions"):
        check_codes(codes, [4, 2], n_positions=3)


@pytest.mark.parametrize("width", [3, 6])
def test_whole_levels_are_taken(width):
    codes = np.ones((2, width), dtype=np.uint8)
    checked = check_codes(codes, [4, 2], n_positions=3)
    assert checked.dtype == np.int64
    assert_array_equal(checked, codes)


@pytest.mark.parametrize(
    ("column", "token", "message"),
    [
        (2, 4, "token 4 in row 1, level 0.*has 4 codes"),
        (3, 2, "token 2 in row 1, level 1.*from 0 to 1"),
        (5, -1, "token -1 in row 1, level 1"),
    ],
)
def test_each_position_has_the_codes_of_its_level(column, token, message):
    codes = np.zeros((2, 6), dtype=int)
    codes[1, column] = token
    with pytest.raises(ValueError, match=message):
        check_codes(codes, [4, 2], n_positions=3)
