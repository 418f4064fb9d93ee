"""The retriever: its network, its beam search, and what it promises to keep."""

import copy
import itertools
import logging
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from threadpoolctl import threadpool_limits

from skhyper import io
from skhyper._nn._sequence import SequenceTrainer
from skhyper._nn._train import Settings
from skhyper._nn._translator import CodeTranslator, _largest
from skhyper._utils._trie import CodeTrie
from skhyper.callbacks import EarlyStopping
from skhyper.generative import GenerativeRetriever
from tests.generative.translator_twin import slow_log_likelihood

TINY = {"d_model": 8, "n_heads": 2, "max_iter": 3, "random_state": 0}
SIZES = (3, 4, 5)

# sizes of codes, of sources (None: the same), columns of sources
NETWORKS = [
    ((3, 4), None, 2),
    ((3, 4, 2), (5,), 1),
    ((4,), (2, 3), 6),
    ((2, 3), None, 6),
]


def draw_codes(n, sizes, seed=0):
    return np.random.RandomState(seed).randint(0, sizes, size=(n, len(sizes)))


def fit_tiny(width=3, n=150, **parameters):
    """A retriever of codes of three columns, for queries of `width`."""
    queries = draw_codes(n, SIZES[:width] if width < 3 else SIZES)
    targets = draw_codes(n, SIZES, seed=1)
    return GenerativeRetriever(**{**TINY, **parameters}).fit(queries, targets)


def new_network(sizes, source_sizes, source_width, scale=8.0):
    """A network at random whose distributions are far from uniform."""
    torch.manual_seed(0)
    network = CodeTranslator(
        sizes, source_sizes, source_width, width=8, n_blocks=2, n_heads=2
    )
    with torch.no_grad():
        for table in (network.tokens, network.source_tokens):
            if table is not None:
                table.weight *= 50
        for layer in network.outputs:
            layer.weight *= scale
    return network.eval()


def draw_sources(sizes, source_sizes, source_width, n=40):
    each = np.resize(sizes if source_sizes is None else source_sizes, source_width)
    return draw_codes(n, each, seed=2)


def all_codes(sizes):
    return np.array(list(itertools.product(*map(range, sizes))))


def score_all(network, source, codes):
    """Log-probabilities of all `codes` after each source."""
    pairs = np.hstack(
        [np.repeat(source, len(codes), 0), np.tile(codes, (len(source), 1))]
    )
    return network.log_likelihood(pairs).reshape(len(source), len(codes))


@pytest.fixture(scope="module")
def retriever():
    return fit_tiny(max_iter=10)


# the network


@pytest.mark.parametrize("shape", NETWORKS, ids=str)
def test_log_likelihood_equals_a_twin_in_numpy(shape):
    network, source = new_network(*shape), draw_sources(*shape, n=20)
    target = draw_codes(20, shape[0])
    actual = network.log_likelihood(np.hstack([source, target]))
    assert np.ptp(actual) > 1
    assert_allclose(actual, slow_log_likelihood(network, source, target), atol=1e-4)


@pytest.mark.parametrize("shape", NETWORKS, ids=str)
def test_probabilities_of_all_codes_sum_to_one(shape):
    network, source = new_network(*shape), draw_sources(*shape)
    scores = score_all(network, source, all_codes(shape[0]))
    assert_allclose(logsumexp(scores, axis=1), 0, atol=1e-5)
    # the source decides
    assert np.ptp(scores, axis=0).max() > 1


@pytest.mark.parametrize("shape", NETWORKS, ids=str)
def test_cached_decoding_equals_uncached(shape):
    network, source = new_network(*shape), draw_sources(*shape)
    source, target = (
        torch.from_numpy(source),
        torch.from_numpy(draw_codes(40, shape[0])),
    )
    with torch.inference_mode():
        expected = -network.nats(torch.cat([source, target], 1))
        step, rows = network._stepper(source), torch.arange(40)
        for column in range(len(shape[0])):
            logits = step(column, target[:, column - 1], rows)
            log = logits.log_softmax(1).gather(1, target[:, [column]])
            torch.testing.assert_close(log[:, 0], expected[:, column])


