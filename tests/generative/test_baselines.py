"""Baselines: what they count, how they rank, and what they refuse."""

import itertools
import math
import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold

from skhyper import io
from skhyper.generative import _baselines, _scoring
from skhyper.generative._baselines import (
    ItemKNNRecommender,
    MarkovRecommender,
    PopularityRecommender,
)
from skhyper.generative._scoring import largest

EVERY = [PopularityRecommender(), ItemKNNRecommender(), MarkovRecommender()]
every = pytest.mark.parametrize("estimator", EVERY, ids=lambda e: type(e).__name__)

# few items, so that ties are many
some_items = st.lists(st.integers(0, 6), min_size=1, max_size=7)
some_sequences = st.lists(some_items, min_size=1, max_size=9)


def draw_sequences(n=60, n_items=30, seed=0):
    rng = np.random.RandomState(seed)
    popular = rng.dirichlet(np.full(n_items, 0.5))
    lengths = rng.randint(2, 12, size=n)
    return [rng.choice(n_items, size=length, p=popular) for length in lengths]


def names(sequences):
    return [[f"item {i:03d}" for i in sequence] for sequence in sequences]


def rank(score, items):
    """All items by score, of equal ones the lowest first; scores are dicts."""
    return sorted(items, key=lambda j: (-round(score[j], 9), j))


def known(sequences):
    return sorted({i for sequence in sequences for i in sequence})


def popularity(sequences, history):
    return Counter(i for sequence in sequences for i in sequence)


def cosine(sequences, i, j):
    users = [{u for u, s in enumerate(sequences) if item in s} for item in (i, j)]
    return len(users[0] & users[1]) / math.sqrt(len(users[0]) * len(users[1]))


def nearest(sequences, i, n_neighbors):
    """Neighbours of an item and their cosines."""
    others = {j: cosine(sequences, i, j) for j in known(sequences) if j != i}
    found = [j for j in rank(others, others) if others[j] > 0]
    return {j: others[j] for j in found[:n_neighbors]}


def neighbourhood(sequences, history, n_neighbors, decay):
    score = Counter()
    for age, i in enumerate(reversed(history)):
        for j, similarity in nearest(sequences, i, n_neighbors).items():
            score[j] += decay**age * similarity
    return score


def successors(sequences, history, smoothing):
    """Probabilities of the next item."""
    steps = Counter(pair for s in sequences for pair in itertools.pairwise(s))
    count = popularity(sequences, history)
    i = history[-1]
    n = sum(steps[i, j] for j in count)
    total = sum(count.values())
    return {
        j: (steps[i, j] + smoothing * count[j] / total) / (n + smoothing) for j in count
    }


def assert_ranks(model, sequences, histories, score):
    items = known(sequences)
    found = model.fit(sequences).recommend(histories, k=len(items))
    expected = [rank(score(sequences, history), items) for history in histories]
    assert found.tolist() == expected


# what they recommend


@settings(max_examples=60)
@given(some_sequences)
def test_popularity_counts(sequences):
    assert_ranks(PopularityRecommender(), sequences, sequences, popularity)


@settings(max_examples=60)
@given(
    some_sequences, st.integers(1, 8), st.sampled_from([1.0, 0.5, 0.9]), st.booleans()
)
def test_neighbours_equal_a_slow_search(sequences, n_neighbors, decay, in_blocks):
    model = ItemKNNRecommender(n_neighbors, decay=decay)
    with pytest.MonkeyPatch.context() as patch:
        if in_blocks:
            patch.setattr(_baselines, "BLOCK_ROWS", 3)
            patch.setattr(_scoring, "BLOCK_ROWS", 2)
        assert_ranks(
            model,
            sequences,
            sequences,
            lambda *given: neighbourhood(*given, n_neighbors, decay),
        )
    items = known(sequences)
    each = zip(items, model.neighbors_, model.similarities_, strict=True)
    for i, neighbors, similarities in each:
        expected = nearest(sequences, i, n_neighbors)
        n = len(expected)
        assert model.items_[neighbors[:n]].tolist() == list(expected)
        assert_allclose(similarities[:n], list(expected.values()), atol=1e-12)
        assert (neighbors[n:] == -1).all()
        assert (similarities[n:] == 0).all()


