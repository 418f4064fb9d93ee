"""SASRec: its network, what it learns, and what it promises to keep."""

import copy
import logging
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import erf, log_softmax, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_limits

from skhyper._nn._sasrec import ItemTransformer
from skhyper.callbacks import EarlyStopping
from skhyper.generative._baselines import MarkovRecommender
from skhyper.generative._sasrec import SASRecRecommender
from skhyper.generative._scoring import read_sequences
from skhyper.metrics import ndcg_at_k

TINY = {"d_model": 8, "max_history": 6, "max_iter": 3, "random_state": 0}
N_ITEMS = 15


def draw_sequences(n=60, seed=0, longest=10):
    rng = np.random.RandomState(seed)
    return [rng.randint(N_ITEMS, size=rng.randint(3, longest)) for _ in range(n)]


def names(sequences):
    return [[f"item {i:02d}" for i in sequence] for sequence in sequences]


def fit_tiny(n=60, **parameters):
    model = SASRecRecommender(**{**TINY, **parameters})
    return model.fit(draw_sequences(n), items=range(N_ITEMS))


def rows_of(sequences, width):
    """Columns of items, and -1 after the last."""
    kept = [list(sequence)[-width:] for sequence in sequences]
    return np.array([row + [-1] * (width - len(row)) for row in kept])


def new_network(max_history=6):
    """A network at random whose distributions are far from uniform."""
    torch.manual_seed(0)
    network = ItemTransformer(N_ITEMS, max_history, width=8, n_blocks=2, n_heads=2)
    with torch.no_grad():
        network.tokens.weight *= 50
        network.columns *= 20
    return network.eval()


@pytest.fixture(scope="module")
def recommender():
    return fit_tiny(n=300)


# the network


def twin(network, history):
    """The logits of what comes next, in NumPy and float64, a place at a time."""
    w = {name: array.astype(np.float64) for name, array in network.weights().items()}

    def linear(name, x):
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    def norm(name, x):
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = list(w["columns"][: len(history) + 1])
    for place, item in enumerate(history):
        x[place + 1] = x[place + 1] + w["tokens.weight"][item]
    for b in ("blocks.0", "blocks.1"):
        parts = [
            np.split(
                linear(f"{b}.queries_keys_values", norm(f"{b}.norm_attention", v)), 3
            )
            for v in x
        ]
        for i, (query, _, _) in enumerate(parts):
            heads = []
            for h in (slice(0, 4), slice(4, 8)):
                seen = parts[: i + 1]
                share = softmax([query[h] @ key[h] / 2 for _, key, _ in seen])
                heads.append(share @ np.array([value[h] for _, _, value in seen]))
            x[i] = x[i] + linear(f"{b}.mix", np.concatenate(heads))
            hidden = linear(f"{b}.mlp.0", norm(f"{b}.norm_mlp", x[i]))
            hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
            x[i] = x[i] + linear(f"{b}.mlp.2", hidden)
    return w["tokens.weight"] @ norm("norm", x[-1])


def test_scores_equal_a_twin_in_numpy():
    network = new_network()
    histories = [s[:6] for s in draw_sequences(20)]
    actual = network.scores(rows_of(histories, 6))
    assert np.ptp(actual) > 1
    expected = [twin(network, history) for history in histories]
    assert_allclose(actual, expected, atol=1e-4)


def test_nats_are_those_of_all_items_but_the_first():
    network, sequences = new_network(), draw_sequences(11, longest=8)
    expected = [
        -np.mean(
            [
                log_softmax(twin(network, sequence[:at]))[sequence[at]]
                for at in range(1, len(sequence))
            ]
        )
        for sequence in sequences
    ]
    for n in (1, 3, 11):
        rows = torch.from_numpy(rows_of(sequences[:n], 7))
        assert_allclose(network.nats(rows).detach()[:, 0], expected[:n], atol=1e-4)


def test_gains_are_the_ndcg_of_the_last_items():
    network, sequences = new_network(), draw_sequences(80, longest=8)
    rows = torch.from_numpy(rows_of(sequences, 7))
    logits = network.scores(rows_of([s[:-1] for s in sequences], 6))
    ranked = np.argsort(-logits, axis=1, kind="stable")
    last = [sequence[-1] for sequence in sequences]
    expected = ndcg_at_k(last, ranked, average=False)
    assert_allclose(network.gains(rows).detach(), expected, atol=1e-6)
    assert 0 in expected
    # of equal scores the lowest item is the first
    network.load_weights({k: 0 * v for k, v in network.weights().items()})
    gains = network.gains(torch.tensor([[9, 9, 3], [1, 10, -1], [1, 0, -1]]))
    assert_allclose(gains.detach(), [1 / np.log2(5), 0, 1], rtol=1e-6)


