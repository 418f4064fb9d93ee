"""The recommender: what it reads, what it ranks, and what it promises to keep."""

import copy
import itertools
import logging
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skhyper._nn._sequence import SequenceTrainer
from skhyper._nn._train import Settings
from skhyper.callbacks import EarlyStopping
from skhyper.generative._index import CodeIndex
from skhyper.generative._next_items import NextItems
from skhyper.generative._recommender import GenerativeRecommender
from skhyper.generative._recommender_base import (
    Histories,
    NextItemRecommender,
    check_sequences,
)

TINY = {"d_model": 8, "n_layers": 1, "n_heads": 2, "max_iter": 2, "random_state": 0}
N_ITEMS = 30
IDS = np.array([f"item {number:02}" for number in range(N_ITEMS)])


def new_index(ids=IDS, seed=0, **parameters):
    """Codes that neither follow the ids nor are unique without a counter."""
    codes = np.random.RandomState(seed).randint(0, (4, 3), size=(len(ids), 2))
    return CodeIndex(**parameters).fit(codes, ids)


def draw_sequences(n=40, longest=7, ids=IDS, seed=0):
    rng = np.random.RandomState(seed)
    return [rng.choice(ids, rng.randint(2, longest + 1)).tolist() for _ in range(n)]


def fit_tiny(sequences=None, **parameters):
    model = GenerativeRecommender(new_index(), **{**TINY, **parameters})
    return model.fit(draw_sequences() if sequences is None else sequences)


@pytest.fixture(scope="module")
def recommender():
    """One whose rankings differ from user to user, and from a narrow beam's."""
    model = fit_tiny(max_history=4)
    rng = np.random.RandomState(1)
    for name, array in model.weights_.items():
        drawn = rng.normal(size=array.shape).astype(np.float32)
        model.weights_[name] = 0 * drawn if name.endswith("bias") else drawn
    return copy.deepcopy(model)  # of which there is no network yet


def assert_same_weights(one, other):
    for name, array in one.weights_.items():
        assert_array_equal(array, other.weights_[name])


# histories


lists = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1)


def histories_of(sequences):
    starts = np.append(0, np.cumsum([len(items) for items in sequences]))
    return Histories(np.concatenate(sequences), starts)


@given(lists, st.integers(1, 8))
def test_tails_equal_slices(sequences, width):
    tails = [items[-width:] for items in sequences]
    expected = [items + [-1] * (width - len(items)) for items in tails]
    assert histories_of(sequences).tails(width).tolist() == expected


@given(lists)
def test_parts_of_histories_equal_those_of_lists(sequences):
    histories = histories_of(sequences)
    assert histories.lengths.tolist() == [len(items) for items in sequences]
    assert histories.last().tolist() == [items[-1] for items in sequences]
    shorter = histories.without_last()
    assert shorter.rows.tolist() == [i for items in sequences for i in items[:-1]]
    assert shorter.lengths.tolist() == [len(items) - 1 for items in sequences]
    owners = [i for i, items in enumerate(sequences) for _ in items]
    assert histories.owners.tolist() == owners


def windows_of(items, width):
    """The windows of a sequence, the last first, and of each what to predict first."""
    windows, end = [], len(items)
    while end > 1:
        begin = max(0, end - width - 1)
        first = end - max(1, width // 2) if begin else 1
        windows.append((items[begin:end], first - begin))
        end = first
    return windows


def read_rows(rows):
    """Windows as lists of items, whose codes are they and their doubles, and firsts."""
    found = []
    for at, length in enumerate(rows.lengths):
        first, *codes = rows[np.array([at])][0].tolist()
        assert codes[1::2] == [2 * item for item in codes[::2]]
        assert len(codes) == 2 * length
        assert rows.n_targets[at] == length - first
        found.append((codes[::2], first))
    return found


DOUBLES = np.arange(10)[:, None] * [1, 2]
longer = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=30), min_size=1)