def test_training_encodes_neighbours_once():
    network = new_network((2, 3), None, 2)
    source = np.array([[0, 1], [1, 2], [0, 1]]).repeat([2, 3, 4], axis=0)
    pairs = torch.from_numpy(np.hstack([source, draw_codes(9, (2, 3))]))
    expected, seen = network.nats(pairs), []
    network.encoder[0].register_forward_hook(lambda _, x, y: seen.append(len(y)))
    torch.testing.assert_close(network.train().nats(pairs), expected)
    network.eval().nats(pairs)
    assert seen == [3, 9]


def test_batches_keep_the_targets_of_a_source_together():
    network = new_network((3, 4), None, 2)
    pairs = np.hstack([draw_codes(300, (3, 4)), draw_codes(300, (3, 4), seed=1)])
    settings = Settings(64, 1e-3, 10, 0.0, 0)
    trainer = SequenceTrainer(network, (pairs, np.ones(300)), settings, None)
    one, other = trainer._order().numpy(), trainer._order().numpy()
    assert_array_equal(np.sort(one), np.arange(300))
    for order in (one, other):
        source = pairs[order, :2]
        assert np.any(source[1:] != source[:-1], axis=1).sum() == 11  # 12 sources
    assert (pairs[one, :2] != pairs[other, :2]).any()
    first = (pairs[:, :2] == pairs[one[0], :2]).all(axis=1)
    assert not np.array_equal(one[np.isin(one, np.flatnonzero(first))], np.sort(first))


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_the_step_size_stays_or_falls_evenly(schedule):
    network, pairs = new_network((3, 4), None, 2), draw_codes(10, (3, 4, 3, 4))
    settings = Settings(4, 1e-3, 10, 0.0, 0, schedule=schedule)
    trainer, rates = SequenceTrainer(network, (pairs, np.ones(10)), settings), []
    trainer._optimizers[0].register_step_pre_hook(
        lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"])
    )
    trainer.run(2)  # of three batches each
    fall = np.arange(6) / 6 if schedule == "linear" else np.zeros(6)
    assert_allclose(rates, 1e-3 * (1 - fall))


def test_long_gradients_are_cut():
    network = new_network((3, 4), None, 2)
    pairs = np.hstack([draw_codes(9, (3, 4)), draw_codes(9, (3, 4), seed=1)])
    settings = Settings(64, 1e-3, 10, 0.0, 0)
    trainer = SequenceTrainer(network, (pairs, np.ones(9)), settings, None)
    for factor in (1e-3, 100.0):
        network.zero_grad()
        (factor * network.nats(torch.from_numpy(pairs)).mean()).backward()
        before = torch.cat([p.grad.flatten() for p in network.parameters()])
        trainer._clip()
        after = torch.cat([p.grad.flatten() for p in network.parameters()])
        torch.testing.assert_close(after, before / before.norm().clamp(min=1))
    assert before.norm() > 1


# beam search


@pytest.mark.parametrize("shape", NETWORKS, ids=str)
@pytest.mark.parametrize("n_codes", [3, 40])
def test_a_beam_as_wide_as_the_catalogue_is_exact(shape, n_codes):
    network, source = new_network(*shape), draw_sources(*shape)
    trie = CodeTrie(draw_codes(n_codes, shape[0]))
    n = len(trie.rows)
    scores = score_all(network, source, trie.rows)
    expected = np.argsort(-scores, axis=1, kind="stable")
    for beam_size, k in ((n, n), (n + 5, n), (n, 2)):
        found, log = network.beam(source, trie, k, beam_size)
        assert_array_equal(found, expected[:, :k])
        assert_allclose(log, np.take_along_axis(scores, found, 1), atol=1e-5)


