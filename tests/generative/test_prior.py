"""A prior over codes: its probabilities, its samples, and what it promises to keep."""

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
from scipy.special import erf, logsumexp
from scipy.stats import chisquare, entropy
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from skhyper import ResidualQuantizer
from skhyper.callbacks import EarlyStopping
from skhyper.datasets import make_tree
from skhyper.generative import TokenPrior

TINY = {"d_model": 8, "n_layers": 2, "n_heads": 2, "max_iter": 3, "random_state": 0}

# columns, n_levels, codebook_size
SHAPES = [(3, None, (2, 3, 4)), (4, 2, (2, 3)), (5, 1, 3), (1, None, 7), (2, 2, (1, 4))]


def draw_codes(n_columns, n_levels, size, n_samples=200, seed=0):
    """Random codes, the later columns of which depend on the first."""
    n_levels = n_columns if n_levels is None else n_levels
    sizes = np.broadcast_to(size, n_levels).repeat(n_columns // n_levels)
    rng = np.random.RandomState(seed)
    free = rng.randint(0, sizes, size=(n_samples, n_columns))
    follow = rng.uniform(size=free.shape) < 0.5
    return np.where(follow, free[:, :1] % sizes, free)


def fit_tiny(n_columns=3, n_levels=None, size=(2, 3, 4), **parameters):
    prior = TokenPrior(n_levels=n_levels, codebook_size=size, **{**TINY, **parameters})
    return prior.fit(draw_codes(n_columns, n_levels, size))


def all_codes(prior):
    sizes = prior.codebook_sizes_.repeat(
        prior.n_features_in_ // len(prior.codebook_sizes_)
    )
    return np.array(list(itertools.product(*map(range, sizes)))), sizes


def table(prior):
    """The probabilities of all codes, one axis a column."""
    codes, sizes = all_codes(prior)
    return np.exp(prior.score_samples(codes)).reshape(sizes)


def conditional(joint, prefix):
    """The probabilities of the token that follows a prefix."""
    part = joint[tuple(prefix)]
    marginal = part.sum(axis=tuple(range(1, part.ndim)))
    return marginal / marginal.sum()


@pytest.fixture(scope="module")
def prior():
    return fit_tiny(max_iter=20)


# probabilities


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_probabilities_of_all_codes_sum_to_one(shape):
    prior = fit_tiny(*shape)
    scores = prior.score_samples(all_codes(prior)[0])
    assert scores.dtype == np.float64
    assert np.ptp(scores) > 0.01
    assert logsumexp(scores) == pytest.approx(0, abs=2e-6)


def twin(prior, codes):
    """The network in NumPy and float64, a row and a column at a time."""
    w = {name: array.astype(np.float64) for name, array in prior.weights_.items()}
    n_heads, d = prior.n_heads, prior.d_model
    n_positions = codes.shape[1] // len(prior.codebook_sizes_)
    first = np.r_[0, np.cumsum(prior.codebook_sizes_)]

    def linear(name, x):
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    def norm(name, x):
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def attend(queries, keys, values):
        heads = []
        for h in np.split(np.arange(d), n_heads):
            score = np.array([queries[h] @ k[h] for k in keys]) / np.sqrt(len(h))
            share = np.exp(score - logsumexp(score))
            heads.append(share @ np.array([v[h] for v in values]))
        return np.concatenate(heads)

    total = np.zeros(len(codes))
    for i, row in enumerate(codes):
        seen = [([], []) for _ in range(prior.n_layers)]
        for column, token in enumerate(row):
            x = w["columns"][column]
            if column:
                level = (column - 1) // n_positions
                x = x + w["tokens.weight"][first[level] + row[column - 1]]
            for b, (keys, values) in enumerate(seen):
                name = f"blocks.{b}"
                qkv = linear(
                    f"{name}.queries_keys_values", norm(f"{name}.norm_attention", x)
                )
                keys.append(qkv[d : 2 * d])
                values.append(qkv[2 * d :])
                x = x + linear(f"{name}.mix", attend(qkv[:d], keys, values))
                hidden = linear(f"{name}.mlp.0", norm(f"{name}.norm_mlp", x))
                hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
                x = x + linear(f"{name}.mlp.2", hidden)
            logits = linear(f"outputs.{column // n_positions}", norm("norm", x))
            total[i] += logits[token] - logsumexp(logits)
    return total


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_log_likelihood_equals_a_twin_in_numpy(shape):
    prior = fit_tiny(*shape)
    codes = draw_codes(*shape, n_samples=20, seed=1)
    assert_allclose(prior.score_samples(codes), twin(prior, codes), atol=1e-5)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_later_columns_do_not_change_earlier_conditionals(m):
    prior = fit_tiny(4, 2, 5)
    one, other = (draw_codes(4, 2, 5, n_samples=256, seed=s) for s in (1, 2))
    other[:, :m] = one[:, :m]
    network = prior._network().eval()
    with torch.inference_mode():
        first, second = (network.nats(torch.from_numpy(c)) for c in (one, other))
    assert_array_equal(first[:, :m], second[:, :m])
    # the column after them does change, or the test would show nothing
    assert not torch.equal(first[:, m], second[:, m])


def test_independent_columns_reach_their_entropy():
    rng = np.random.RandomState(0)
    truth = [np.array([0.7, 0.2, 0.1]), np.array([0.05, 0.95])]
    codes = np.column_stack([rng.choice(len(p), 4000, p=p) for p in truth])
    prior = TokenPrior(d_model=8, max_iter=10, random_state=0).fit(codes)
    exact = np.multiply.outer(*truth)
    assert entropy(exact.ravel(), table(prior).ravel()) < 0.003
    nats = entropy(truth[0]) + entropy(truth[1])
    assert prior.score(codes) == pytest.approx(-nats, abs=0.05)


def test_dependence_between_columns_is_learnt():
    rng = np.random.RandomState(0)
    first, second = rng.randint(4, size=(2, 4000))
    codes = np.column_stack([first, second, (first + second) % 4])
    prior = TokenPrior(
        d_model=16, n_layers=1, learning_rate=0.01, max_iter=25, random_state=0
    ).fit(codes)
    # no two of the columns say anything of each other: the least is two free tokens
    assert prior.score(codes) == pytest.approx(-2 * np.log(4), abs=0.1)


def test_columns_of_a_level_share_a_codebook():
    codes = draw_codes(6, 2, (3, 5))
    prior = TokenPrior(n_levels=2, **TINY).fit(codes)
    assert_array_equal(prior.codebook_sizes_, [3, 5])
    assert prior.weights_["outputs.1.weight"].shape == (5, 8)
    assert prior.weights_["tokens.weight"].shape == (8, 8)
    # a token that one of its columns has never had is known by another's
    codes[:, 4] = 0
    assert_array_equal(clone(prior).fit(codes).codebook_sizes_, [3, 5])
    alone = TokenPrior(**TINY).fit(codes)
    assert_array_equal(alone.codebook_sizes_, [3, 3, 3, 5, 1, 5])


# samples


def test_samples_are_those_of_the_inverted_table(prior):
    joint, n_columns = table(prior), prior.n_features_in_
    uniform = np.random.RandomState(3).uniform(size=(700, n_columns))
    expected = np.zeros((700, n_columns), dtype=np.int64)
    for row, numbers in zip(expected, uniform, strict=True):
        for column, u in enumerate(numbers):
            cdf = np.cumsum(conditional(joint, row[:column]))
            row[column] = np.searchsorted(cdf, u, side="right")
    codes = prior.sample(700, random_state=3)
    assert codes.dtype == np.int64
    assert_array_equal(codes, expected)


@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_sampling_frequencies_agree_with_the_scores(shape):
    prior = fit_tiny(*shape)
    codes, sizes = all_codes(prior)
    n = 5000
    drawn = np.ravel_multi_index(prior.sample(n, random_state=0).T, sizes)
    counts = np.bincount(drawn, minlength=len(codes))
    expected = np.exp(prior.score_samples(codes))
    assert chisquare(counts, n * expected / expected.sum()).pvalue > 0.01


@pytest.mark.parametrize("temperature", [0.3, 4.0])
def test_temperature_sharpens_every_conditional(prior, temperature):
    joint = table(prior)
    n = 20_000
    codes = prior.sample(n, random_state=0, temperature=temperature)
    for prefix in ((), (1,), (0, 2)):
        rows = codes[(codes[:, : len(prefix)] == prefix).all(axis=1)]
        counts = np.bincount(rows[:, len(prefix)], minlength=joint.shape[len(prefix)])
        tempered = conditional(joint, prefix) ** (1 / temperature)
        expected = len(rows) * tempered / tempered.sum()
        assert chisquare(counts, expected).pvalue > 0.01


def test_extreme_temperatures(prior):
    joint = table(prior)
    likeliest = []
    for _ in range(prior.n_features_in_):
        likeliest.append(int(np.argmax(conditional(joint, likeliest))))
    codes = prior.sample(50, random_state=0, temperature=1e-300)
    assert_array_equal(codes, np.tile(likeliest, (50, 1)))
    codes = prior.sample(3000, random_state=0, temperature=1e300)
    for column, size in enumerate(prior.codebook_sizes_):
        assert chisquare(np.bincount(codes[:, column], minlength=size)).pvalue > 0.01


@pytest.mark.parametrize("prefix", [(1,), (0, 2)])
def test_a_prefix_is_kept_and_conditioned_on(prior, prefix):
    codes = prior.sample(4000, random_state=0, prefix=prefix)
    m = len(prefix)
    assert_array_equal(codes[:, :m], np.tile(prefix, (4000, 1)))
    part = table(prior)[prefix]
    counts = np.zeros(part.shape)
    np.add.at(counts, tuple(codes[:, m:].T), 1)
    expected = 4000 * part / part.sum()
    assert chisquare(counts.ravel(), expected.ravel()).pvalue > 0.01


def test_each_sample_may_have_its_own_prefix(prior):
    prefixes = np.array([[1, 0], [0, 2], [0, 1], [1, 2]])
    codes = prior.sample(4, random_state=0, prefix=prefixes)
    assert_array_equal(codes[:, :2], prefixes)
    assert_array_equal(prior.sample(random_state=0, prefix=prefixes), codes)
    for row, prefix in enumerate(prefixes):
        alike = prior.sample(4, random_state=0, prefix=prefix)
        assert_array_equal(alike[row], codes[row])
    whole = draw_codes(3, None, (2, 3, 4), n_samples=5)
    assert_array_equal(prior.sample(5, prefix=whole), whole)
    frame = pd.DataFrame(prefixes)
    assert_array_equal(prior.sample(random_state=0, prefix=frame), codes)


def test_samples_follow_the_random_state(prior):
    codes = prior.sample(300, random_state=0)
    assert_array_equal(prior.sample(300, random_state=0), codes)
    assert_array_equal(prior.sample(7, random_state=0), codes[:7])
    rng = np.random.RandomState(0)
    assert_array_equal(prior.sample(300, random_state=rng), codes)
    assert (prior.sample(300, random_state=rng) != codes).any()


# training


def test_fit_is_deterministic_and_leaves_global_generators_alone():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    one, two = fit_tiny(dropout=0.2), fit_tiny(dropout=0.2)
    one.sample(3, random_state=0)
    assert random.getstate() == states[0]
    assert_array_equal(np.random.get_state()[1], states[1][1])
    assert torch.equal(torch.get_rng_state(), states[2])
    for name, array in one.weights_.items():
        assert_array_equal(array, two.weights_[name])
    assert one.loss_curve_ == two.loss_curve_
    instance = fit_tiny(dropout=0.2, random_state=np.random.RandomState(0))
    assert instance.loss_curve_ == one.loss_curve_
    assert fit_tiny(dropout=0.2, random_state=1).loss_curve_ != one.loss_curve_
    assert fit_tiny(dropout=0.0).loss_curve_ != one.loss_curve_


def test_a_weight_of_zero_means_absent():
    codes = draw_codes(3, None, 4)
    weight = np.ones(len(codes))
    weight[::3] = 0
    marred = codes.copy()
    marred[::3] = 1000
    absent = TokenPrior(**TINY).fit(marred, sample_weight=weight)
    left_out = TokenPrior(**TINY).fit(codes[weight > 0])
    for name, array in left_out.weights_.items():
        assert_array_equal(absent.weights_[name], array)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_weights_count(early_stopping):
    codes = np.random.RandomState(0).randint(2, size=(2000, 1))
    weight = np.where(codes[:, 0] == 0, 9.0, 1.0)
    prior = TokenPrior(
        d_model=8, max_iter=8, early_stopping=early_stopping, random_state=0
    )
    unweighted = clone(prior).fit(codes)
    assert table(unweighted) == pytest.approx([0.5, 0.5], abs=0.05)
    prior.fit(codes, sample_weight=weight)
    assert table(prior) == pytest.approx([0.9, 0.1], abs=0.03)
    best = max(prior.validation_scores_ or [-min(prior.loss_curve_)])
    assert best == pytest.approx(-entropy([0.9, 0.1]), abs=0.05)
    huge = clone(prior).fit(codes, sample_weight=weight * 2**40)
    assert huge.loss_curve_ == prior.loss_curve_


def test_best_weights_are_those_of_the_best_validation_score():
    codes = draw_codes(3, None, 8, n_samples=150)
    prior = TokenPrior(d_model=32, learning_rate=0.01, max_iter=30, random_state=0)
    prior.fit(codes)
    scores = prior.validation_scores_
    assert len(scores) == len(prior.loss_curve_) == prior.n_iter_
    # the last epoch is not the best here, or the test would show nothing
    assert scores[-1] < max(scores)
    # training stopped when n_iter_no_change epochs had brought nothing
    assert prior.n_iter_ == int(np.argmax(scores)) + 1 + prior.n_iter_no_change < 30
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    _, (held_out, _) = prior._split(codes, np.ones(150), seed)
    assert len(held_out) == 15
    assert prior.score(held_out) / 3 == pytest.approx(max(scores), rel=1e-6)


def test_best_weights_without_early_stopping(monkeypatch):
    from skhyper._nn._sequence import SequenceTrainer

    after_epoch, epoch = [], SequenceTrainer._epoch

    def remember(self, number):
        loss = epoch(self, number)
        after_epoch.append(self.model.weights())
        return loss

    monkeypatch.setattr(SequenceTrainer, "_epoch", remember)
    given = {"learning_rate": 0.3, "max_iter": 12, "precision": "float32"}
    prior = fit_tiny(early_stopping=False, **given)
    assert prior.validation_scores_ is None
    best = int(np.argmin(prior.loss_curve_))
    # the last epoch is not the best here, or the test would show nothing
    assert best < len(after_epoch) - 1
    for name, array in prior.weights_.items():
        assert_array_equal(array, after_epoch[best][name])


@pytest.mark.parametrize("after", [0, 2])
def test_interruption_keeps_the_best_weights(monkeypatch, after):
    from skhyper._nn._sequence import SequenceTrainer

    epoch = SequenceTrainer._epoch

    def interrupted(self, number):
        if number > after:
            raise KeyboardInterrupt
        return epoch(self, number)

    monkeypatch.setattr(SequenceTrainer, "_epoch", interrupted)
    with pytest.warns(UserWarning, match=f"interrupted; the weights of epoch {after}"):
        prior = fit_tiny(max_iter=9)
    assert len(prior.loss_curve_) == after
    assert np.isfinite(prior.score_samples(draw_codes(3, None, (2, 3, 4)))).all()


def test_a_loss_that_is_not_finite_ends_training(monkeypatch):
    from skhyper._nn._sequence import SequenceTrainer

    epoch = SequenceTrainer._epoch
    monkeypatch.setattr(
        SequenceTrainer,
        "_epoch",
        lambda self, number: np.nan if number == 3 else epoch(self, number),
    )
    with pytest.warns(UserWarning, match=r"weights of epoch \d\. Lower learning_rate"):
        prior = fit_tiny(max_iter=9)
    assert prior.n_iter_ == 2


def test_an_error_leaves_what_was_fitted(prior):
    twin, codes = copy.deepcopy(prior), draw_codes(3, None, (2, 3, 4))
    expected = twin.score_samples(codes)
    with pytest.raises(ValueError, match="n_levels=2"):
        twin.set_params(n_levels=2).fit(codes)
    assert_array_equal(twin.score_samples(codes), expected)


def test_verbose_logs_a_line_an_epoch(caplog):
    with caplog.at_level(logging.INFO, logger="skhyper"):
        fit_tiny(verbose=1)
    assert [r.message.split(":")[0] for r in caplog.records] == [
        f"TokenPrior epoch {number}" for number in (1, 2, 3)
    ]


# scikit-learn's contract


def test_scores_are_a_function_of_the_row_alone():
    prior = fit_tiny(6, 2, 5, d_model=16, n_heads=4)
    codes = draw_codes(6, 2, 5, n_samples=700, seed=1)
    expected = prior.score_samples(codes)
    for n in (1, 2, 17, 255, 256, 257, 511):
        assert_array_equal(prior.score_samples(codes[:n]), expected[:n])
        assert_array_equal(prior.score_samples(codes[-n:]), expected[-n:])
    order = np.random.RandomState(0).permutation(700)
    assert_array_equal(prior.score_samples(codes[order]), expected[order])
    assert_array_equal(prior.score_samples(np.asfortranarray(codes)), expected)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threadpool_limits(2):
            assert_array_equal(prior.score_samples(codes), expected)
    finally:
        torch.set_num_threads(before)
    assert prior.score(codes) == np.mean(expected)


def test_copies_hold_arrays_and_give_the_same(prior):
    codes = draw_codes(3, None, (2, 3, 4))
    prior = copy.deepcopy(prior)
    expected = prior.score_samples(codes), prior.sample(9, random_state=0)
    # what was fitted stands, whatever the parameters are now
    prior.set_params(n_heads=1, d_model=3, n_layers=7, codebook_size=9)
    assert b"torch" not in pickle.dumps(prior)
    assert all(type(array) is np.ndarray for array in prior.weights_.values())
    for twin in (
        pickle.loads(pickle.dumps(prior)),
        copy.copy(prior),
        copy.deepcopy(prior),
    ):
        assert_array_equal(twin.score_samples(codes), expected[0])
        assert_array_equal(twin.sample(9, random_state=0), expected[1])


def test_parameters():
    parameters = TokenPrior(n_levels=2, dropout=0.3).get_params()
    twin = clone(TokenPrior(**parameters))
    assert twin.get_params() == parameters
    assert twin.set_params(d_model=12).d_model == 12
    assert not hasattr(clone(fit_tiny()), "weights_")
    with pytest.raises(NotFittedError):
        twin.sample()
    with pytest.raises(NotFittedError):
        twin.score_samples([[0]])


def test_kinds_of_input(prior):
    codes = draw_codes(3, None, (2, 3, 4))
    expected = prior.score_samples(codes)
    for given in (codes.tolist(), pd.DataFrame(codes), codes.astype(np.uint8)):
        assert_array_equal(prior.score_samples(given), expected)
        twin = clone(prior).set_params(max_iter=1).fit(given)
        assert twin.n_features_in_ == 3
        assert twin.score_samples(twin.sample(2)).shape == (2,)


def test_at_the_end_of_a_pipeline():
    X = make_tree(200, 5, branching=3, depth=2, random_state=0)[0]
    quantizer = ResidualQuantizer(2, 4, random_state=0)
    pipeline = make_pipeline(quantizer, TokenPrior(codebook_size=4, **TINY)).fit(X)
    alone = clone(pipeline[-1]).fit(quantizer.fit_transform(X))
    expected = alone.score_samples(quantizer.transform(X))
    assert_array_equal(pipeline.score_samples(X), expected)
    assert pipeline.score(X) == alone.score(quantizer.transform(X))
    scores = cross_val_score(pipeline, X, cv=2)
    assert ((scores > -3) & (scores < 0)).all()


# what cannot be used


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([0, 1], "shape"),
        ([[0.0, 1.0]] * 9, r"integers, got dtype float64"),
        ([[0, np.nan]] * 9, r"integers, got dtype float64"),
        ([[True, False]] * 9, "integers, got dtype bool"),
        ([[0, -1]] * 9, "-1"),
        (np.empty((0, 2), dtype=int), "at least one sample"),
        (np.empty((2, 0), dtype=int), "at least one"),
        ([[[0]]], "shape"),
    ],
)
def test_codes_that_are_none(prior, codes, message):
    with pytest.raises(ValueError, match=message):
        TokenPrior(**TINY).fit(codes)
    with pytest.raises(ValueError, match=message):
        prior.score_samples(codes)
    with pytest.raises(ValueError, match=message):
        prior.sample(prefix=codes if np.ndim(codes) > 1 else np.float64(1))