@given(longer, st.integers(1, 8))
def test_windows_equal_those_made_by_hand(sequences, width):
    rows = NextItems(histories_of(sequences), DOUBLES, width)
    found = read_rows(rows)
    assert found == [w for items in sequences for w in windows_of(items, width)]
    assert len(rows) == len(found)
    # each item but the first is predicted once, given half of the width or all there is
    assert rows.n_targets.sum() == sum(len(items) - 1 for items in sequences)
    starts = [items[:n] for items in sequences for n in range(width + 2)]
    assert all(first > width // 2 or items in starts for items, first in found)
    if found:  # together they are as wide as the longest
        some = np.array([len(rows) - 1, 0])
        both = rows[some]
        assert both.shape == (2, 1 + 2 * rows.lengths[some].max())
        for row, at in zip(both, some, strict=True):
            own = rows[np.array([at])][0]
            assert_array_equal(row[: len(own)], own)
            assert (row[len(own) :] == -1).all()


@given(longer, st.integers(1, 8))
def test_the_last_items_are_set_apart(sequences, width):
    train, last = NextItems(histories_of(sequences), DOUBLES, width).split_last()
    before = [w for items in sequences for w in windows_of(items[:-1], width)]
    assert read_rows(train) == before
    tails = [items[-width - 1 :] for items in sequences if len(items) > 1]
    assert read_rows(last) == [(items, len(items) - 1) for items in tails]


def test_batches_hold_histories_of_like_lengths():
    sequences = draw_sequences(n=300, longest=20)
    histories = check_sequences(sequences, IDS)
    rows = NextItems(histories, np.arange(N_ITEMS)[:, None], 9)
    network = fit_tiny()._network()
    training = rows, np.ones(len(rows))

    def batches(seed):
        trainer = SequenceTrainer(network, training, Settings(16, 1e-3, 10, 0.0, seed))
        return [[b.tolist() for b in trainer._batches()] for _ in range(2)]

    (one, two), again, other = batches(0), batches(0), batches(1)
    assert [one, two] == again
    assert one != two
    assert one != other[0]
    assert sorted(itertools.chain(*one)) == list(range(len(rows)))
    assert {len(batch) for batch in one} <= {15, 16}
    asked = sum(len(batch) * rows.lengths[batch].max() for batch in one)
    assert asked < 1.1 * rows.lengths.sum()
    # the short ones do not all come first
    first = [rows.lengths[batch[0]] for batch in one]
    assert first != sorted(first)


# what is recommended


def score_all(model, history):
    """Log-probabilities of the codes of all items after a history, in full."""
    at = np.searchsorted(model.items_, history)[-model._max_history :]
    given = [len(at), *model.codes_[at].ravel()]
    rows = np.hstack([np.tile(given, (len(model.items_), 1)), model.codes_])
    return model.codes_.shape[1] * model._network().log_likelihood(rows)


def test_a_beam_as_wide_as_the_catalogue_is_exact(recommender):
    model = copy.copy(recommender).set_params(beam_size=N_ITEMS)
    sequences = draw_sequences(n=25, seed=3)
    found = model.recommend(sequences, k=N_ITEMS)
    assert found.shape == (25, N_ITEMS)
    assert len({tuple(items) for items in found}) > 10
    for history, items in zip(sequences, found, strict=True):
        scores = score_all(model, history)
        assert_array_equal(items, model.items_[np.argsort(-scores, kind="stable")])
    assert_array_equal(model.recommend(sequences, k=3), found[:, :3])
    # k is enough to make the beam as wide
    narrow = copy.copy(model).set_params(beam_size=1)
    assert_array_equal(narrow.recommend(sequences, k=N_ITEMS), found)
    assert (narrow.recommend(sequences, k=1) != found[:, :1]).any()


def test_ties_go_to_the_lowest_code():
    model = fit_tiny()
    weights = {name: 0 * array for name, array in model.weights_.items()}
    model._network().load_weights(weights)
    # what may follow a prefix is as likely, and the last token mostly tells items apart
    codes = model.codes_
    log = np.zeros(N_ITEMS)
    for j in range(codes.shape[1]):
        for at, code in enumerate(codes):
            same = (codes[:, :j] == code[:j]).all(axis=1)
            log[at] -= np.log(len(np.unique(codes[same, j])))
    order = np.lexsort((*codes.T[::-1], -log.round(9)))
    assert (np.diff(log[order]) == 0).sum() > 10
    found = model.recommend([[IDS[0]], [IDS[1], IDS[2]]], k=N_ITEMS)
    assert_array_equal(found, np.tile(IDS[order], (2, 1)))


def test_each_user_is_served_alone(recommender):
    sequences = draw_sequences(n=60, longest=6, seed=4)
    found = recommender.recommend(sequences, k=5)
    for at in range(0, 60, 5):
        assert_array_equal(recommender.recommend([sequences[at]], k=5)[0], found[at])
    order = np.random.RandomState(0).permutation(60)
    shuffled = [sequences[at] for at in order]
    assert_array_equal(recommender.recommend(shuffled, k=5), found[order])


def test_items_before_max_history_do_not_count(recommender):
    for history in draw_sequences(n=8, longest=9, seed=5):
        longer = [*IDS[[7, 3]], *history]
        expected = recommender.recommend([longer[-4:]], k=N_ITEMS)
        assert_array_equal(recommender.recommend([longer], k=N_ITEMS), expected)
    changed = recommender.recommend([[IDS[1], *longer[-3:]]], k=N_ITEMS)
    assert (changed != recommender.recommend([longer], k=N_ITEMS)).any()
    # nor in training
    assert_same_weights(
        fit_tiny([IDS[[8, 9]], IDS[[3, 5, 8]]], max_history=1),
        fit_tiny([IDS[[3, 5, 8, 9]]], max_history=1),
    )


def test_the_order_of_a_history_counts(recommender):
    one, other = [IDS[[1, 2, 3]]], [IDS[[3, 2, 1]]]
    found = recommender.recommend(one, k=N_ITEMS)
    assert (found != recommender.recommend(other, k=N_ITEMS)).any()


def test_the_next_item_is_learnt():
    rng = np.random.RandomState(0)
    follows = rng.permutation(N_ITEMS)

    def walk(start, n):
        path = [start]
        for _ in range(n - 1):
            path.append(follows[path[-1]])
        return IDS[path]

    sequences = [walk(start, 6) for start in range(N_ITEMS)]
    model = GenerativeRecommender(
        new_index(),
        d_model=32,
        n_layers=1,
        max_history=3,
        max_iter=25,
        batch_size=16,
        learning_rate=5e-3,
        random_state=0,
    )
    model.fit(sequences)
    others = [[*rng.choice(IDS, 3), *walk(start, 4)] for start in range(N_ITEMS)]
    assert model.score(others) > 0.95
    assert model.loss_curve_[-1] < 0.2 * model.loss_curve_[0]
    chance = [[*items[:-1], IDS[0]] for items in others]
    assert model.score(chance) < 0.5


def test_codes_of_one_token_are_items():
    numbers = np.arange(6)
    index = CodeIndex(unique="none").fit(numbers[:, None], numbers)
    settings = {**TINY, "max_iter": 40, "learning_rate": 0.02, "batch_size": 8}
    model = GenerativeRecommender(index, **settings)
    model.fit([np.roll(numbers, -at)[:4] for at in numbers])
    assert_array_equal(model.recommend(numbers[:, None], k=1)[:, 0], (numbers + 1) % 6)


def slow_ndcg(targets, found, k):
    gains = []
    for target, items in zip(targets, found, strict=True):
        items = items[:k].tolist()
        found_at = items.index(target) + 1 if target in items else np.inf
        gains.append(1 / np.log2(1 + found_at))
    return np.mean(gains)


def test_score_is_ndcg_of_the_last_items(recommender):
    sequences = draw_sequences(n=50, seed=6)
    found = recommender.recommend([items[:-1] for items in sequences], k=12)
    targets = [items[-1] for items in sequences]
    for k in (1, 3, 12):
        expected = slow_ndcg(targets, found, k)
        assert 0 < expected < 1
        assert recommender.score(sequences, k=k) == pytest.approx(expected)
    default = slow_ndcg(targets, found, 10)
    assert recommender.score(sequences) == pytest.approx(default)


def test_what_was_seen_is_left_out(recommender):
    sequences = [["item 07"] * 40, *draw_sequences(n=20, longest=9, seed=7)]
    every = recommender.recommend(sequences, k=N_ITEMS)
    n_seen = max(len(set(items)) for items in sequences)
    fresh = recommender.recommend(sequences, k=N_ITEMS - n_seen, exclude_seen=True)
    for history, items, kept in zip(sequences, every, fresh, strict=True):
        expected = [item for item in items if item not in history]
        assert kept.tolist() == expected[: N_ITEMS - n_seen]
    with pytest.raises(ValueError, match=f"of which a user has had {n_seen}. Lower k"):
        recommender.recommend(sequences, k=N_ITEMS - n_seen + 1, exclude_seen=True)


def test_kinds_of_input(recommender):
    sequences = draw_sequences(n=9, seed=8)
    expected = recommender.recommend(sequences)
    assert expected.dtype == IDS.dtype
    for same in (
        [np.array(items) for items in sequences],
        [np.array(items, dtype=object) for items in sequences],
        tuple(tuple(items) for items in sequences),
        pd.Series(sequences, index=range(9, 18)),
        iter(sequences),
    ):
        assert_array_equal(recommender.recommend(same), expected)
    numbers = np.arange(100, 100 + N_ITEMS)
    index = new_index(numbers)
    model = GenerativeRecommender(index, **TINY).fit(draw_sequences(ids=numbers))
    found = model.recommend(np.array([[100, 101], [102, 103]], dtype=np.int16), k=2)
    assert found.dtype == np.int64
    assert np.isin(found, numbers).all()


# training


def test_fit_is_deterministic_and_leaves_global_generators_alone():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    one, two = fit_tiny(dropout=0.2), fit_tiny(dropout=0.2)
    one.recommend([[IDS[0]]])
    assert random.getstate() == states[0]
    assert_array_equal(np.random.get_state()[1], states[1][1])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert_same_weights(one, two)
    assert one.loss_curve_ == two.loss_curve_
    assert fit_tiny(dropout=0.2, random_state=1).loss_curve_ != one.loss_curve_
    assert fit_tiny(dropout=0.0).loss_curve_ != one.loss_curve_
    hidden = fit_tiny(item_dropout=0.2, dropout=0.0)
    assert hidden.loss_curve_ == fit_tiny(item_dropout=0.2, dropout=0.0).loss_curve_
    assert hidden.loss_curve_ != fit_tiny(dropout=0.0).loss_curve_
    assert torch.equal(torch.get_rng_state(), states[2])


def test_early_stopping_follows_the_last_items():
    sequences = draw_sequences(n=60)
    model = fit_tiny(
        sequences,
        early_stopping=True,
        n_iter_no_change=2,
        max_iter=30,
        learning_rate=0.02,
    )
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) == int(np.argmax(scores)) + 3 < 30
    kept = [
        score_all(model, items[:-1])[np.searchsorted(IDS, items[-1])]
        for items in sequences
    ]
    assert np.mean(kept) / 3 == pytest.approx(max(scores), rel=1e-5)
    assert fit_tiny().validation_scores_ is None
    # the last items are not trained on
    others = [[*items[:-1], IDS[0]] for items in sequences]
    once = {"early_stopping": True, "max_iter": 1}
    assert_same_weights(fit_tiny(sequences, **once), fit_tiny(others, **once))
    with pytest.raises(ValueError, match="no sequence has 3 items"):
        fit_tiny([IDS[:2], IDS[3:5]], early_stopping=True)


