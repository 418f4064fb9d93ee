"""Wrong data and parameters: a clear error or warning, and nothing half-written."""

import pickle
import re

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skhyper.manifolds import PoincareBall, poincare_to_lorentz
from skhyper.quantizers import (
    HyperbolicKMeans,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
)

X = np.random.RandomState(0).normal(size=(40, 3))


def kmeans(**parameters):
    return HyperbolicKMeans(**{"n_clusters": 4, "random_state": 0, **parameters})


def hrq(**parameters):
    defaults = {"n_levels": 2, "codebook_size": 4, "random_state": 0}
    return HyperbolicResidualQuantizer(**{**defaults, **parameters})


def rq(**parameters):
    defaults = {"n_levels": 2, "codebook_size": 4, "random_state": 0}
    return ResidualQuantizer(**{**defaults, **parameters})


every = pytest.mark.parametrize("make", [kmeans, hrq, rq])
coders = pytest.mark.parametrize("make", [hrq, rq])
curved = pytest.mark.parametrize("make", [kmeans, hrq])


def with_entry(value):
    changed = X.copy()
    changed[7, 1] = value
    return changed


def with_grad(values):
    return torch.tensor(values, requires_grad=True)


BAD_DATA = {
    "nan": (with_entry(np.nan), "X contains NaN"),
    "infinity": (with_entry(-np.inf), "X contains infinity"),
    "1-D": (X[0], "Expected 2D array, got 1D array"),
    "3-D": (X[None], "dim 3"),
    "empty": (X[:0], "0 sample"),
    "no features": (X[:, :0], "0 feature"),
    "complex": (X + 1j, "Complex data not supported"),
    "text": (X.astype(str).astype(object) + "a", "could not convert string"),
    "needs grad": (with_grad(X), r"requires grad.*X\.detach"),
    "another width": (X[:, :2], "X has 2 features, but .* is expecting 3"),
}