def test_codes_out_of_range(prior):
    with pytest.raises(ValueError, match=r"token 3 in row 1, column 1; .* 3 codes"):
        prior.score_samples([[0, 0, 0], [1, 3, 0]])
    with pytest.raises(ValueError, match=r"codes has 2 columns, .* fitted with 3"):
        prior.score_samples([[0, 0]])
    with pytest.raises(ValueError, match="token 7 in row 0, column 2"):
        TokenPrior(n_levels=2, codebook_size=(9, 7), **TINY).fit([[8, 7, 7, 0]] * 9)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_levels": 4}, "n_levels=4 must divide the number of columns of codes, 6"),
        ({"n_levels": 0}, "n_levels"),
        ({"codebook_size": [3, 3]}, "2 entries for n_levels=6"),
        ({"codebook_size": 2}, "has 2 codes, so tokens run from 0 to 1"),
        ({"codebook_size": 2.5}, "codebook_size"),
        ({"d_model": 9}, "d_model=9 must be a multiple of n_heads=2"),
        ({"dropout": 1.0}, "dropout"),
        ({"max_iter": 0}, "max_iter"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"device": "nowhere"}, "device='nowhere'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    codes = draw_codes(6, 2, 3)
    with pytest.raises(ValueError, match=message):
        TokenPrior(**{**TINY, **parameters}).fit(codes)