def test_callbacks_see_a_fitted_recommender_every_epoch():
    seen, sequences = [], draw_sequences()

    def scoring(fitted, given, y):
        assert given is sequences
        assert y is None
        seen.append(fitted.weights_["columns"].sum())
        assert 0 <= fitted.score(given) <= 1
        return 0.0

    model = GenerativeRecommender(new_index(), **{**TINY, "max_iter": 9})
    model.set_callbacks(EarlyStopping(scoring, n_iter_no_change=2)).fit(sequences)
    assert model.n_iter_ == len(model.loss_curve_) == len(set(seen)) == 3


def test_verbose_logs_a_line_an_epoch(caplog):
    with caplog.at_level(logging.INFO, logger="skhyper"):
        fit_tiny(verbose=1)
    assert [r.message.split(":")[0] for r in caplog.records] == [
        f"GenerativeRecommender epoch {number}" for number in (1, 2)
    ]


# going on


def test_a_first_pass_is_a_fit_of_one_epoch():
    sequences = draw_sequences()
    once = GenerativeRecommender(new_index(), **TINY).partial_fit(sequences)
    fitted = fit_tiny(sequences, max_iter=1)
    assert_same_weights(once, fitted)
    assert once.loss_curve_ == fitted.loss_curve_
    assert once.n_iter_ == 1
    # a pass is not the last of all, and takes whole steps
    falling = {**TINY, "learning_rate_schedule": "linear"}
    falling = GenerativeRecommender(new_index(), **falling).partial_fit(sequences)
    assert_same_weights(once, falling)
    assert {a for a in vars(fitted) if a.endswith("_")} <= set(vars(once))


