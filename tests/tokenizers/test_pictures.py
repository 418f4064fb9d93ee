"""Pictures and sounds: convolutions, codes at positions, and their layout."""

import itertools
import pickle
from functools import cache

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skhyper import io
from skhyper._nn._convolutions import ConvolutionalDecoder, ConvolutionalEncoder
from skhyper.tokenizers import (
    HRQVAETokenizer,
    HyperVQTokenizer,
    RQVAETokenizer,
    SoftVQTokenizer,
    VQVAETokenizer,
)

SHAPE, GRID = (1, 7, 10), (2, 3)
SMALL = {
    "latent_dim": 3,
    "n_channels": 4,
    "max_iter": 3,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "random_state": 0,
}
PICTURES = {**SMALL, "input_shape": SHAPE}
TOKENIZERS = [
    VQVAETokenizer(5, **PICTURES),
    VQVAETokenizer(5, **PICTURES, codebook_update="ema", gradient="rotation"),
    RQVAETokenizer(2, [5, 4], **PICTURES),
    HRQVAETokenizer(2, [5, 4], **PICTURES),
    SoftVQTokenizer(5, **PICTURES),
    SoftVQTokenizer(5, **PICTURES, geometry="hyperbolic"),
    HyperVQTokenizer(2, [5, 4], **PICTURES),
]
ids = [f"{i}-{type(t).__name__}" for i, t in enumerate(TOKENIZERS)]
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=ids)


def pictures(n=40, shape=SHAPE, seed=0):
    """Rows that are blots at random places, and a little noise."""
    rng = np.random.RandomState(seed)
    channels, *sides = shape
    axes = np.meshgrid(*(np.arange(side) for side in sides), indexing="ij")
    centres = rng.uniform(0, sides, size=(n, len(sides)))
    square = sum(
        (axis - centre.reshape(-1, *[1] * len(sides))) ** 2
        for axis, centre in zip(axes, centres.T, strict=True)
    )
    blots = (
        np.exp(-square / 6)[:, None]
        * rng.choice([-1, 1, 2], (n, channels, 1))[(...,) + (None,) * (len(sides) - 1)]
    )
    return (blots + 0.02 * rng.randn(*blots.shape)).reshape(n, -1)


@cache
def fitted(index):
    return clone(TOKENIZERS[index]).fit(pictures())


def model_of(tokenizer):
    """A copy of the fitted one, which a test may change."""
    return pickle.loads(pickle.dumps(fitted(TOKENIZERS.index(tokenizer))))


def assert_same_bytes(actual, expected):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert actual.tobytes() == expected.tobytes()


# the network, against arithmetic in loops