@settings(max_examples=60)
@given(some_sequences, st.sampled_from([1.0, 0.01, 50.0]))
def test_transitions_equal_a_slow_count(sequences, smoothing):
    assert_ranks(
        MarkovRecommender(smoothing=smoothing),
        sequences,
        sequences,
        lambda *given: successors(*given, smoothing),
    )


@every
def test_a_catalogue_may_have_items_that_no_one_took(estimator):
    sequences = draw_sequences(n=8, n_items=6)
    given = estimator.fit(sequences, items=[9, 0, 1, 2, 3, 4, 5])
    assert given.items_.tolist() == [0, 1, 2, 3, 4, 5, 9]
    found = given.recommend([[9], [0, 9]], k=7)
    assert_array_equal(np.sort(found), np.tile(given.items_, (2, 1)))
    # nothing speaks for it, and no id is higher
    assert given.recommend([[0], [5, 2]], k=7)[:, -1].tolist() == [9, 9]


def test_an_item_without_successors_leaves_it_to_popularity():
    model = MarkovRecommender().fit([[1, 2, 3], [2, 3, 3], [4]])
    assert model.recommend([[4], [1, 4]], k=4).tolist() == [[3, 2, 1, 4]] * 2
    assert model.transitions_.tolist() == [[0, 1, 1], [1, 2, 2], [2, 2, 1]]
    assert model.counts_.tolist() == [1, 2, 3, 1]
    # sequences of one item have no transition at all
    model = MarkovRecommender().fit([[1], [2], [2]])
    assert model.transitions_.shape == (0, 3)
    assert model.recommend([[1]], k=2).tolist() == [[2, 1]]


def test_smoothing_weighs_popularity():
    sequences = [[0, 1], *[[2]] * 20]
    for smoothing, best in ((1.0, 1), (100.0, 2)):
        model = MarkovRecommender(smoothing=smoothing).fit(sequences)
        assert model.recommend([[0]], k=1).tolist() == [[best]]


def test_decay_forgets_what_is_long_ago():
    sequences = [[0, 2], [1, 3], [1, 9]]
    for decay, best in ((1.0, 2), (0.5, 3)):
        model = ItemKNNRecommender(decay=decay).fit(sequences)
        assert model.recommend([[0, 1]], k=1).tolist() == [[best]]


def test_no_common_users_means_no_neighbours():
    model = ItemKNNRecommender(3).fit([[5], [7, 7], [6]])
    assert_array_equal(model.neighbors_, np.full((3, 1), -1))
    assert model.recommend([[7]], k=3).tolist() == [[5, 6, 7]]


# ties


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, -np.inf]), min_size=5, max_size=5),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 5),
)
def test_the_largest_come_first_and_of_equal_ones_the_first(scores, k):
    scores = np.array(scores)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert_array_equal(largest(scores, k), expected)


@every
def test_ties_go_to_the_lowest_id(estimator):
    every_item = [[i] for i in (30, 4, 100, 21)]
    model = clone(estimator).fit(every_item)
    assert model.recommend(every_item, k=4).tolist() == [[4, 21, 30, 100]] * 4
    # the lowest of strings, not of numbers
    model = clone(estimator).fit([[str(i)] for (i,) in every_item])
    assert model.recommend([["4"]], k=4).tolist() == [["100", "21", "30", "4"]]


def test_equal_cosines_do_not_differ_by_their_rounding():
    assert 1 / math.sqrt(3) > 3 / math.sqrt(27)
    sequences = [[0, 5, 9], [0, 5], [0, 5], *[[5]] * 6]
    for n_neighbors in (1, 2):
        model = ItemKNNRecommender(n_neighbors).fit(sequences)
        assert model.recommend([[0]], k=1).tolist() == [[5]]