def test_a_pickled_copy_goes_on_bit_for_bit():
    parts = [draw_sequences(seed=seed) for seed in range(4)]
    model = GenerativeRecommender(new_index(), **{**TINY, "dropout": 0.2})
    model.partial_fit(parts[0]).partial_fit(parts[1])
    twin = pickle.loads(pickle.dumps(model))
    bare = copy.deepcopy(model)
    bare._online["state"] = {}
    for part in parts[2:]:
        for each in (model, twin, bare):
            each.partial_fit(part)
    assert_same_weights(model, twin)
    assert model.loss_curve_ == twin.loss_curve_
    assert model.n_iter_ == 4
    # what the optimizer knows counts
    assert bare.loss_curve_ != model.loss_curve_


def test_after_fit_it_goes_on_and_fit_starts_anew():
    sequences = draw_sequences()
    fitted = fit_tiny(sequences, max_iter=8, learning_rate=0.01, batch_size=32)
    before, model = fitted.loss_curve_, copy.deepcopy(fitted)
    model.partial_fit(sequences)
    assert model.loss_curve_[:-1] == before
    assert model.loss_curve_[-1] < before[0]  # where a new fit begins
    model.fit(sequences)
    assert not hasattr(model, "_online")
    assert_same_weights(model, fitted)