@every
@pytest.mark.parametrize(
    ("bad", "message"), [v for k, v in BAD_DATA.items() if k != "another width"]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_predict"])
def test_fit_refuses(make, method, bad, message):
    with pytest.raises(ValueError, match=message):
        getattr(make(), method)(bad)


@every
@pytest.mark.parametrize("method", ["transform", "predict", "score"])
@pytest.mark.parametrize(("bad", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_fitted_methods_refuse(make, method, bad, message):
    model = make().fit(X)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(bad)


@every
@pytest.mark.parametrize("method", ["transform", "predict", "score"])
def test_methods_need_a_fit(make, method):
    with pytest.raises(NotFittedError):
        getattr(make(), method)(X)


@coders
def test_inverse_transform_needs_a_fit(make):
    with pytest.raises(NotFittedError):
        make().inverse_transform([[0, 0]])


BAD_WEIGHTS = {
    "zero": (np.zeros(40), "at least one non-zero"),
    "negative": (np.r_[-1.0, np.ones(39)], "Negative values .* `sample_weight`"),
    "nan": (np.r_[np.nan, np.ones(39)], "sample_weight contains NaN"),
    "infinite": (np.r_[np.inf, np.ones(39)], "sample_weight contains infinity"),
    "short": (np.ones(39), r"sample_weight.shape == \(39,\), expected \(40,\)"),
    "2-D": (np.ones((40, 1)), "Sample weights must be 1D"),
}


@every
@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_predict", "score"])
@pytest.mark.parametrize(("weight", "message"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights(make, method, weight, message):
    model = make().fit(X)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X, sample_weight=weight)


@every
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_weights_of_any_scale(make, scale):
    weight = np.random.RandomState(0).uniform(1, 2, size=40)
    model, scaled = (make().fit(X, sample_weight=s * weight) for s in (1, scale))
    assert_array_equal(model.labels_, scaled.labels_)


BAD_PARAMETERS = [
    ("max_iter", 0),
    ("max_iter", 2.5),
    ("n_init", 0),
    ("tol", -1e-3),
    ("tol", np.nan),
    ("random_state", "seed"),
]
BAD_PARAMETERS_OF_CODERS = [
    ("n_levels", 0),
    ("n_levels", 2.0),
    ("codebook_size", 0),
    ("codebook_size", 4.0),
    ("codebook_size", "4"),
    ("codebook_size", None),
    ("codebook_size", [4]),
    ("codebook_size", [4, 4, 4]),
    ("codebook_size", []),
    ("codebook_size", [4, 2.0]),
    ("codebook_size", [4, 0]),
    ("codebook_size", [[4, 4], [4, 4]]),
    ("beam_size", 0),
    ("refit", "yes"),
]
BAD_GEOMETRY = [
    *(("curvature", c) for c in (0, -1.0, np.nan, np.inf, "x", None)),
    ("input_geometry", "klein"),
    ("input_geometry", None),
]


@pytest.mark.parametrize(
    ("make", "parameter", "value"),
    [
        *((make, *case) for make in (kmeans, hrq, rq) for case in BAD_PARAMETERS),
        *((make, *case) for make in (hrq, rq) for case in BAD_PARAMETERS_OF_CODERS),
        *((make, *case) for make in (kmeans, hrq) for case in BAD_GEOMETRY),
        (kmeans, "n_clusters", 0),
        (kmeans, "n_clusters", 2.0),
        (kmeans, "init", "random"),
        (hrq, "residual", "naive"),
    ],
)
def test_bad_parameters_are_named_with_their_value(make, parameter, value):
    model = make(**{parameter: value})
    with pytest.raises(ValueError, match=parameter) as error:
        model.fit(X)
    assert str(value) in str(error.value)


@coders
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_beam_wider_than_every_codebook(make, method):
    message = "beam_size=5 is more than the largest codebook, 4 codes.* lower beam_size"
    with pytest.raises(ValueError, match=message):
        getattr(make(beam_size=5), method)(X)
    getattr(make(beam_size=5, codebook_size=[2, 5]), method)(X)


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (X[:3], r"init has shape \(3, 3\), expected .* \(4, 3\)"),
        (X[:4, :2], r"init has shape \(4, 2\), expected .* \(4, 3\)"),
        (with_entry(np.nan)[5:9], "init contains NaN"),
    ],
)
def test_bad_init(init, message):
    with pytest.raises(ValueError, match=message):
        kmeans(init=init).fit(X)


def test_init_outside_the_ball_is_not_blamed_on_the_data():
    init = np.eye(3)[[0, 1, 2, 2]] * [[0.5], [0.5], [2.0], [0.1]]
    with pytest.raises(ValueError, match=r"^init has 1 of 4 points outside.*row 2"):
        kmeans(init=init, input_geometry="ball").fit(X / 10)


@curved
def test_points_outside_the_ball(make):
    Z = PoincareBall(4.0).expmap0(X)
    model = make(input_geometry="ball", curvature=4.0).fit(Z)
    Z[5] *= 0.51 / np.linalg.norm(Z[5])
    message = r"1 of 40 points outside .* curvature 4: row 5 has norm 0\.51"
    for call in (make(**model.get_params()).fit, model.transform, model.score):
        with pytest.raises(ValueError, match=message):
            call(Z)


@curved
def test_points_off_the_sheet(make):
    L = poincare_to_lorentz(PoincareBall(1.0).expmap0(X))
    model = make(input_geometry="lorentz").fit(L)
    L[5, 0] *= 1.5
    for call in (make(**model.get_params()).fit, model.transform, model.score):
        with pytest.raises(ValueError, match=r"1 of 40 points off the sheet.*row 5"):
            call(L)
    with pytest.raises(ValueError, match="'lorentz' needs at least 2 features"):
        make(input_geometry="lorentz").fit(L[:, :1])


@curved
def test_points_beyond_the_reach_of_float64_are_warned_of(make):
    far = np.r_[X, [[16.0, 0.0, 0.0]]]
    with pytest.warns(UserWarning, match=r"1 of 41 points .*\(curvature=1\).* Lower"):
        make(curvature=1.0).fit(far)
    make(curvature=0.5).fit(far)


@curved
@pytest.mark.parametrize("scale", [1e-170, 1e-155, 1e155])
def test_curvature_auto_needs_a_scale_that_can_be_squared(make, scale):
    if scale == 1e-170:  # squares are 0 already: as good as rows of zeros
        with pytest.warns(ConvergenceWarning):
            assert make().fit(scale * X).curvature_ == 1.0
        return
    with pytest.raises(ValueError, match=r"curvature='auto' .* Scale the features"):
        make().fit(scale * X)


BAD_CODES = {
    "too wide": (np.zeros((2, 3), int), "codes has 3 columns, expected 1 to 2"),
    "no column": (np.zeros((2, 0), int), "codes has 0 columns, expected 1 to 2"),
    "float": (np.zeros((2, 2)), r"codes must be integers, got dtype float64.*astype"),
    "bool": (np.zeros((2, 2), bool), "codes must be integers, got dtype bool"),
    "1-D": (np.zeros(2, int), r"codes must be 2-D.* got shape \(2,\).*reshape"),
    "3-D": (np.zeros((1, 2, 2), int), "codes must be 2-D"),
    "empty": (np.zeros((0, 2), int), "codes has 0 samples"),
    "negative": ([[0, 0], [0, -1]], "token -1 in row 1, level 1; .* 0 to 3"),
    "too large": ([[0, 0], [4, 0]], "token 4 in row 1, level 0; .* has 4 codes"),
    "unsigned": (np.array([[0, 2**64 - 1]], np.uint64), f"token {2**64 - 1} in row 0"),
}


@coders
@pytest.mark.parametrize(("codes", "message"), BAD_CODES.values(), ids=BAD_CODES)
def test_bad_codes(make, codes, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X).inverse_transform(codes)


@coders
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_codes_of_every_integer_type_decode(make, dtype):
    model = make().fit(X)
    codes = model.transform(X)
    assert_array_equal(
        model.inverse_transform(codes.astype(dtype)), model.inverse_transform(codes)
    )


@every
@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_rows_than_codes(make, n):
    name = "n_clusters=4" if make is kmeans else "codebook_size=4"
    with pytest.warns(ConvergenceWarning, match=name):
        model = make().fit(X[:n])
    labels = model.predict(X)
    assert np.all((labels >= 0) & (labels < n))
    assert model.score(X[:n]) == pytest.approx(0, abs=1e-12)
    assert len(np.unique(model.predict(X[:n]))) == n


@every
@pytest.mark.parametrize("value", [0.0, 1.0, -3e5, 1e-9])
def test_constant_rows(make, value):
    with pytest.warns(ConvergenceWarning):
        model = make().fit(np.full((9, 3), value))
    assert_array_equal(model.labels_, np.zeros(9))
    assert model.score(np.full((9, 3), value)) == pytest.approx(0, abs=1e-15 * value**2)


@coders
def test_repeated_rows_shorten_the_codebooks(make):
    rows = np.repeat(X[:3], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"\[3, 1\] codes"):
        model = make().fit(rows)
    assert [len(codebook) for codebook in model.codebooks_] == [3, 1]
    codes = model.transform(rows)
    np.testing.assert_allclose(model.inverse_transform(codes), rows, atol=1e-12)


@every
@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, bool])
def test_other_types_are_read_as_float64(make, dtype):
    rows = (4 * X).astype(dtype) if dtype is not bool else X > 0
    model, plain = make().fit(rows), make().fit(rows.astype(np.float64))
    assert_array_equal(model.transform(rows), plain.transform(rows.astype(np.float64)))