def test_equal_probabilities_do_not_differ_by_their_rounding():
    assert 50 * (7 / 25) > 2 + 50 * (6 / 25)
    sequences = [[0, 2], [0, 2], *[[2]] * 4, *[[9]] * 7, *[[1]] * 10]
    model = MarkovRecommender(smoothing=50.0).fit(sequences)
    assert model.counts_.tolist() == [2, 10, 6, 7]
    assert model.recommend([[0]], k=4).tolist() == [[1, 2, 9, 0]]


def test_equal_sums_do_not_differ_by_their_rounding():
    assert 0.1 + 0.2 + 0.3 > 0.3 + 0.2 + 0.1
    model = ItemKNNRecommender().fit([range(5)])
    model.neighbors_ = np.array([[3, 4], [3, 4], [3, 4], [-1, -1], [-1, -1]])
    model.similarities_ = np.array([[0.3, 0.1], [0.2, 0.2], [0.1, 0.3], [0, 0], [0, 0]])
    for history in itertools.permutations(range(3)):
        assert model.recommend([history], k=2).tolist() == [[3, 4]]
    # 1 / sqrt(8) and 0.5 / sqrt(2), of which neither may be rounded before
    model = ItemKNNRecommender(decay=0.5).fit([[0], [0], [0], [0, 1], [2, 1]])
    assert model.recommend([[2, 1]], k=3).tolist() == [[2, 0, 1]]


# scikit-learn's contract


@every
def test_results_are_a_function_of_the_row_alone(estimator):
    sequences = draw_sequences(n=300)
    model = clone(estimator).fit(sequences)
    found = model.recommend(sequences)
    for some in (slice(1), slice(None, None, -1), slice(200, 300), slice(1, 258)):
        assert_array_equal(model.recommend(sequences[some]), found[some])


@every
def test_the_order_of_users_does_not_count(estimator):
    sequences = draw_sequences()
    expected = clone(estimator).fit(sequences).recommend(sequences)
    found = clone(estimator).fit(sequences[::-1]).recommend(sequences)
    assert_array_equal(found, expected)


@every
def test_ids_are_integers_or_strings(estimator):
    sequences = draw_sequences()
    expected = clone(estimator).fit(sequences).recommend(sequences)
    model = clone(estimator).fit(names(sequences))
    assert_array_equal(model.recommend(names(sequences)), np.array(names(expected)))
    for kind in (
        np.ndarray.tolist,
        tuple,
        pd.Series,
        lambda sequence: sequence.astype(np.uint8),
    ):
        same = [kind(sequence) for sequence in sequences]
        assert_array_equal(clone(estimator).fit(same).recommend(same), expected)
    objects = [np.array(sequence, dtype=object) for sequence in names(sequences)]
    found = clone(estimator).fit(objects).recommend(objects)
    assert_array_equal(found, np.array(names(expected)))


@every
def test_score_is_the_gain_of_the_last_item(estimator):
    sequences = draw_sequences()
    model = clone(estimator).fit(sequences)
    for k in (1, 10, 20):
        found = model.recommend([sequence[:-1] for sequence in sequences], k=k)
        gains = [
            1 / math.log2(2 + row.tolist().index(sequence[-1]))
            if sequence[-1] in row
            else 0.0
            for row, sequence in zip(found, sequences, strict=True)
        ]
        assert model.score(sequences, k=k) == pytest.approx(np.mean(gains))
        assert 0 < np.mean(gains) < 1
    assert model.score(sequences) == model.score(sequences, None, 10)


@every
def test_seen_items_can_be_left_out(estimator):
    sequences = draw_sequences()
    model = clone(estimator).fit(sequences)
    full = model.recommend(sequences, k=len(model.items_))
    found = model.recommend(sequences, k=5, exclude_seen=True)
    for row, everything, sequence in zip(found, full, sequences, strict=True):
        unseen = [i for i in everything.tolist() if i not in sequence]
        assert row.tolist() == unseen[:5]