def test_what_comes_later_does_not_count():
    network = new_network()
    rows = torch.from_numpy(rows_of(draw_sequences(30), 7).clip(min=0))
    with torch.inference_mode():
        states = network._states(rows)
        for place in range(1, 7):
            # column j has seen the items before place j
            for other in ((rows + 1) % N_ITEMS, torch.full_like(rows, -1)):
                changed = torch.cat([rows[:, :place], other[:, place:]], dim=1)
                found = network._states(changed)
                torch.testing.assert_close(
                    found[:, : place + 1], states[:, : place + 1]
                )
                assert (found - states)[:, place + 1 :].abs().sum() > 0 or place == 6


def test_items_are_read_and_predicted_by_the_same_vectors(recommender):
    shapes = [array.shape for array in recommender.weights_.values()]
    assert [shape for shape in shapes if N_ITEMS in shape] == [(N_ITEMS, 8)]


def test_every_transition_counts_the_same():
    sequences = draw_sequences(40)
    model = SASRecRecommender(
        **{**TINY, "max_iter": 1, "max_history": 9, "dropout": 0.0},
        early_stopping=False,
        learning_rate=1e-12,
        batch_size=7,
    ).fit(sequences, items=range(N_ITEMS))
    nats = [
        -log_softmax(twin(model._network(), sequence[:at]))[sequence[at]]
        for sequence in sequences
        for at in range(1, len(sequence))
    ]
    assert model.loss_curve_[0] == pytest.approx(np.mean(nats), rel=1e-5)


# what it learns

LEARNER = SASRecRecommender(
    d_model=16,
    max_history=8,
    dropout=0.0,
    max_iter=40,
    batch_size=16,
    learning_rate=0.01,
    random_state=0,
)


def test_a_cycle_is_learnt():
    cycle = np.tile(np.random.RandomState(0).permutation(12), 3)
    sequences = [cycle[at : at + n] for at in range(12) for n in (3, 5, 10)]
    assert clone(LEARNER).fit(sequences).score(sequences, k=1) > 0.9
    model = clone(LEARNER).set_params(early_stopping=False).fit(sequences)
    assert model.score(sequences, k=1) == 1.0
    # and from one item, and from more than were ever seen
    for n in (1, 3, 8, 20):
        histories = [cycle[at : at + n] for at in range(12)]
        expected = [[cycle[at + n]] for at in range(12)]
        assert model.recommend(histories, k=1).tolist() == expected
    # without a cycle there is nothing to learn
    rng = np.random.RandomState(1)
    noise = [rng.randint(12, size=6) for _ in range(60)]
    assert clone(LEARNER).set_params(max_iter=3).fit(noise).score(noise, k=1) < 0.4


def test_items_before_the_last_are_looked_at():
    # what follows 9 is said by what came before it
    sequences = [[u, 9, u + 3] for u in (0, 1, 2)] * 10
    sequences += [[6, u, 9, u + 3] for u in (0, 1, 2)] * 10
    model = clone(LEARNER).set_params(early_stopping=False, max_iter=15)
    model.fit(sequences)
    histories, following = [[0, 9], [1, 9], [2, 9]], [[3], [4], [5]]
    assert model.recommend(histories, k=1).tolist() == following
    markov = MarkovRecommender().fit(sequences)
    assert len(np.unique(markov.recommend(histories, k=1))) == 1


def test_early_stopping_keeps_the_weights_of_the_best_score():
    model = fit_tiny(
        n=100,
        max_iter=40,
        early_stopping=True,
        learning_rate=0.01,
        n_iter_no_change=2,
        tol=0.0,
    )
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) == int(np.argmax(scores)) + 3 < 40
    kept = model.score(draw_sequences(100))
    assert kept == pytest.approx(max(scores), abs=1e-6)
    assert fit_tiny(early_stopping=False).validation_scores_ is None


def test_early_stopping_does_not_train_on_the_last_items():
    sequences = draw_sequences()
    others = [np.append(s[:-1], (s[-1] + 1) % N_ITEMS) for s in sequences]
    # a validation score that never falls keeps the last weights
    model = SASRecRecommender(**TINY, tol=0.0).set_params(max_iter=1)
    items = np.arange(N_ITEMS)
    one, two = (clone(model).fit(s, items=items) for s in (sequences, others))
    for name, array in one.weights_.items():
        assert_array_equal(two.weights_[name], array)
    assert one.validation_scores_ != two.validation_scores_
    model.set_params(early_stopping=False)
    one, two = (clone(model).fit(s, items=items) for s in (sequences, others))
    assert (one.weights_["tokens.weight"] != two.weights_["tokens.weight"]).any()