def convolution(x, weight, bias, stride=1, pad=0):
    """One picture (channels, *sides), a window at a time."""
    n_out, _, *window = weight.shape
    x = np.pad(x, [(0, 0), *[(pad, pad)] * len(window)])
    sides = [(side - window[0]) // stride + 1 for side in x.shape[1:]]
    out = np.empty((n_out, *sides))
    for place in itertools.product(*map(range, sides)):
        at = tuple(slice(i * stride, i * stride + window[0]) for i in place)
        out[(slice(None), *place)] = bias + np.tensordot(
            weight, x[(slice(None), *at)], axes=x.ndim
        )
    return out


def transposed(x, weight, bias):
    """The way back of a convolution of window 4, stride 2 and padding 1."""
    sides = [2 * side + 2 for side in x.shape[1:]]
    out = np.zeros((weight.shape[1], *sides))
    for place in itertools.product(*map(range, x.shape[1:])):
        at = tuple(slice(2 * i, 2 * i + 4) for i in place)
        out[(slice(None), *at)] += np.tensordot(
            x[(slice(None), *place)], weight, axes=1
        )
    inner = (slice(1, -1),) * len(sides)
    return out[(slice(None), *inner)] + bias.reshape(-1, *[1] * len(sides))


def relu(x):
    return np.maximum(x, 0)


def residual_block(x, weights):
    (w1, b1), (w2, b2) = weights
    hidden = relu(convolution(relu(x), w1, b1, pad=1))
    return x + convolution(hidden, w2, b2)


def layers_of(module):
    """Weights and biases, in the order in which they are passed."""
    arrays = [p.detach().numpy() for p in module.parameters()]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def slow_encoder(module, row, shape):
    layers = layers_of(module)
    n_strides = len(layers) - 5
    x = row.reshape(shape)
    stride = 2**n_strides
    x = np.pad(x, [(0, 0), *[(0, -side % stride) for side in shape[1:]]], mode="edge")
    for i, (weight, bias) in enumerate(layers[:n_strides]):
        x = convolution(relu(x) if i else x, weight, bias, stride=2, pad=1)
    for i in range(2):
        x = residual_block(x, layers[n_strides + 2 * i :][:2])
    x = convolution(relu(x), *layers[-1])
    # a position after the other, each with its coordinates side by side
    return np.array([x[(slice(None), *p)] for p in np.ndindex(x.shape[1:])]).ravel()


def slow_decoder(module, latents, shape, grid):
    layers = layers_of(module)
    x = latents.reshape(*grid, -1)
    x = np.moveaxis(x, -1, 0)
    x = convolution(x, *layers[0], pad=1)
    for i in range(2):
        x = residual_block(x, layers[1 + 2 * i :][:2])
    for weight, bias in layers[5:]:
        x = transposed(relu(x), weight, bias)
    return x[tuple(slice(side) for side in (len(x), *shape[1:]))].ravel()


SHAPES = [
    ((1, 7, 10), (2, 3)),
    ((2, 5, 5), (2, 2)),
    ((3, 4, 1), (1, 1)),
    ((2, 130), (3,)),
]


@pytest.mark.parametrize(("shape", "grid"), SHAPES)
def test_networks_are_their_definition(shape, grid):
    torch.manual_seed(0)
    x = np.random.RandomState(0).randn(3, int(np.prod(shape)))
    encoder = ConvolutionalEncoder(shape, 3, 5).double()
    latents = encoder(torch.from_numpy(x)).detach().numpy()
    assert latents.shape == (3, 5 * np.prod(grid))
    for row, found in zip(x, latents, strict=True):
        assert_allclose(found, slow_encoder(encoder, row, shape), atol=1e-13)
    decoder = ConvolutionalDecoder(shape, 3, 5).double()
    decoded = decoder(torch.from_numpy(latents)).detach().numpy()
    assert decoded.shape == x.shape
    for row, found in zip(latents, decoded, strict=True):
        assert_allclose(found, slow_decoder(decoder, row, shape, grid), atol=1e-13)


def test_sounds_have_six_strides_and_pictures_two():
    strides = {
        shape: sum(
            getattr(layer, "stride", (1,))[0] == 2
            for layer in ConvolutionalEncoder(shape, 2, 2).modules()
        )
        for shape in ((1, 64), (1, 8, 8))
    }
    assert strides == {(1, 64): 6, (1, 8, 8): 2}


# codes at positions


@every_tokenizer
def test_codes_fold_into_levels_and_a_grid(tokenizer):
    model, X = model_of(tokenizer), pictures()
    codes, n_levels = model.transform(X), len(model.codebooks_)
    assert model.codes_shape_ == (n_levels, *GRID)
    assert codes.shape == (len(X), n_levels * 6)
    assert codes.dtype == np.int64
    # each position by itself, in the order of the latents of a row
    for position, token in np.ndindex(6, n_levels):
        own = np.unravel_index(position, GRID)
        folded = codes.reshape(-1, *model.codes_shape_)[:, token, *own]
        assert_array_equal(folded, codes[:, token * 6 + position])
    names = model.get_feature_names_out()
    assert len(names) == codes.shape[1]
    assert names[-1].endswith(str(codes.shape[1] - 1))
    frame = model.set_output(transform="pandas").transform(X)
    assert_array_equal(frame.to_numpy(), codes)
    assert list(frame.columns) == list(names)


@every_tokenizer
def test_every_position_is_encoded_like_a_row_of_its_own(tokenizer):
    """Against the latent of the position and the codebooks, level by level."""
    model, X = model_of(tokenizer), pictures()
    manifold, n = model._manifold(), len(X)
    codes = model.transform(X).reshape(n, -1, 6)
    latents = model.embed(X).reshape(n, 6, 3)
    quantized = model.quantize(X).reshape(n, 6, 3)
    for position in range(6):
        rest = manifold.expmap0(latents[:, position])
        columns = []
        for level, book in enumerate(model.codebooks_):
            columns.append(codes[:, level, position])
            if type(model) in (VQVAETokenizer, RQVAETokenizer, HRQVAETokenizer):
                nearest = manifold.pairwise_dist(rest, book).argmin(axis=1)
                assert_array_equal(columns[-1], nearest)
            rest = manifold.add(-book[columns[-1]], rest)
        total = model.codebooks_[-1][columns[-1]]
        for book, column in list(zip(model.codebooks_, columns, strict=True))[-2::-1]:
            total = manifold.add(book[column], total)
        if isinstance(model, SoftVQTokenizer):  # the decoder gets the mean
            weights = model.predict_proba(X)[:, position]
            total = np.array([manifold.midpoint(book, row) for row in weights])
        assert_allclose(quantized[:, position], manifold.logmap0(total), atol=1e-9)


@pytest.mark.parametrize("index", [2, 3])
def test_prefixes_of_whole_levels_decode(index):
    model, X = model_of(TOKENIZERS[index]), pictures()
    manifold, codes = model._manifold(), model.transform(X)
    decoder, weights = model._network().decoder, model.weights_
    first = manifold.logmap0(model.codebooks_[0][codes[:, :6].reshape(-1)])
    v = (first / weights["scale"] + weights["shift"]).reshape(len(X), -1)
    expected = np.array([slow_decoder(decoder, row, SHAPE, GRID) for row in v])
    expected = expected * model.scale_ + model.offset_
    assert_allclose(model.inverse_transform(codes[:, :6]), expected, atol=1e-9)
    whole = model.inverse_transform(codes)
    assert np.abs(whole - expected).max() > 1e-4
    error = np.mean((X - whole) ** 2)
    assert model.score(X) == pytest.approx(-error)
    for width in (1, 5, 7, 11):
        with pytest.raises(ValueError, match=f"codes has {width} columns"):
            model.inverse_transform(codes[:, :width])


@every_tokenizer
def test_labels_need_a_single_position(tokenizer):
    X = pictures()
    model = model_of(tokenizer)
    assert not hasattr(model, "labels_")
    with pytest.raises(ValueError, match=r"6 positions.*Use transform"):
        model.predict(X)
    with pytest.raises(ValueError, match=r"6 positions.*Use transform"):
        clone(tokenizer).set_params(max_iter=1).fit_predict(X)


def test_a_picture_of_one_position_has_labels():
    X = pictures(shape=(2, 4, 3))
    model = RQVAETokenizer(2, [4, 3], **SMALL, input_shape=(2, 4, 3))
    labels = model.fit_predict(X)
    codes = model.transform(X)
    assert model.codes_shape_ == (2, 1, 1)
    assert_array_equal(labels, codes[:, 0])
    assert_array_equal(model.predict(X, depth=2), 3 * codes[:, 0] + codes[:, 1])


@every_tokenizer
def test_usage_counts_all_positions(tokenizer):
    model, X = model_of(tokenizer), pictures()
    codes = model.transform(X).reshape(len(X), -1, 6)
    expected = [
        len(set(codes[:, level].ravel().tolist())) / len(book)
        for level, book in enumerate(model.codebooks_)
    ]
    assert_allclose(model.codebook_usage_, expected)


@pytest.mark.parametrize("index", [4, 5])
def test_the_posterior_is_that_of_each_position(index):
    model, X = model_of(TOKENIZERS[index]), pictures()
    proba = model.predict_proba(X)
    assert proba.shape == (len(X), 6, 5)
    assert_allclose(proba.sum(axis=-1), 1)
    assert_array_equal(proba.argmax(axis=-1), model.transform(X))


# training


@every_tokenizer
def test_a_weight_of_zero_is_no_picture(tokenizer):
    X, junk = pictures(30), 50 * pictures(6, seed=1)
    alone = clone(tokenizer).fit(X)
    weight = np.r_[np.zeros(6), np.full(30, 2.5)]
    weighted = clone(tokenizer).fit(np.r_[junk, X], sample_weight=weight)
    for name, value in alone.weights_.items():
        assert_array_equal(weighted.weights_[name], value)
    assert_array_equal(weighted.codebook_usage_, alone.codebook_usage_)
    assert weighted.score(np.r_[junk, X], sample_weight=weight) == pytest.approx(
        alone.score(X)
    )


def test_weights_are_repeats():
    X, repeats = pictures(20), np.arange(20) % 3
    tokenizer = TOKENIZERS[3]
    often = clone(tokenizer).fit(np.repeat(X, repeats, axis=0))
    once = clone(tokenizer).fit(X, sample_weight=repeats)
    for book, other in zip(once.codebooks_, often.codebooks_, strict=True):
        assert_allclose(book, other)


@every_tokenizer
def test_chunks_wait_for_positions_and_go_on_bit_for_bit(tokenizer):
    X = pictures()
    model = clone(tokenizer).set_params(codebook_size=13)
    model.partial_fit(X[:1]).partial_fit(X[1:2])
    with pytest.raises(ValueError, match="not fitted"):
        model.transform(X)
    # 3 pictures of 6 positions are as many as 18 rows
    model.partial_fit(X[2:3])
    assert model.transform(X).shape == (40, 6 * len(model.codebooks_))
    twin = pickle.loads(pickle.dumps(model)).partial_fit(X)
    model.partial_fit(X)
    for name, value in model.weights_.items():
        assert_array_equal(twin.weights_[name], value)
    assert_same_bytes(twin.transform(X), model.transform(X))


@every_tokenizer
def test_a_warm_start_goes_on(tokenizer):
    X = pictures()
    model = model_of(tokenizer).set_params(warm_start=True)
    before = model.score(X)
    for _ in range(3):
        model.fit(X)
    assert model.score(X) > before
    kept = model.transform(X)
    for change, message in (
        ({"input_shape": (1, 10, 7)}, r"input_shape=\(1, 10, 7\) is not \(1, 7, 10\)"),
        ({"n_channels": 5}, "Training cannot go on.*n_channels"),
        ({"input_shape": None}, "input_shape=None is not"),
    ):
        with pytest.raises(ValueError, match=message):
            clone_of(model).set_params(**change).fit(X)
    assert_array_equal(model.transform(X), kept)


def clone_of(model):
    return pickle.loads(pickle.dumps(model))


def test_too_few_positions_are_an_error():
    X = pictures(3)
    VQVAETokenizer(18, **{**PICTURES, "max_iter": 1}).fit(X)
    message = "codebook_size=19.*n_samples = 3 with 18 latents. Lower"
    with pytest.raises(ValueError, match=message):
        VQVAETokenizer(19, **PICTURES).fit(X)


def test_no_more_than_some_positions_are_evaluated_at_once(monkeypatch):
    """Long sounds are few rows and many numbers: memory grows with positions."""
    X, sizes = pictures(), []
    whole = clone(TOKENIZERS[0]).fit(X[:32], X_val=X[32:])
    forward = ConvolutionalEncoder.forward

    def counted(self, x):
        sizes.append((len(x), torch.is_grad_enabled()))
        return forward(self, x)

    monkeypatch.setattr(ConvolutionalEncoder, "forward", counted)
    monkeypatch.setattr("skhyper._nn._model.EVALUATION_POSITIONS", 20)
    model = clone(TOKENIZERS[0]).fit(X[:32], X_val=X[32:])
    assert {n for n, training in sizes if training} == {16}
    assert max(n for n, training in sizes if not training) == 3
    # in parts as at once, but for rounding
    assert_allclose(model.codebooks_[0], whole.codebooks_[0], rtol=1e-6, atol=1e-9)


def test_fit_is_deterministic_and_leaves_the_generators_alone():
    X = pictures()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = clone(TOKENIZERS[6]).fit(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])
    for name, value in fitted(6).weights_.items():
        assert_array_equal(again.weights_[name], value)