def slow_beam(network, source, codes, k, beam_size):
    """Beam search by the log-probabilities of whole codes, a source at a time."""
    found = []
    for row in source:
        pairs = np.hstack([np.tile(row, (len(codes), 1)), codes])
        with torch.inference_mode():
            log = -network.nats(torch.from_numpy(pairs)).numpy().astype(np.float64)
        score = {}  # of each prefix; later columns do not change earlier ones
        for code, steps in zip(codes.tolist(), log, strict=True):
            for m in range(1, len(code) + 1):
                score[tuple(code[:m])] = steps[:m].sum()
        kept = [()]
        for m in range(1, codes.shape[1] + 1):
            grown = [p for p in score if len(p) == m and p[:-1] in kept]
            kept = sorted(grown, key=lambda p: (-score[p], p))[:beam_size]
        found.append(kept[:k])
    return np.array(found)


@pytest.mark.parametrize("beam_size", [1, 2, 3, 7])
def test_narrow_beams_equal_a_slow_search(beam_size):
    shape = ((5, 4, 3), None, 3)
    network, source = new_network(*shape), draw_sources(*shape)
    trie = CodeTrie(draw_codes(35, shape[0]))
    k = min(beam_size, 3)
    found, log = network.beam(source, trie, k, beam_size)
    assert_array_equal(
        trie.rows[found], slow_beam(network, source, trie.rows, k, beam_size)
    )
    assert (np.diff(log, axis=1) <= 0).all()
    if beam_size < 3:  # where the best are lost, or the test would show nothing
        best = score_all(network, source, trie.rows).argmax(axis=1)
        assert (found[:, 0] != best).any()


def test_ties_go_to_the_lowest_code():
    network = new_network((4, 4), None, 2)
    network.load_weights({k: 0 * v for k, v in network.weights().items()})
    trie = CodeTrie(draw_codes(12, (4, 4)))
    for beam_size in (5, 100):
        found, log = network.beam(np.zeros((3, 2), dtype=np.int64), trie, 5, beam_size)
        assert_array_equal(found, np.tile(np.arange(5), (3, 1)))
        assert_allclose(log, -2 * np.log(4))


def test_the_largest_are_chosen_by_place():
    rng = np.random.RandomState(0)
    scores = rng.choice([-np.inf, 0.0, 0.5, 1.0], size=(50, 9))
    for n in (1, 4, 9):
        order = np.argsort(-scores, axis=1, kind="stable")
        kept = _largest(torch.from_numpy(scores), n).numpy()
        assert_array_equal(kept, np.sort(order[:, :n], axis=1))


# what it learns


def mapping(seed=0):
    """Pairs of a query and its only target, which each token of the query decides."""
    queries = all_codes((6, 6, 2))
    rng = np.random.RandomState(seed)
    first, second = rng.permutation(6), rng.permutation(6)
    targets = np.column_stack(
        [first[queries[:, 0]], second[queries[:, 1]], 1 - queries[:, 2]]
    )
    return queries, targets


LEARNER = GenerativeRetriever(
    d_model=32,
    n_layers=1,
    max_iter=30,
    batch_size=16,
    learning_rate=3e-3,
    random_state=0,
)


def test_a_mapping_is_learnt_and_holds_for_new_queries():
    queries, targets = mapping()
    order = np.random.RandomState(1).permutation(72)
    train, test = order[:60], order[60:]
    model = clone(LEARNER).fit(queries[train], targets[train])
    assert model.score(queries[train], targets[train], k=1) > 0.95
    assert model.score(queries[test], targets[test], k=1) > 0.8
    # where there is no mapping, nothing holds for new queries
    shuffled = targets[np.random.RandomState(2).permutation(72)]
    model = clone(LEARNER).fit(queries[train], shuffled[train])
    assert model.score(queries[test], shuffled[test], k=1) < 0.3