@every
def test_copies_say_the_same(estimator, tmp_path):
    sequences = draw_sequences()
    model = clone(estimator).fit(sequences)
    expected = model.recommend(sequences)
    attributes = {a for a in vars(model) if a.endswith("_")}
    assert all(type(getattr(model, a)) is np.ndarray for a in attributes)
    twin = pickle.loads(pickle.dumps(model))
    assert_array_equal(twin.recommend(sequences), expected)
    io.save(model, tmp_path / "model")
    assert_array_equal(io.load(tmp_path / "model").recommend(sequences), expected)
    assert not hasattr(clone(model), "items_")


def test_parameters_can_be_searched():
    sequences = draw_sequences()
    items = np.arange(30)
    search = GridSearchCV(
        ItemKNNRecommender(), {"n_neighbors": [1, 20], "decay": [1.0, 0.5]}, cv=KFold(3)
    )
    search.fit(sequences, items=items)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert len(set(scores)) > 1


@every
def test_nothing_is_known_before_fit(estimator):
    for call in (
        lambda: clone(estimator).recommend([[1]]),
        lambda: clone(estimator).score([[1, 2]]),
    ):
        with pytest.raises(NotFittedError):
            call()


@every
def test_what_is_given_is_not_changed(estimator):
    sequences = draw_sequences()
    for sequence in sequences:
        sequence.flags.writeable = False
    items = np.arange(30)[::-1].copy()
    clone(estimator).fit(sequences, items=items).recommend(sequences)
    assert_array_equal(items, np.arange(30)[::-1])


# what cannot be used


@every
@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "sequences is empty"),
        ([[1], []], r"sequences\[1\] has 0 items"),
        ([[], []], r"sequences\[0\] has 0 items"),
        ([[1], ["a"]], "sequences hold integers and strings"),
        ([[1, "a"]], r"sequences\[0\] cannot be used"),
        ([[1], [1.5]], r"sequences\[1\] cannot be used"),
        ([[1], [np.nan]], r"sequences\[1\] cannot be used"),
        ([1, 2], r"sequences\[0\] cannot be used"),
        ([[[1, 2]]], r"sequences\[0\] cannot be used"),
    ],
)
def test_sequences_that_cannot_be_learnt_from(estimator, sequences, message):
    model = clone(estimator).fit([[1, 2], [2, 3]])
    expected = model.recommend([[1], [2]], k=3)
    with pytest.raises(ValueError, match=message):
        model.fit(sequences)
    assert_array_equal(model.recommend([[1], [2]], k=3), expected)


@every
@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([1, 2, 2], "more than once: 2"),
        ([1, 2], "unknown item, 3"),
        (["1", "2", "3"], "integers, but ids of items are strings"),
        ([[1, 2, 3]], "shape"),
    ],
)
def test_catalogues_that_do_not_fit(estimator, items, message):
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit([[1, 2], [2, 3]], items=items)


@every
def test_histories_and_numbers_that_cannot_be(estimator):
    model = clone(estimator).fit([[1, 2], [2, 3]])
    for histories, message in (
        ([[1], [4]], r"sequences\[1\] has an unknown item, 4"),
        ([["1"]], "strings"),
        ([[]], r"sequences\[0\] has 0 items"),
        ([], "sequences is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            model.recommend(histories, k=1)
    with pytest.raises(ValueError, match=r"sequences\[0\] has 1 items"):
        model.score([[1]])
    with pytest.raises(ValueError, match="k=4 is too large"):
        model.recommend([[1]], k=4)
    with pytest.raises(ValueError, match="k=3 is too large"):
        model.recommend([[1]], k=3, exclude_seen=True)
    for k in (0, 1.5, "2"):
        with pytest.raises(ValueError, match="must be an integer above 0"):
            model.recommend([[1]], k=k)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (ItemKNNRecommender(0), "n_neighbors"),
        (ItemKNNRecommender(2.5), "n_neighbors"),
        (ItemKNNRecommender(decay=0.0), "decay"),
        (ItemKNNRecommender(decay=1.1), "decay"),
        (MarkovRecommender(smoothing=0.0), "smoothing"),
        (MarkovRecommender(smoothing="much"), "smoothing"),
    ],
)
def test_parameters_out_of_range(estimator, name):
    with pytest.raises(ValueError, match=name):
        estimator.fit([[1, 2]])