def test_the_longest_history_is_learnt_from_though_an_item_is_held_out():
    model = SASRecRecommender(max_history=3)
    rows = np.array([[5, 6, 7, 8, 9], [5, 6, 7, 8, -1], [5, 6, 7, -1, -1]])
    rows = np.vstack([rows, [5, 6, -1, -1, -1]])
    (training, weight), (held_out, ones) = model._split(rows, np.ones(4), 0)
    assert training.tolist() == [[5, 6, 7, 8], [5, 6, 7, -1], [5, 6, -1, -1]]
    assert weight.tolist() == [3, 2, 1]
    assert held_out.tolist() == [[6, 7, 8, 9], *rows[1:, :-1].tolist()]
    assert_array_equal(ones, np.ones(4))


def test_only_the_last_items_count(recommender):
    sequences = draw_sequences(20, seed=3, longest=30)
    expected = recommender.recommend([s[-6:] for s in sequences])
    assert_array_equal(recommender.recommend(sequences), expected)
    assert (recommender.recommend([s[-5:] for s in sequences]) != expected).any()
    items = np.arange(N_ITEMS)
    for early_stopping in (True, False):
        # what is held out is one more
        n = 7 + early_stopping
        model = clone(recommender).set_params(early_stopping=early_stopping)
        full = model.fit(sequences, items=items)
        weights, scores = full.weights_, full.validation_scores_
        cut = model.fit([s[-n:] for s in sequences], items=items)
        for name, array in weights.items():
            assert_array_equal(cut.weights_[name], array)
        assert cut.validation_scores_ == scores
        cut = model.fit([s[1 - n :] for s in sequences], items=items)
        assert (cut.weights_["tokens.weight"] != weights["tokens.weight"]).any()


def test_columns_hold_the_last_items():
    sequences = draw_sequences(30)
    _, histories = read_sequences(sequences, range(N_ITEMS))
    for width in (1, 4, 20):
        assert_array_equal(histories.tails(width), rows_of(sequences, width))


# scikit-learn's contract


def test_results_are_a_function_of_the_row_alone(recommender):
    sequences = draw_sequences(300, seed=5)
    model, found = recommender, recommender.recommend(sequences, k=N_ITEMS)
    rows = rows_of(sequences, 6)
    scores = model._network().scores(rows)
    for some in (slice(1), slice(None, None, -1), slice(200, 300), slice(1, 258)):
        assert_array_equal(model.recommend(sequences[some], k=N_ITEMS), found[some])
        assert_array_equal(model._network().scores(rows[some]), scores[some])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threadpool_limits(2):
            assert_array_equal(model._network().scores(rows), scores)
    finally:
        torch.set_num_threads(before)


def test_items_are_ranked_by_their_scores_and_ties_by_their_ids(recommender):
    sequences = draw_sequences(20, seed=5)
    logits = recommender._network().scores(rows_of(sequences, 6))
    expected = np.argsort(-logits, axis=1, kind="stable")
    assert_array_equal(recommender.recommend(sequences, k=N_ITEMS), expected)
    flat = copy.deepcopy(recommender)
    flat.weights_ = {name: 0 * array for name, array in flat.weights_.items()}
    found = flat.recommend(sequences, k=4)
    assert_array_equal(found, np.tile(np.arange(4), (20, 1)))


def test_fit_is_deterministic_and_leaves_global_generators_alone():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    one, two = fit_tiny(), fit_tiny()
    one.recommend([[0]])
    assert random.getstate() == states[0]
    assert_array_equal(np.random.get_state()[1], states[1][1])
    assert torch.equal(torch.get_rng_state(), states[2])
    for name, array in one.weights_.items():
        assert_array_equal(array, two.weights_[name])
    assert one.loss_curve_ == two.loss_curve_
    assert fit_tiny(random_state=1).loss_curve_ != one.loss_curve_
    assert fit_tiny(dropout=0.0).loss_curve_ != one.loss_curve_