def test_targets_of_a_query_are_ranked_by_their_weight():
    queries = np.repeat([[0, 0], [1, 0]], 3, axis=0)
    targets = np.array([[0], [1], [2]] * 2)
    weight = np.array([9.0, 3.0, 1.0, 1.0, 9.0, 3.0])
    model = clone(LEARNER).set_params(dropout=0.0, max_iter=60)
    model.fit(queries, targets, sample_weight=weight)
    ranked = model.predict([[0, 0], [1, 0]], k=3)
    assert ranked[:, :, 0].tolist() == [[0, 1, 2], [1, 2, 0]]
    share = np.exp(model.score_samples(queries, targets))
    assert_allclose(share, weight / 13, atol=0.06)


def test_a_weight_of_zero_means_absent():
    queries, targets = draw_codes(90, SIZES), draw_codes(90, SIZES, seed=1)
    weight = np.ones(90)
    weight[::3] = 0
    marred = [np.where(weight[:, None] == 0, 99, codes) for codes in (queries, targets)]
    absent = GenerativeRetriever(**TINY).fit(*marred, sample_weight=weight)
    left_out = clone(absent).fit(queries[weight > 0], targets[weight > 0])
    assert_array_equal(absent.catalogue_, left_out.catalogue_)
    for name, array in left_out.weights_.items():
        assert_array_equal(absent.weights_[name], array)


def test_early_stopping_keeps_the_weights_of_the_best_score():
    model = fit_tiny(
        d_model=32,
        learning_rate=0.01,
        max_iter=30,
        early_stopping=True,
        n_iter_no_change=3,
    )
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) == int(np.argmax(scores)) + 4 < 30
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    pairs = np.hstack([draw_codes(150, SIZES), draw_codes(150, SIZES, seed=1)])
    _, (held_out, _) = model._split(pairs, np.ones(150), seed)
    kept = np.mean(model.score_samples(held_out[:, :3], held_out[:, 3:])) / 3
    assert kept == pytest.approx(max(scores), rel=1e-5)
    assert fit_tiny().validation_scores_ is None


# the catalogue


def test_the_catalogue_is_what_can_be_an_answer():
    queries, targets = draw_codes(20, (3, 3)), draw_codes(20, (3, 3), seed=1)
    alike = GenerativeRetriever(**TINY).fit(queries, targets)
    both = np.unique(np.vstack([queries, targets]), axis=0)
    assert_array_equal(alike.catalogue_, both)
    narrow = GenerativeRetriever(**TINY).fit(queries[:, :1], targets)
    assert_array_equal(narrow.catalogue_, np.unique(targets, axis=0))
    more = np.vstack([targets, [[7, 0]], targets])
    given = GenerativeRetriever(**TINY).fit(queries, targets, catalogue=more)
    assert_array_equal(given.catalogue_, np.unique(more, axis=0))
    # a query may have a token that only the catalogue has
    assert_array_equal(given.codebook_sizes_, [8, 3])
    assert_array_equal(given.query_codebook_sizes_, [8, 3])
    assert given.predict([[6, 0]]).shape == (1, 10, 2)
    for model in (alike, narrow, given):
        found = model.predict(queries[:, : model.n_features_in_], k=5)
        known = {tuple(row) for row in model.catalogue_}
        assert all({tuple(row) for row in rows} <= known for rows in found)
        assert all(len({tuple(row) for row in rows}) == 5 for rows in found)


def test_rows_of_minus_one_follow_a_small_catalogue():
    model = GenerativeRetriever(**TINY).fit([[0], [1]], [[0, 1], [1, 1]])
    found = model.predict([[0], [1], [0]], k=4)
    assert found.dtype == np.int64
    assert found.shape == (3, 4, 2)
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] == -1).all()
    assert model.score([[0]], [[1, 1]], k=4) == 1.0


def test_predictions_are_the_best_of_the_scores(retriever):
    queries, catalogue = draw_codes(20, SIZES, seed=4), retriever.catalogue_
    found = copy.copy(retriever).set_params(beam_size=1000).predict(queries, k=7)
    for query, rows in zip(queries, found, strict=True):
        given = np.tile(query, (len(catalogue), 1))
        scores = retriever.score_samples(given, catalogue)
        best = np.argsort(-scores, kind="stable")[:7]
        assert_array_equal(rows, catalogue[best])