@every
def test_read_only_and_strided_rows(make):
    stored = np.full((80, 6), np.nan, order="F")
    stored[::2, ::2] = X
    view = stored[::2, ::2]
    view.setflags(write=False)
    model, plain = make().fit(view), make().fit(X)
    assert model.transform(view).tobytes() == plain.transform(X).tobytes()


@every
def test_a_failed_fit_leaves_the_last_one_usable(make):
    model = make().fit(X)
    expected, state = model.transform(X), pickle.dumps(model)
    failures = [bad for key, (bad, _) in BAD_DATA.items() if key != "another width"]
    for bad in failures:
        with pytest.raises(ValueError, match=re.compile("")):
            model.fit(bad)
        assert model.transform(X).tobytes() == expected.tobytes()
    for weight, message in BAD_WEIGHTS.values():
        with pytest.raises(ValueError, match=message):
            model.fit(2 * X, sample_weight=weight)
    assert pickle.dumps(model) == state


@curved
def test_points_outside_leave_the_last_curvature_with_its_codes(make):
    Z = PoincareBall(1.0).expmap0(X)
    model = make(input_geometry="ball", curvature=1.0).fit(Z)
    expected = model.transform(Z)
    model.set_params(curvature=50.0)
    with pytest.raises(ValueError, match="outside the Poincare ball of curvature 50"):
        model.fit(Z)
    assert model.curvature_ == 1.0
    assert model.transform(Z).tobytes() == expected.tobytes()


@every
def test_a_first_fit_that_fails_leaves_the_estimator_unfitted(make):
    model = make()
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, sample_weight=-np.ones(40))
    assert not hasattr(model, "labels_")
    assert not hasattr(model, "curvature_")