def test_items_added_to_the_index_are_known_after_a_pass():
    model = fit_tiny()
    before = model.recommend([[IDS[0]]], k=N_ITEMS)
    free = [
        [*pair, 0]
        for pair in np.ndindex(4, 3)
        if not (model.codes_[:, :2] == pair).all(axis=1).any()
    ]
    assert free
    model.index.add([free[0][:2]], ["a new one"])
    # an index that grows leaves what was fitted alone
    assert_array_equal(model.recommend([[IDS[0]]], k=N_ITEMS), before)
    with pytest.raises(ValueError, match="unknown item, 'a new one'"):
        model.recommend([["a new one"]])
    model.partial_fit([["a new one", *IDS[:4]]])
    assert model.items_[0] == "a new one"
    assert model.codes_[0].tolist() == free[0]
    found = model.recommend([["a new one"], [IDS[0]]], k=N_ITEMS + 1)
    assert (np.sort(found, axis=1) == model.items_).all()
    # a counter higher than any before is a token that the network lacks
    model.index.add(np.tile(free[0][:2], (9, 1)), [f"b {n}" for n in range(9)])
    with pytest.raises(ValueError, match=r"new items with tokens that .* lacks: 'b "):
        model.partial_fit(draw_sequences())


def test_a_pass_needs_what_was_fitted():
    model, sequences = fit_tiny(), draw_sequences()
    expected = copy.deepcopy(model)
    numbers = np.arange(N_ITEMS)
    for index, message in (
        (new_index(seed=1), "the item 'item .*' has another code in it, or none"),
        (new_index(IDS[:-1]), "the item 'item 29' has another code in it, or none"),
        (new_index(numbers), "ids of another type"),
        (CodeIndex(unique="none").fit(numbers[:, None], IDS), "another width"),
    ):
        twin = copy.deepcopy(model).set_params(index=index)
        with pytest.raises(ValueError, match=f"index .*{message}.*call fit"):
            twin.partial_fit(draw_sequences(ids=index.ids_))
        assert_same_weights(twin, expected)
        # what was fitted stands
        assert_array_equal(twin.items_, IDS)
    for parameters in (
        {"d_model": 16},
        {"max_history": 3},
        {"dim_feedforward": 7},
        {"prefix_embeddings": False},
    ):
        twin = copy.deepcopy(model).set_params(**parameters)
        with pytest.raises(ValueError, match=r"max_history, d_model, .* call fit"):
            twin.partial_fit(sequences)
        assert twin.recommend(sequences).shape == (40, 10)
    with pytest.raises(ValueError, match="early_stopping=True keeps items out"):
        model.set_params(early_stopping=True).partial_fit(sequences)