def test_score_is_recall(retriever):
    queries, targets = draw_codes(200, SIZES, 5), draw_codes(200, SIZES, seed=6)
    for k in (1, 10, 40):
        found = retriever.predict(queries, k=k)
        hits = [t in r for t, r in zip(targets.tolist(), found.tolist(), strict=True)]
        assert retriever.score(queries, targets, k=k) == np.mean(hits)
    assert 0 < np.mean(hits) < 1


# scikit-learn's contract


def test_results_are_a_function_of_the_row_alone(monkeypatch):
    model = fit_tiny(n=300, d_model=16, n_heads=4)
    queries = np.unique(all_codes(SIZES), axis=0)
    queries = queries[np.random.RandomState(0).permutation(len(queries))]
    targets = draw_codes(len(queries), SIZES, seed=2)
    found = model.predict(queries)
    scores = model.score_samples(queries, targets)
    logs = model._network().beam(queries, model._trie(), 10, 20)[1]
    for n in (1, 2, 24, 25, 26, 51):
        assert_array_equal(model.predict(queries[:n]), found[:n])
        assert_array_equal(model.predict(queries[-n:]), found[-n:])
        assert_array_equal(model.score_samples(queries[:n], targets[:n]), scores[:n])
        some = model._network().beam(queries[:n], model._trie(), 10, 20)[1]
        assert_array_equal(some, logs[:n])
    order = np.random.RandomState(1).permutation(len(queries)).repeat(2)
    assert_array_equal(model.predict(queries[order]), found[order])
    assert_array_equal(model.predict(np.asfortranarray(queries)), found)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threadpool_limits(2):
            assert_array_equal(model.predict(queries), found)
    finally:
        torch.set_num_threads(before)


def test_repeated_queries_are_searched_once(retriever, monkeypatch):
    seen, beam = [], CodeTranslator.beam

    def count(self, source, *args):
        seen.append(len(source))
        return beam(self, source, *args)

    monkeypatch.setattr(CodeTranslator, "beam", count)
    queries = draw_codes(9, SIZES).repeat(40, axis=0)
    retriever.predict(queries)
    retriever.score(queries, queries)
    assert seen == [len(np.unique(queries, axis=0))] * 2


def test_fit_is_deterministic_and_leaves_global_generators_alone():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    one, two = fit_tiny(dropout=0.2), fit_tiny(dropout=0.2)
    one.predict([[0, 0, 0]])
    assert random.getstate() == states[0]
    assert_array_equal(np.random.get_state()[1], states[1][1])
    assert torch.equal(torch.get_rng_state(), states[2])
    for name, array in one.weights_.items():
        assert_array_equal(array, two.weights_[name])
    assert one.loss_curve_ == two.loss_curve_
    assert fit_tiny(dropout=0.2, random_state=1).loss_curve_ != one.loss_curve_
    assert fit_tiny(dropout=0.0).loss_curve_ != one.loss_curve_


def assert_alike(one, other):
    queries, targets = draw_codes(30, SIZES, 7), draw_codes(30, SIZES, 8)
    assert_array_equal(one.predict(queries), other.predict(queries))
    expected = other.score_samples(queries, targets)
    assert_array_equal(one.score_samples(queries, targets), expected)


def test_copies_hold_arrays_and_give_the_same(retriever):
    fitted = copy.deepcopy(retriever)
    # what was fitted stands, whatever the parameters are now
    fitted.set_params(n_heads=1, d_model=3, n_layers=7, dim_feedforward=5)
    assert b"torch" not in pickle.dumps(fitted)
    assert b"Trie" not in pickle.dumps(fitted)
    assert all(type(array) is np.ndarray for array in fitted.weights_.values())
    for twin in (
        pickle.loads(pickle.dumps(fitted)),
        copy.copy(fitted),
        copy.deepcopy(fitted),
    ):
        assert_alike(twin, retriever)