ODD = [(1, 1, 1), (2, 5, 5), (3, 4, 9), (1, 1), (2, 65), (1, 127)]


@pytest.mark.parametrize("shape", ODD, ids=str)
def test_sides_that_strides_do_not_divide(shape):
    X = pictures(shape=shape)
    model = VQVAETokenizer(3, **SMALL, input_shape=list(shape)).fit(X)
    stride = 4 if len(shape) == 3 else 64
    grid = tuple(int(np.ceil(side / stride)) for side in shape[1:])
    assert model.codes_shape_ == (1, *grid)
    codes = model.transform(X)
    assert codes.shape == (40, np.prod(grid))
    X_hat = model.inverse_transform(codes)
    assert X_hat.shape == X.shape
    assert model.score(X) == pytest.approx(-np.mean((X - X_hat) ** 2))


@pytest.mark.parametrize("input_shape", [SHAPE, None])
def test_only_pictures_of_float32_are_encoded_in_float64(input_shape):
    X = pictures().astype(np.float32)
    model = VQVAETokenizer(4, **SMALL, device="cpu", input_shape=input_shape).fit(X)
    latents = model._embed(X)
    rounded = latents == latents.astype(np.float32)
    assert rounded.all() == (input_shape is None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_follows_the_pictures(dtype):
    X = pictures().astype(dtype)
    model = clone(TOKENIZERS[0]).fit(X)
    for _ in range(2):
        assert {value.dtype for value in model.weights_.values()} == {np.dtype(dtype)}
        assert model.embed(X).dtype == model.quantize(X).dtype == dtype
        assert model.inverse_transform(model.transform(X)).dtype == dtype
        model.partial_fit(X)  # goes on from them


# codes are a function of the picture alone

PURE = [
    # sides and widths at which convolutions round by place, or by threads
    ((1, 28, 28), 8, "float64", VQVAETokenizer),
    ((1, 257), 17, "float64", HyperVQTokenizer),
    ((1, 257), 17, "float32", SoftVQTokenizer),
]


def outputs(model, X):
    """Latents, codes and reconstructions, as bytes of each row."""
    codes = model.transform(X)
    arrays = model.embed(X), codes, model.inverse_transform(codes)
    return np.hstack([a.view(np.uint8).reshape(len(X), -1) for a in arrays])


@pytest.mark.parametrize(("shape", "width", "dtype", "cls"), PURE)
def test_codes_do_not_depend_on_company_order_or_threads(shape, width, dtype, cls):
    X = pictures(9, shape).astype(dtype)
    small = {**SMALL, "n_channels": width, "max_iter": 1, "latent_dim": 5}
    model = cls(codebook_size=8, **small, input_shape=shape).fit(X)
    expected = outputs(model, X)
    order = np.random.RandomState(0).permutation(len(X))
    assert_array_equal(outputs(model, X[order]), expected[order])
    for rows in (slice(1), slice(3, 5), slice(8, None), slice(None, None, -3)):
        assert_array_equal(outputs(model, X[rows]), expected[rows])
    twin = pickle.loads(pickle.dumps(model))
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                assert_array_equal(outputs(twin, X), expected)
    finally:
        torch.set_num_threads(before)
    assert_array_equal(outputs(model, np.asfortranarray(X)), expected)


@every_tokenizer
def test_codes_of_a_picture_alone(tokenizer):
    model, X = model_of(tokenizer), pictures()
    expected = outputs(model, X)
    alone = [outputs(model, X[i : i + 1]) for i in range(0, 40, 7)]
    assert_array_equal(np.concatenate(alone), expected[::7])


# copies and files


@every_tokenizer
def test_copies_and_files_give_the_same_bytes(tokenizer, tmp_path):
    model, X = fitted(TOKENIZERS.index(tokenizer)), pictures()
    expected = outputs(model, X)
    joblib.dump(model, tmp_path / "joblib")
    io.save(model, tmp_path / "file")
    copies = (
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "joblib"),
        io.load(tmp_path / "file"),
    )
    for twin in copies:
        assert twin.codes_shape_ == model.codes_shape_
        assert_array_equal(outputs(twin, X), expected)
    io.save(copies[-1], tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()
    assert b"torch" not in pickle.dumps(model)


def swapped(name, *axes):
    """What exchanges two axes of a weight."""

    def change(model):
        array = np.swapaxes(model.weights_[name], *axes)
        model.weights_[name] = np.ascontiguousarray(array)

    return change


def resized(name, *shape):
    def change(model):
        model.weights_[name] = np.zeros(shape)

    return change


def renamed(**attributes):
    def change(model):
        vars(model).update(attributes)

    return change


DAMAGE = {
    "first convolution, channels": swapped("encoder.layers.0.weight", 0, 1),
    "first convolution, window": resized("encoder.layers.0.weight", 4, 1, 4, 3),
    "second convolution": resized("encoder.layers.2.weight", 4, 3, 4, 4),
    "bias": resized("encoder.layers.2.bias", 3),
    "residual block": resized("encoder.layers.3.layers.3.weight", 5, 4, 1, 1),
    "latents": resized("encoder.layers.6.bias", 2),
    "decoder, first": resized("decoder.layers.0.weight", 4, 2, 3, 3),
    "decoder, transposed": swapped("decoder.layers.6.weight", 0, 1),
    "decoder, one side": resized("decoder.layers.4.weight", 4, 4, 4),
    "shift": resized("shift", 2),
    "grid": renamed(codes_shape_=(1, 3, 2)),
    "levels": renamed(codes_shape_=(2, 2, 3)),
    "shape of a row": renamed(_input_shape=(1, 7, 11)),
    "grid of a row": renamed(_input_shape=(1, 10, 7)),
    "no shape of a row": renamed(_input_shape=None),
    "sound": renamed(_input_shape=(1, 70)),
    "sides": renamed(_input_shape=(1, 7, 10, 1)),
    "huge": renamed(codes_shape_=(10**6, 10**6, 10**6)),
}


@pytest.mark.parametrize("key", DAMAGE)
def test_files_whose_arrays_do_not_go_together_are_refused(key, tmp_path, monkeypatch):
    model = model_of(TOKENIZERS[0])
    DAMAGE[key](model)
    with monkeypatch.context() as patch:
        patch.setattr(io, "check_consistent", lambda _: None)
        io.save(model, tmp_path / "file")
    with pytest.raises(ValueError, match="cannot be loaded"):
        io.load(tmp_path / "file")
    with pytest.raises((ValueError, LookupError)):
        io.save(model, tmp_path / "other")


def test_a_shape_may_be_an_array():
    model = VQVAETokenizer(5, **SMALL, input_shape=np.array(SHAPE)).fit(pictures())
    assert model.codes_shape_ == (1, *GRID)
    assert all(type(side) is int for side in model.codes_shape_)


# what cannot be used


@pytest.mark.parametrize(
    "cls",
    [
        VQVAETokenizer,
        SoftVQTokenizer,
        HyperVQTokenizer,
        RQVAETokenizer,
        HRQVAETokenizer,
    ],
    ids=lambda c: c.__name__,
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 7, 11), r"\(1, 7, 11\) has 77 values, but X has 70 features"),
        ((70,), r"\(70,\) must be \(channels, height, width\)"),
        ((1, 1, 7, 10), r"\(channels, length\) of sounds"),
        ((0, 7, 10), "must be"),
        ((1, -7, -10), "must be"),
        ((1, 7.0, 10), "must be"),
        ((), "must be"),
        (70, "input_shape"),
        ("1x7x10", "input_shape"),
    ],
    ids=str,
)
def test_shapes_that_are_none(cls, method, shape, message):
    model = cls(codebook_size=3, **SMALL, input_shape=shape)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(pictures())
    assert not hasattr(model, "n_features_in_")