def test_copies_hold_arrays_and_give_the_same(recommender):
    sequences = draw_sequences(30, seed=7)
    expected = recommender.recommend(sequences)
    fitted = copy.deepcopy(recommender)
    # what was fitted stands, whatever the parameters are now
    fitted.set_params(n_heads=1, d_model=3, n_layers=7, max_history=2)
    assert b"torch" not in pickle.dumps(fitted)
    assert all(type(array) is np.ndarray for array in fitted.weights_.values())
    for twin in (
        pickle.loads(pickle.dumps(fitted)),
        copy.copy(fitted),
        copy.deepcopy(fitted),
    ):
        assert_array_equal(twin.recommend(sequences), expected)


def test_parameters():
    parameters = SASRecRecommender(d_model=12, max_history=3).get_params()
    twin = clone(SASRecRecommender(**parameters))
    assert twin.get_params() == parameters
    assert not hasattr(clone(fit_tiny()), "weights_")
    for call in (lambda: twin.recommend([[0]]), lambda: twin.score([[0, 1]])):
        with pytest.raises(NotFittedError):
            call()


def test_ids_are_integers_or_strings(recommender):
    sequences = draw_sequences(300)
    expected = recommender.recommend(sequences)
    model = clone(recommender).fit(names(sequences))
    assert_array_equal(model.recommend(names(sequences)), np.array(names(expected)))
    for kind in (np.ndarray.tolist, tuple, pd.Series):
        same = [kind(sequence) for sequence in sequences]
        assert_array_equal(clone(recommender).fit(same).recommend(same), expected)


def test_a_catalogue_may_have_items_that_no_one_took():
    model = SASRecRecommender(**TINY).fit([[1, 2, 3], [3, 2, 1]], items=[7, 3, 2, 1])
    assert model.items_.tolist() == [1, 2, 3, 7]
    assert sorted(model.recommend([[7]], k=4)[0].tolist()) == [1, 2, 3, 7]


def test_score_is_the_gain_of_the_last_item(recommender):
    sequences = draw_sequences(50, seed=9)
    found = recommender.recommend([s[:-1] for s in sequences], k=5)
    expected = ndcg_at_k([s[-1] for s in sequences], found, k=5)
    assert recommender.score(sequences, k=5) == pytest.approx(expected)


def test_callbacks_see_a_fitted_recommender_every_epoch(recommender):
    seen = []

    def scoring(fitted, sequences, y):
        seen.append(fitted.score(sequences))
        return 0.0

    model = clone(recommender).set_callbacks(EarlyStopping(scoring, n_iter_no_change=2))
    model.fit(draw_sequences())
    assert model.n_iter_ == len(seen) == 3


def test_verbose_logs_a_line_an_epoch(caplog):
    with caplog.at_level(logging.INFO, logger="skhyper"):
        fit_tiny(verbose=1)
    assert [r.message.split(":")[0] for r in caplog.records] == [
        f"SASRecRecommender epoch {number}" for number in (1, 2, 3)
    ]


# what cannot be used


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "sequences is empty"),
        ([[1, 2, 3], [1]], r"sequences\[1\] has 1 items; each needs at least 2"),
        ([[1, 2], [3, 4]], "early_stopping=True holds out .* no sequence has two"),
        ([[1, 2, 3], ["a", "b"]], "integers and strings"),
        ([[1, 2, 3.5]], r"sequences\[0\] cannot be used"),
    ],
)
def test_sequences_that_cannot_be_learnt_from(recommender, sequences, message):
    model = copy.deepcopy(recommender)
    with pytest.raises(ValueError, match=message):
        model.fit(sequences)
    histories = draw_sequences(9)
    expected = recommender.recommend(histories)
    assert_array_equal(model.recommend(histories), expected)


def test_pairs_are_enough_without_early_stopping():
    model = SASRecRecommender(**TINY, early_stopping=False).fit([[1, 2], [3, 4]])
    assert model.recommend([[1]], k=4).shape == (1, 4)


def test_histories_and_numbers_that_cannot_be(recommender):
    with pytest.raises(ValueError, match=r"sequences\[1\] has an unknown item, 99"):
        recommender.recommend([[1], [99]])
    with pytest.raises(ValueError, match=r"sequences\[0\] has 0 items"):
        recommender.recommend([[]])
    with pytest.raises(ValueError, match="k=16 is too large"):
        recommender.recommend([[1]], k=16)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"d_model": 9}, "d_model=9 must be a multiple of n_heads=2"),
        ({"max_history": 0}, "max_history"),
        ({"dropout": 1.0}, "dropout"),
        ({"max_iter": 0}, "max_iter"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"early_stopping": "maybe"}, "early_stopping"),
        ({"device": "nowhere"}, "device='nowhere'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        fit_tiny(**parameters)