@pytest.mark.parametrize("width", [2, 3])
def test_files_give_the_same(width, tmp_path, monkeypatch):
    monkeypatch.setitem(io.ESTIMATORS, "GenerativeRetriever", GenerativeRetriever)
    model = fit_tiny(width)
    io.save(model, tmp_path / "model.safetensors")
    twin = io.load(tmp_path / "model.safetensors")
    assert twin.get_params() == model.get_params()
    assert list(vars(twin)) == list(vars(model))
    queries = draw_codes(30, SIZES, 7)
    expected = model.predict(queries[:, :width])
    assert_array_equal(twin.predict(queries[:, :width]), expected)


def test_fitting_again_forgets_the_catalogue_before():
    model = fit_tiny(n=20)
    model.predict([[0, 0, 0]])
    model.fit([[0, 0], [1, 1]], [[5, 5], [6, 6]])
    found = model.predict([[0, 0]], k=4)[0]
    assert sorted(found.tolist()) == [[0, 0], [1, 1], [5, 5], [6, 6]]


def test_an_error_leaves_what_was_fitted(retriever):
    model = copy.deepcopy(retriever)
    with pytest.raises(ValueError, match="catalogue lacks"):
        model.fit([[0], [1]], [[0], [1]], catalogue=[[0]])
    assert_alike(model, retriever)


def test_parameters():
    parameters = GenerativeRetriever(d_model=12, beam_size=3).get_params()
    twin = clone(GenerativeRetriever(**parameters))
    assert twin.get_params() == parameters
    assert not hasattr(clone(fit_tiny()), "weights_")
    for call in (
        lambda: twin.predict([[0]]),
        lambda: twin.score([[0]], [[0]]),
        lambda: twin.score_samples([[0]], [[0]]),
    ):
        with pytest.raises(NotFittedError):
            call()
    shape = fit_tiny(dim_feedforward=5).weights_["encoder.0.mlp.0.weight"].shape
    assert shape == (5, 8)
    assert fit_tiny().weights_["blocks.0.mlp.0.weight"].shape == (32, 8)


def test_the_beam_is_as_wide_as_asked_for_but_holds_k(retriever, monkeypatch):
    seen, beam = [], CodeTranslator.beam

    def note(self, source, trie, k, beam_size):
        seen.append(beam_size)
        return beam(self, source, trie, k, beam_size)

    monkeypatch.setattr(CodeTranslator, "beam", note)
    model = copy.copy(retriever).set_params(beam_size=5)
    for k in (1, 5, 8):
        assert model.predict([[0, 0, 0]], k=k).shape == (1, k, 3)
    assert seen == [5, 5, 8]


def test_kinds_of_input(retriever):
    queries, targets = draw_codes(30, SIZES, 7), draw_codes(30, SIZES, 8)
    expected = retriever.predict(queries)
    for kind in (np.ndarray.tolist, pd.DataFrame, lambda codes: codes.astype(np.uint8)):
        assert_array_equal(retriever.predict(kind(queries)), expected)
        again = clone(retriever).set_params(max_iter=1)
        again.fit(kind(queries), kind(targets), catalogue=kind(targets))
        assert again.predict(kind(queries)).dtype == np.int64


def test_cross_validation():
    queries, targets = mapping()
    queries, targets = np.tile(queries, (3, 1)), np.tile(targets, (3, 1))
    model = clone(LEARNER).set_params(max_iter=2)
    scores = cross_val_score(model, queries, targets, cv=2)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_callbacks_see_a_fitted_retriever_every_epoch(retriever):
    seen = []

    def scoring(fitted, queries, targets):
        seen.append(fitted.score_samples(queries, targets).mean())
        assert 0 <= fitted.score(queries, targets) <= 1
        return 0.0

    model = clone(retriever).set_callbacks(EarlyStopping(scoring, n_iter_no_change=2))
    model.fit(draw_codes(40, SIZES), draw_codes(40, SIZES, 1))
    assert model.n_iter_ == 3
    assert len(set(seen)) == 3