def test_hyperbolic_layers_have_no_convolutions():
    model = HRQVAETokenizer(2, 3, **PICTURES, encoder="hyperbolic")
    with pytest.raises(ValueError, match=r"encoder='hyperbolic' has no.*encoder=None"):
        model.fit(pictures())


@every_tokenizer
def test_pictures_that_are_not_flat_or_of_another_size(tokenizer):
    X = pictures()
    whole = X.reshape(-1, *SHAPE)
    for call in (clone(tokenizer).fit, clone(tokenizer).partial_fit):
        with pytest.raises(
            ValueError, match=r"must be 2-D.*X\.reshape\(len\(X\), -1\)"
        ):
            call(whole)
    model = model_of(tokenizer)
    for call in (model.transform, model.embed, model.score):
        with pytest.raises(
            ValueError, match=r"must be 2-D.*X\.reshape\(len\(X\), -1\)"
        ):
            call(whole)
        with pytest.raises(ValueError, match=r"77 features.*70.*\(1, 7, 10\)"):
            call(np.zeros((3, 77)))
    with pytest.raises(ValueError, match=r"X_val cannot be used.*77 features"):
        clone(tokenizer).fit(X, X_val=np.zeros((3, 77)))


# networks of the user's own


class Own(torch.nn.Module):
    """A strided convolution over flat pictures, with other outputs a position."""

    def __init__(self, width=3):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, width, 4, stride=4, padding=(2, 1))

    def forward(self, x):
        return self.layer(x.reshape(-1, *SHAPE)).flatten(2).mT.flatten(1)