def test_a_pass_that_diverges_is_undone():
    model = fit_tiny(batch_size=16)
    before = copy.deepcopy(model)
    with pytest.warns(match=r"stops with the weights of epoch 2\. Lower learning_rate"):
        model.set_params(learning_rate=1e30).partial_fit(draw_sequences())
    assert_same_weights(model, before)
    assert model.loss_curve_ == before.loss_curve_
    assert model._online["state"] == {}


# scikit-learn's contract


def test_copies_hold_arrays_and_give_the_same(recommender):
    fitted = copy.deepcopy(recommender)
    # what was fitted stands, whatever the parameters are now
    fitted.set_params(n_heads=1, d_model=3, dim_feedforward=5, max_history=1)
    sequences = draw_sequences(n=9)
    expected = recommender.recommend(sequences)
    fitted.recommend(sequences)
    pickled = pickle.dumps(fitted)
    assert b"torch" not in pickled
    assert b"Trie" not in pickled
    assert all(type(array) is np.ndarray for array in fitted.weights_.values())
    for twin in (pickle.loads(pickled), copy.copy(fitted), copy.deepcopy(fitted)):
        assert_array_equal(twin.recommend(sequences), expected)


def test_clones_keep_the_index():
    model = fit_tiny()
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "weights_")
    assert_same_weights(twin.fit(draw_sequences()), model)
    with pytest.raises(NotFittedError):
        clone(model).recommend([[IDS[0]]])
    with pytest.raises(NotFittedError):
        clone(model).score([IDS[:2]])
    frozen = GenerativeRecommender(FrozenEstimator(new_index()), **TINY)
    assert_same_weights(clone(frozen).fit(draw_sequences()), model)


def test_a_search_over_parameters():
    model = GenerativeRecommender(new_index(), **{**TINY, "max_iter": 1})
    search = GridSearchCV(model, {"max_history": [1, 3]}, cv=2, error_score="raise")
    search.fit(draw_sequences(n=20))
    assert search.best_estimator_.index is model.index
    assert (search.cv_results_["mean_test_score"] >= 0).all()


def test_an_error_leaves_what_was_fitted(recommender):
    model = copy.deepcopy(recommender)
    for sequences in ([["a", "b"]], [], [[IDS[0]]]):
        with pytest.raises(ValueError, match="sequences"):
            model.fit(sequences)
    assert_same_weights(model, recommender)
    given = [[IDS[0]]]
    assert_array_equal(model.recommend(given), recommender.recommend(given))


def test_fitting_again_forgets_the_catalogue_before():
    model = fit_tiny()
    model.recommend([[IDS[0]]])
    ids = ["x", "y", "z"]
    model.set_params(index=new_index(ids, seed=3)).fit([["x", "y"], ["y", "z"]])
    assert sorted(model.recommend([["z"]], k=3)[0]) == ids


def test_the_paper_has_its_sizes():
    shape = {"d_model": 12, "n_heads": 6, "n_layers": 2, "dim_feedforward": 5}
    weights = fit_tiny(**shape, max_history=20).weights_
    assert weights["encoder.1.mlp.0.weight"].shape == (5, 12)
    assert weights["blocks.1.mlp.0.weight"].shape == (5, 12)
    assert weights["source_columns"].shape == (1, 12)
    assert weights["recency"].shape == (2, 6, 20)
    # the paper's network does not know items, only tokens
    assert weights["prefixes.weight"].shape[0] > N_ITEMS
    bare = fit_tiny(prefix_embeddings=False).weights_
    assert set(weights) - set(bare) >= {"prefixes.weight"}
    default = fit_tiny().weights_
    assert default["blocks.0.mlp.0.weight"].shape == (32, 8)