def test_verbose_logs_a_line_an_epoch(caplog):
    with caplog.at_level(logging.INFO, logger="skhyper"):
        fit_tiny(verbose=1)
    assert [r.message.split(":")[0] for r in caplog.records] == [
        f"GenerativeRetriever epoch {number}" for number in (1, 2, 3)
    ]


# what cannot be used


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([0, 1, 2], "shape"),
        ([[0.0, 1.0, 2.0]] * 9, "integers, got dtype float64"),
        ([[0, 1, np.nan]] * 9, "integers, got dtype float64"),
        ([[0, 1, -1]] * 9, "-1"),
        (np.empty((0, 3), dtype=int), "at least one sample"),
    ],
)
def test_codes_that_are_none(retriever, codes, message):
    good = draw_codes(9, SIZES)
    queries = f"query_codes cannot be used: .*{message}"
    targets = f"target_codes cannot be used: .*{message}"
    model = GenerativeRetriever(**TINY)
    for method in (model.fit, retriever.score, retriever.score_samples):
        with pytest.raises(ValueError, match=queries):
            method(codes, good)
        with pytest.raises(ValueError, match=targets):
            method(good, codes)
    with pytest.raises(ValueError, match=queries):
        retriever.predict(codes)
    with pytest.raises(ValueError, match=f"catalogue cannot be used: .*{message}"):
        model.fit(good, good, catalogue=codes)


def test_codes_of_another_kind_than_in_fit(retriever):
    good = draw_codes(9, SIZES)
    for method in (retriever.fit, retriever.score, retriever.score_samples):
        with pytest.raises(ValueError, match=r"query_codes has 9 rows and .* has 8"):
            method(good, good[:8])
    with pytest.raises(ValueError, match=r"query_codes .*2 columns, .* with 3"):
        retriever.predict(good[:, :2])
    with pytest.raises(ValueError, match=r"target_codes .*2 columns, .* with 3"):
        retriever.score(good, good[:, :2])
    with pytest.raises(ValueError, match=r"query_codes .*token 4 in row 1, column 1"):
        retriever.predict([[0, 0, 0], [0, 4, 0]])
    with pytest.raises(ValueError, match=r"target_codes .*token 9 in row 0, column 2"):
        retriever.score_samples([[0, 0, 0]], [[0, 0, 9]])


def test_catalogues_that_do_not_fit():
    codes = draw_codes(9, SIZES)
    model = GenerativeRetriever(**TINY)
    with pytest.raises(ValueError, match=r"catalogue has 2 columns, .* has 3"):
        model.fit(codes, codes, catalogue=codes[:, :2])
    codes[5] = [2, 3, 4]
    others = codes[(codes != codes[5]).any(axis=1)]
    with pytest.raises(ValueError, match=r"catalogue lacks \[2, 3, 4\], .* row \d"):
        model.fit(codes, codes, catalogue=others)


@pytest.mark.parametrize("k", [0, -1, 2.5, None, "ten"])
def test_k_is_a_count(retriever, k):
    codes = draw_codes(3, SIZES)
    with pytest.raises(ValueError, match=f"k={k!r} must be an integer above 0"):
        retriever.predict(codes, k=k)
    with pytest.raises(ValueError, match=f"k={k!r} must be an integer above 0"):
        retriever.score(codes, codes, k=k)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"d_model": 9}, "d_model=9 must be a multiple of n_heads=2"),
        ({"dim_feedforward": 0}, "dim_feedforward"),
        ({"beam_size": 0}, "beam_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"max_iter": 0}, "max_iter"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"device": "nowhere"}, "device='nowhere'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        fit_tiny(**parameters)


@pytest.mark.parametrize(
    ("weight", "message"),
    [(0.0, "zero|positive"), (-1.0, "egative"), (np.nan, "NaN")],
)
def test_weights_that_cannot_be(weight, message):
    codes = draw_codes(9, SIZES)
    with pytest.raises(ValueError, match=message):
        GenerativeRetriever(**TINY).fit(codes, codes, sample_weight=np.full(9, weight))