class Back(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Linear(18, 70))


@pytest.mark.parametrize("parts", ["encoder", "decoder", "both"])
@pytest.mark.parametrize("index", [0, 3, 4, 6])
def test_own_networks(index, parts, tmp_path):
    X = pictures()
    width = 3 + (5 if index == 4 else 0)
    own = {}
    if parts != "decoder":
        own["encoder"] = Own(width)
    if parts != "encoder":
        own["decoder"] = Back()
    model = clone(TOKENIZERS[index]).set_params(max_iter=6, **own).fit(X)
    assert model.codes_shape_[1:] == GRID
    expected = outputs(model, X)
    assert_array_equal(outputs(model, X[::-1])[::-1], expected)
    assert_array_equal(outputs(pickle.loads(pickle.dumps(model)), X), expected)
    io.save(model, tmp_path / "file")
    assert_array_equal(outputs(io.load(tmp_path / "file", **own), X), expected)


@pytest.mark.parametrize(
    ("index", "encoder", "message"),
    [
        (
            0,
            Own(2),
            r"\(2, 12\).*\(2, 18\).*18 outputs, which is latent_dim.*6 positions",
        ),
        (4, Own(3), r"\(2, 18\).*\(2, 48\).*latent_dim \+ 5 at each of 6 positions"),
        (0, torch.nn.Linear(60, 18), r"rows of shape \(n_samples, 70\)"),
    ],
)
def test_own_networks_of_another_width(index, encoder, message):
    with pytest.raises(ValueError, match=message):
        clone(TOKENIZERS[index]).set_params(encoder=encoder).fit(pictures())