def test_too_few_rows_to_set_some_aside():
    with pytest.raises(ValueError, match=r"n_samples = 1\. .*early_stopping=False"):
        TokenPrior(**TINY).fit([[0, 1]])
    prior = TokenPrior(early_stopping=False, **TINY).fit([[0, 1]])
    assert prior.score([[0, 1]]) < 0


@pytest.mark.parametrize(
    ("weight", "message"),
    [(0.0, "zero|positive"), (-1.0, "egative"), (np.nan, "NaN")],
)
def test_weights_that_cannot_be(weight, message):
    codes = draw_codes(3, None, 4)
    with pytest.raises(ValueError, match=message):
        TokenPrior(**TINY).fit(codes, sample_weight=np.full(len(codes), weight))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples=0"),
        ({"n_samples": 1.5}, r"n_samples=1\.5"),
        ({"temperature": 0}, "temperature=0"),
        ({"temperature": np.nan}, "temperature=nan"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"prefix": [0, 0, 0, 0]}, "prefix cannot be used: it has 4 columns"),
        ({"prefix": [2]}, "prefix cannot be used: .*token 2 in row 0, column 0"),
        ({"prefix": [[0], [1]], "n_samples": 3}, "prefix has 2 rows.*n_samples=3"),
    ],
)
def test_samples_that_cannot_be(prior, arguments, message):
    with pytest.raises(ValueError, match=message):
        prior.sample(**arguments)


def test_a_token_without_probability_is_never_drawn():
    from skhyper._nn._sequence import _invert

    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]] * 3)
    uniform = torch.tensor([0.0, 0.27, 1 - 2**-53], dtype=torch.float64)
    assert _invert(logits, uniform, 1.0).tolist() == [1, 3, 3]


def test_callbacks_see_a_fitted_prior_every_epoch(prior):
    seen = []

    def scoring(fitted, codes, y):
        seen.append(fitted.score(codes))
        return 0.0

    twin = clone(prior).set_callbacks(EarlyStopping(scoring, n_iter_no_change=2))
    twin.set_params(max_iter=9).fit(draw_codes(3, None, (2, 3, 4)))
    assert twin.n_iter_ == 3
    assert len(set(seen)) == 3