# what cannot be used


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "sequences is empty"),
        ([IDS[:2], []], r"sequences\[1\] has 0 items; each needs at least"),
        ([IDS[:2], ["item 03", "item 99"]], r"\[1\] has an unknown item, 'item 99'"),
        ([IDS[:2], [1, 2]], r"sequences\[1\] has integers, but .* strings"),
        ([["item 03", 4]], r"sequences\[0\] cannot be used: .* int, str"),
        ([[0.5, 1.0]], r"sequences\[0\] cannot be used: .* float64"),
        (IDS[:3], r"sequences\[0\] cannot be used: .* shape"),
        ([[["item 01"], ["item 02"]]], r"sequences\[0\] cannot be used: .* shape"),
    ],
)
def test_sequences_that_are_none(recommender, sequences, message):
    model = GenerativeRecommender(new_index(), **TINY)
    methods = model.fit, model.partial_fit, recommender.score, recommender.recommend
    for method in methods:
        with pytest.raises(ValueError, match=message):
            method(sequences)
    assert not hasattr(model, "weights_")


def test_one_item_is_no_lesson(recommender):
    model = GenerativeRecommender(new_index(), **TINY)
    for method in (model.fit, model.partial_fit, recommender.score):
        with pytest.raises(ValueError, match=r"\[1\] has 1 items; .* least 2 items"):
            method([IDS[:2], IDS[:1], IDS[:4], IDS[:1]])


@pytest.mark.parametrize("k", [0, -1, 2.5, None, "ten"])
def test_k_is_a_count(recommender, k):
    for method in (recommender.recommend, recommender.score):
        with pytest.raises(ValueError, match=f"k={k!r} must be an integer above 0"):
            method([IDS[:3]], k=k)


def test_k_is_no_more_than_there_are_items(recommender):
    for method in (recommender.recommend, recommender.score):
        with pytest.raises(ValueError, match="k=31 is too large: there are 30 items"):
            method([IDS[:3]], k=31)


def test_an_index_that_cannot_be_used():
    for index, name in ((None, "NoneType"), (np.eye(3), "ndarray"), ("x", "str")):
        with pytest.raises(ValueError, match=f"index is a {name}; it must be a fitted"):
            GenerativeRecommender(index, **TINY).fit(draw_sequences())
    for index in (CodeIndex(), FrozenEstimator(CodeIndex())):
        with pytest.raises(NotFittedError, match=r"index=.* is not fitted"):
            GenerativeRecommender(index, **TINY).fit(draw_sequences())
    shared = CodeIndex(unique="none").fit([[0, 1], [1, 1], [0, 1]], IDS[:3])
    message = r"'item 00' and 'item 02' have \[0, 1\]\. Settle .*unique='counter'"
    with pytest.raises(ValueError, match=message):
        GenerativeRecommender(shared, **TINY).fit([IDS[:3]])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"d_model": 9}, "d_model=9 must be a multiple of n_heads=2"),
        ({"max_history": 0}, "max_history"),
        ({"dim_feedforward": 0}, "dim_feedforward"),
        ({"beam_size": 0}, "beam_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"item_dropout": 1.0}, "item_dropout"),
        ({"item_dropout": -0.1}, "item_dropout"),
        ({"max_iter": 0}, "max_iter"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"device": "nowhere"}, "device='nowhere'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        fit_tiny(**parameters)


def test_another_recommender_only_says_what_it_ranks():
    class Popular(NextItemRecommender):
        def fit(self, sequences):
            self.items_, counts = np.unique(np.concatenate(sequences), return_counts=1)
            self._order = np.argsort(-counts, kind="stable")
            return self

        def _ranked(self, histories, k):
            return np.tile(self._order[:k], (len(histories.lengths), 1))

    model = Popular().fit([[5, 3, 3, 9], [3, 5]])
    assert model.recommend([[9], [3, 5]], k=2).tolist() == [[3, 5], [3, 5]]
    fresh = model.recommend([[9], [3]], k=2, exclude_seen=True)
    assert fresh.tolist() == [[3, 5], [5, 9]]
    assert_allclose(model.score([[9, 3], [3, 5]], k=2), (1 + 1 / np.log2(3)) / 2)
    with pytest.raises(NotFittedError):
        Popular().recommend([[1]])
