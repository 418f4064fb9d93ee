"""Reconstructions, usage of codes and latents: what the artists show."""

from collections import Counter

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper.datasets import make_tree
from skhyper.manifolds import PoincareBall
from skhyper.plotting import (
    CodebookUsageDisplay,
    LatentDisplay,
    PoincareDiskDisplay,
    ReconstructionDisplay,
    _checks,
)
from skhyper.plotting._drawing import INK, LINE, MOST_LETTERS, MOST_NAMES
from skhyper.plotting._geometry import DiskMap
from skhyper.quantizers import HyperbolicResidualQuantizer, ResidualQuantizer
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer, VQVAETokenizer

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:Level:sklearn.exceptions.ConvergenceWarning"),
]

SIZES = [4, 3]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def tree():
    X, y = make_tree(90, random_state=0)
    return X, y[:, 0]


def tiny(kind, *args, **parameters):
    return kind(
        *args,
        max_iter=3,
        hidden_layer_sizes=8,
        random_state=0,
        device="cpu",
        **parameters,
    )


@pytest.fixture(scope="module")
def hyperbolic(tree):
    """A tokenizer whose latent space is a disk."""
    return tiny(HRQVAETokenizer, 2, SIZES, latent_dim=2, curvature=2.7).fit(tree[0])


@pytest.fixture(scope="module")
def flat(tree):
    return tiny(RQVAETokenizer, 2, SIZES, latent_dim=4).fit(tree[0])


@pytest.fixture(scope="module")
def pictures():
    """Pictures of 4 x 12 pixels, a label each, and codes at three positions of each."""
    X = np.random.default_rng(0).uniform(size=(30, 48))
    tokenizer = VQVAETokenizer(
        *(5,),
        input_shape=(1, 4, 12),
        n_channels=2,
        latent_dim=2,
        max_iter=3,
        random_state=0,
        device="cpu",
    )
    return X, np.arange(30) % 3, tokenizer.fit(X)


class Digits(TransformerMixin, BaseEstimator):
    """Codes of whole numbers below 100: the tens of all positions, then the ones."""

    def __init__(self, input_shape=None):
        self.input_shape = input_shape

    def fit(self, X, y=None):
        self.codes_shape_ = (2, X.shape[1])
        return self

    def transform(self, X):
        X = np.asarray(X).astype(int)
        return np.hstack([X // 10, X % 10])

    def inverse_transform(self, codes):
        tens, *ones = np.split(codes, codes.shape[1] // self.codes_shape_[1], axis=1)
        return 10.0 * tens + sum(ones)


def numbers(n_samples, n_features):
    return np.random.default_rng(1).integers(0, 100, (n_samples, n_features))


def cell(image, row, column, height, width, gap=1):
    """The pixels of one picture of a mosaic."""
    top, left = row * (height + gap), column * (width + gap)
    return image[top : top + height, left : left + width]


# reconstructions


def test_grey_pictures_are_the_rows_and_their_reconstructions():
    X = numbers(11, 12)
    digits = Digits(input_shape=(1, 3, 4)).fit(X)
    display = ReconstructionDisplay.from_estimator(
        digits, X, n_samples=5, depths=[1, 2]
    )
    image = np.ma.filled(display.image_.get_array(), np.nan)
    assert image.shape == (3 * 4 - 1, 5 * 5 - 1)
    expected = [X, 10 * (X // 10), X]
    for row, pictures in enumerate(expected):
        for column in range(5):
            shown = cell(image, row, column, 3, 4)
            assert_array_equal(shown, pictures[column].reshape(3, 4))
    assert np.isnan(image[3::4]).all()
    assert np.isnan(image[:, 4::5]).all()
    assert np.isfinite(image).sum() == 3 * 5 * 12
    # the inputs alone settle what is black and white
    assert display.image_.get_clim() == (X[:5].min(), X[:5].max())
    assert display.image_.get_cmap().name == "gray"
    ax = display.ax_
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["input", "1 level", "2 levels"]
    assert_array_equal(ax.get_yticks(), [1, 5, 9])
    assert display.figure_ is ax.figure
    assert display.input_lines_ is display.legend_ is None
    display.figure_.canvas.draw()


def test_colour_pictures_keep_their_channels():
    X = numbers(2, 18)
    digits = Digits(input_shape=(3, 2, 3)).fit(X)
    display = ReconstructionDisplay.from_estimator(digits, X, depths=[1])
    image = display.image_.get_array()
    low, high = X.min(), X.max()
    for row, pictures in enumerate([X, 10 * (X // 10)]):
        for column in range(2):
            shown = cell(image, row, column, 2, 3)
            planes = pictures[column].reshape(3, 2, 3)
            colors = np.clip((planes - low) / (high - low), 0, 1)
            assert_allclose(shown[..., :3], np.moveaxis(colors, 0, -1), atol=1e-15)
            assert_array_equal(shown[..., 3], 1)
    assert_array_equal(image[2], 0)
    assert_array_equal(image[:, 3], 0)


def test_pictures_without_contrast_are_drawn():
    X = np.full((2, 12), 7)
    display = ReconstructionDisplay.from_estimator(
        Digits(input_shape=(3, 2, 2)).fit(X), X
    )
    assert set(np.unique(display.image_.get_array())) <= {0.0, 1.0}
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("depths", "names"),
    [(None, ["reconstruction"]), ((1,), ["1 level"]), (np.array([1]), ["1 level"])],
)
def test_pictures_of_a_tokenizer(pictures, depths, names):
    X, _, tokenizer = pictures
    display = ReconstructionDisplay.from_estimator(tokenizer, X, depths=depths)
    X_hat = tokenizer.inverse_transform(tokenizer.transform(X[:8]))
    assert_array_equal(display.inputs, X[:8])
    assert_array_equal(display.reconstructions, X_hat[None])
    image = np.ma.filled(display.image_.get_array(), np.nan)
    assert_array_equal(cell(image, 1, 7, 4, 12), X_hat[7].reshape(4, 12))
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["input", *names]


def test_depths_are_prefixes_of_the_codes(tree):
    X, _ = tree
    quantizer = ResidualQuantizer(3, 4, n_init=1, random_state=0).fit(X)
    display = ReconstructionDisplay.from_estimator(
        quantizer, X, n_samples=500, depths=[3, 1]
    )
    codes = quantizer.transform(X)
    assert display.depths == [3, 1]
    for depth, found in zip([3, 1], display.reconstructions, strict=True):
        assert_array_equal(found, quantizer.inverse_transform(codes[:, :depth]))


def traces(collection):
    """What the lines of a collection say of their values, up to their offsets."""
    return np.array([line[:, 1] for line in collection.get_segments()])


def test_vectors_are_traces_one_below_the_other():
    X = numbers(6, 20)
    digits = Digits().fit(X)
    display = ReconstructionDisplay.from_estimator(
        digits, X, n_samples=4, depths=[2, 1]
    )
    inputs = traces(display.input_lines_)
    found = traces(display.reconstruction_lines_)
    # each column has all the inputs, and below each other by one and the same step
    below = inputs - np.tile(X[:4], (2, 1))
    step = -below[1, 0]
    assert step >= 0.9 * np.ptp(X[:4])
    assert_allclose(below, np.tile(-step * np.arange(4), 2)[:, None] + np.zeros(20))
    assert_allclose(found - below, np.vstack([X[:4], 10 * (X[:4] // 10)]))
    x = np.array([line[:, 0] for line in display.reconstruction_lines_.get_segments()])
    assert_array_equal(x[:4], np.tile(np.linspace(0, 1, 20), (4, 1)))
    assert x[4:].min() > 1
    assert_array_equal(x, [line[:, 0] for line in display.input_lines_.get_segments()])
    ax = display.ax_
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2 levels", "1 level"]
    assert_allclose(ax.get_xticks(), x[[0, 4]].mean(axis=1))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "1", "2", "3"]
    assert_allclose(ax.get_yticks(), np.median(X[:4]) + below[:4, 0])
    # all is in sight
    low, high = ax.get_ylim()
    assert low <= min(inputs.min(), found.min())
    assert max(inputs.max(), found.max()) <= high
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == ["input", "reconstruction"]
    assert display.image_ is None
    display.figure_.canvas.draw()


def test_sounds_have_a_trace_a_channel():
    X = numbers(3, 20)
    display = ReconstructionDisplay.from_estimator(
        Digits(input_shape=(2, 10)).fit(X), X
    )
    inputs = traces(display.input_lines_)
    assert inputs.shape == (6, 10)
    below = inputs - X.reshape(6, 10)
    step = -below[1, 0]
    assert_allclose(below[:, 0], -step * np.arange(6))
    ticks = display.ax_.get_yticks()
    assert_allclose(ticks, np.median(X) - 2 * step * np.arange(3))
    assert_array_equal(display.ax_.get_xticks(), [])


def test_traces_of_one_value_are_apart():
    X = np.full((3, 4), 7)
    display = ReconstructionDisplay.from_estimator(Digits().fit(X), X)
    assert_array_equal(traces(display.input_lines_)[:, 0], [7, 6, 5])


def test_a_pipeline_is_shown_in_its_input_space(pictures):
    X, _, _ = pictures
    tokenizer = VQVAETokenizer(
        *(5,),
        input_shape=(1, 4, 12),
        n_channels=2,
        latent_dim=2,
        max_iter=2,
        random_state=0,
        device="cpu",
    )
    frame = pd.DataFrame(X).add_prefix("pixel")
    pipeline = make_pipeline(StandardScaler(), tokenizer).set_output(transform="pandas")
    pipeline.fit(frame)
    display = ReconstructionDisplay.from_estimator(pipeline, frame, n_samples=3)
    X_hat = pipeline.inverse_transform(pipeline.transform(frame[:3]).to_numpy())
    assert_array_equal(display.inputs, X[:3])
    assert_allclose(display.reconstructions[0], X_hat)
    assert display.input_shape == (1, 4, 12)


def test_the_given_shape_wins(flat, tree):
    display = ReconstructionDisplay.from_estimator(
        flat, tree[0], n_samples=2, input_shape=[1, 4, 4]
    )
    image = np.ma.filled(display.image_.get_array(), np.nan)
    assert_array_equal(cell(image, 0, 1, 4, 4), tree[0][1].reshape(4, 4))


def test_reconstructions_are_drawn_where_asked():
    X = numbers(3, 12)
    _, (left, right) = plt.subplots(1, 2)
    for shape in (None, (1, 3, 4)):
        digits = Digits(input_shape=shape).fit(X)
        display = ReconstructionDisplay.from_estimator(digits, X, ax=left)
        assert display.ax_ is left
        assert display.plot(ax=right) is display
        assert display.ax_ is right


# usage of codes


def counted(codes, sizes):
    """The shares of the codes of each level, by counting them one by one."""
    shares = []
    for level, size in enumerate(sizes):
        counts = Counter(int(row[level]) for row in codes)
        falling = sorted((counts[code] for code in range(size)), reverse=True)
        shares.append([count / len(codes) for count in falling])
    return shares


def check_usage(display, codes, sizes):
    for share, line, expected in zip(
        display.shares, display.lines_, counted(codes, sizes), strict=True
    ):
        assert_allclose(share, expected, rtol=1e-15)
        taken = [value for value in expected if value > 0]
        assert_array_equal(line.get_xdata(), 1 + np.arange(len(taken)))
        assert_allclose(line.get_ydata(), taken, rtol=1e-15)


def test_usage_of_codes_is_what_is_counted():
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, 3, 50), rng.integers(0, 7, 50) ** 2 // 8])
    display = CodebookUsageDisplay.from_codes(codes, [3, 8])
    check_usage(display, codes, [3, 8])
    assert display.ax_.get_yscale() == "log"
    assert display.figure_ is display.ax_.figure
    ends = [(line.get_xdata()[-1], *line.get_ydata()) for line in display.even_]
    assert_allclose(ends, [(3, 1 / 3, 1 / 3), (8, 1 / 8, 1 / 8)])
    colors = {
        line.get_color()
        if isinstance(line.get_color(), str)
        else tuple(line.get_color())
        for line in display.lines_
    }
    assert len(colors) == 2
    display.figure_.canvas.draw()


def test_the_legend_of_usage_tells_perplexity():
    # two codes alike, of four; one code alone
    display = CodebookUsageDisplay.from_codes([[0, 1], [3, 1]], 4)
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == [
        "level 0: perplexity 2 of 4, 50 % used",
        "level 1: perplexity 1 of 4, 25 % used",
        "equal shares",
    ]
    assert len(display.even_) == 1
    # a single code is a point, and has to be seen
    assert display.lines_[1].get_marker() != "None"


def test_usage_of_an_estimator(flat, tree):
    X, _ = tree
    display = CodebookUsageDisplay.from_estimator(flat, X)
    check_usage(display, flat.transform(X), SIZES)
    assert_allclose(display.usage, flat.codebook_usage_)
    pipeline = make_pipeline(StandardScaler(), ResidualQuantizer(2, 4, n_init=1))
    codes = pipeline.fit_transform(X)
    check_usage(CodebookUsageDisplay.from_estimator(pipeline, X), codes, [4, 4])


def test_usage_counts_each_position(pictures):
    X, _, tokenizer = pictures
    display = CodebookUsageDisplay.from_estimator(tokenizer, X)
    check_usage(display, tokenizer.transform(X).reshape(-1, 1), [5])


def test_usage_is_drawn_where_asked():
    _, (left, right) = plt.subplots(1, 2)
    display = CodebookUsageDisplay.from_codes([[0], [1]], 2, ax=left)
    assert display.ax_ is left
    assert display.plot(ax=right) is display
    assert display.ax_ is right
    assert len(right.lines) == 2


# latents


def test_latents_of_a_disk_are_shown_as_they_are(hyperbolic, tree):
    X, _ = tree
    display = LatentDisplay.from_estimator(hyperbolic, X)
    points = PoincareBall(2.7).expmap0(hyperbolic.embed(X)) * 2.7**0.5
    assert_allclose(display.latents, points, rtol=1e-12)
    assert_allclose(display.codes, hyperbolic.codebooks_[0] * 2.7**0.5, rtol=1e-12)
    assert_array_equal(display.points_.get_offsets(), display.latents)
    assert_array_equal(display.codes_.get_offsets(), display.codes)
    assert display.codes_.get_zorder() > display.points_.get_zorder()
    assert display.rim_ in display.ax_.patches
    assert display.rim_.get_radius() == 1
    assert display.explained_variance_ratio is None
    assert not display.flat
    assert display.ax_.get_xlabel() == ""
    assert display.figure_ is display.ax_.figure


def test_latents_of_many_dimensions_come_to_the_disk_by_tangent_pca(tree):
    X, _ = tree
    tokenizer = tiny(HRQVAETokenizer, 2, SIZES, latent_dim=5).fit(X)
    display = LatentDisplay.from_estimator(tokenizer, X)
    ball = PoincareBall(1.0)
    points = ball.expmap0(tokenizer.embed(X))
    to_disk = DiskMap(ball, points)
    assert_allclose(display.latents, to_disk(points), atol=1e-12)
    assert_allclose(display.codes, to_disk(tokenizer.codebooks_[0]), atol=1e-12)
    assert "tangent PCA" in display.ax_.get_xlabel()
    assert f"magnified {to_disk.scale:.3g}-fold" in display.ax_.get_xlabel()


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_flat_latents_are_shown_by_their_principal_axes(tree, latent_dim):
    X, _ = tree
    tokenizer = tiny(RQVAETokenizer, 2, SIZES, latent_dim=latent_dim).fit(X)
    display = LatentDisplay.from_estimator(tokenizer, X)
    n_axes = min(latent_dim, 2)
    pca = PCA(n_axes).fit(tokenizer.embed(X))
    for found, vectors in [
        (display.latents, tokenizer.embed(X)),
        (display.codes, tokenizer.codebooks_[0]),
    ]:
        expected = np.abs(pca.transform(vectors))
        assert_allclose(np.abs(found[:, :n_axes]), expected, atol=1e-9)
        assert_array_equal(found[:, n_axes:], 0)
    ratio = pca.explained_variance_ratio_.sum()
    assert display.explained_variance_ratio == pytest.approx(ratio)
    assert display.ax_.get_xlabel() == (
        f"PCA of flat space, {100 * ratio:.3g} % of the variance"
    )
    assert display.flat
    assert display.rim_ is None
    assert display.ax_.get_aspect() == 1


def test_latents_of_quantizers_are_the_rows(tree):
    X, y = tree
    quantizer = HyperbolicResidualQuantizer(2, SIZES, n_init=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), quantizer).fit(X)
    display = LatentDisplay.from_estimator(pipeline, X, y)
    tree_display = PoincareDiskDisplay.from_estimator(pipeline, X, depth=1)
    assert_array_equal(display.latents, tree_display.points)
    assert_array_equal(display.codes, tree_display.codes[0])


@pytest.mark.parametrize("kind", [LatentDisplay, PoincareDiskDisplay])
def test_positions_have_the_label_of_their_row(pictures, kind):
    X, y, tokenizer = pictures
    display = kind.from_estimator(tokenizer, X, y)
    assert len(display.points_.get_offsets()) == 3 * len(X)
    assert_array_equal(display.labels, [label for label in y for _ in range(3)])
    if kind is LatentDisplay:
        latents = tokenizer.embed(X).reshape(-1, 2)
        expected = PCA(2).fit_transform(latents)
        assert_allclose(np.abs(display.latents), np.abs(expected), atol=1e-9)


def face_colors(artist, n):
    artist.update_scalarmappable()
    return np.broadcast_to(artist.get_facecolor()[:, :3], (n, 3))


@pytest.mark.parametrize(
    "convert",
    [
        list,
        lambda y: y.astype(float),
        lambda y: np.array([f"class {label}" for label in y]),
        lambda y: pd.Series(y).map("class {}".format).astype(object),
    ],
)
def test_colours_follow_the_labels(hyperbolic, tree, convert):
    X, y = tree
    display = LatentDisplay.from_estimator(hyperbolic, X, convert(y))
    colors = face_colors(display.points_, len(X))
    classes, first = np.unique(y, return_index=True)
    assert_array_equal(colors, colors[first][np.searchsorted(classes, y)])
    assert len(np.unique(colors, axis=0)) == len(classes) > 1
    handles = display.legend_.legend_handles[:-1]
    assert [to_rgba(h.get_color())[:3] for h in handles] == [
        pytest.approx(color) for color in colors[first]
    ]
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == [*map(str, np.unique(np.asarray(convert(y)).astype(str))), "code"]
    assert_array_equal(face_colors(display.codes_, 1)[0], to_rgba(INK)[:3])
    assert display.colorbar_ is None


def test_points_without_labels_have_one_colour(hyperbolic, tree):
    display = LatentDisplay.from_estimator(hyperbolic, tree[0])
    assert_array_equal(face_colors(display.points_, 1)[0], to_rgba(LINE)[:3])
    assert display.legend_ is display.colorbar_ is None


@pytest.mark.parametrize("whole", [False, True])
def test_many_numbers_are_drawn_on_a_scale(hyperbolic, tree, whole):
    X, _ = tree
    y = np.arange(len(X)) % (MOST_NAMES + 1) if whole else X[:, 0]
    display = LatentDisplay.from_estimator(hyperbolic, X, y)
    assert_array_equal(display.points_.get_array(), y)
    assert display.points_.get_clim() == (y.min(), y.max())
    assert display.points_.get_cmap().name == "viridis"
    assert display.colorbar_.mappable is display.points_
    assert display.legend_ is None
    # a number fewer, and they are classes
    if whole:
        display = LatentDisplay.from_estimator(hyperbolic, X, y % MOST_NAMES)
        assert len(display.legend_.get_texts()) == MOST_NAMES + 1


@pytest.mark.parametrize("kind", [LatentDisplay, PoincareDiskDisplay])
def test_of_many_names_a_bar_tells_some(hyperbolic, tree, kind):
    X, _ = tree
    y = np.array([f"name {row % 60:02}" for row in range(len(X))])
    legend = {"legend": True} if kind is PoincareDiskDisplay else {}
    display = kind.from_estimator(hyperbolic, X, y, **legend)
    assert display.legend_ is None
    _, bar = display.figure_.axes
    ticks = [int(tick) for tick in bar.get_yticks()]
    assert len(ticks) == MOST_NAMES
    assert (ticks[0], ticks[-1]) == (0, 59)
    names = [text.get_text() for text in bar.get_yticklabels()]
    assert names == [f"name {tick:02}" for tick in ticks]
    # each still has a colour of its own
    colors = face_colors(display.points_, len(X))
    assert len(np.unique(colors, axis=0)) == 60
    assert_array_equal(colors[:30], colors[60:])


def test_long_names_are_cut(hyperbolic, tree):
    X, _ = tree
    y = np.where(np.arange(len(X)) % 2, "long " * 20, "short")
    display = LatentDisplay.from_estimator(hyperbolic, X, y)
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names[0].startswith("long long")
    assert names[0].endswith("...")
    assert len(names[0]) <= MOST_LETTERS
    assert names[1:] == ["short", "code"]
    # the whole of the legend is in the figure, and leaves the disk its place
    figure = display.figure_
    figure.canvas.draw()
    assert display.legend_.get_window_extent().x1 <= figure.bbox.x1
    assert display.rim_.get_window_extent().width > 5 * figure.dpi


def test_latents_are_drawn_where_and_how_asked(hyperbolic, tree):
    X, y = tree
    _, (left, right) = plt.subplots(1, 2)
    display = LatentDisplay.from_estimator(
        hyperbolic,
        X,
        y,
        ax=left,
        point_kwargs={"s": 3, "color": "red"},
        code_kwargs={"marker": "o", "linewidths": 2.5},
    )
    assert display.ax_ is left
    assert_array_equal(display.points_.get_sizes(), [3])
    assert_array_equal(face_colors(display.points_, 1)[0], to_rgba("red")[:3])
    assert_array_equal(display.codes_.get_linewidth(), [2.5])
    assert display.plot(ax=right, cmap="plasma") is display
    assert display.ax_ is right
    first = matplotlib.colormaps["plasma"](0)
    assert_allclose(face_colors(display.points_, len(X))[y == y.min()][0], first[:3])


# what is refused


DISPLAYS = [CodebookUsageDisplay, LatentDisplay, ReconstructionDisplay]


@pytest.mark.parametrize("pipe", [False, True])
@pytest.mark.parametrize("display", DISPLAYS)
def test_an_unfitted_estimator_is_refused(display, pipe):
    quantizer = ResidualQuantizer()
    with pytest.raises(NotFittedError):
        display.from_estimator(
            make_pipeline(quantizer) if pipe else quantizer, np.eye(3)
        )


@pytest.mark.parametrize(
    ("display", "message"),
    [
        (CodebookUsageDisplay, "got KMeans.*from_codes"),
        (LatentDisplay, "got KMeans.*PoincareDiskDisplay.from_points"),
        (ReconstructionDisplay, "KMeans has no inverse_transform"),
    ],
)
def test_an_estimator_without_codes_is_refused(tree, display, message):
    kmeans = KMeans(2, n_init=1, random_state=0).fit(tree[0])
    with pytest.raises(TypeError, match=message):
        display.from_estimator(kmeans, tree[0])


@pytest.mark.parametrize("display", DISPLAYS)
def test_rows_must_be_those_of_the_estimator(flat, display):
    with pytest.raises(ValueError, match="expecting 16 features"):
        display.from_estimator(flat, np.zeros((5, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples=0"),
        ({"n_samples": 2.0}, r"n_samples=2\.0"),
        ({"depths": 1}, "depths=1 must be None or integers"),
        ({"depths": []}, r"depths=\[\]"),
        ({"depths": [0]}, r"depths=\[0\]"),
        ({"depths": [1, 3]}, r"the 2 fitted levels, such as \[1, 2\]"),
        ({"depths": [1.5]}, r"depths=\[1\.5\]"),
        ({"depths": "12"}, "depths='12'"),
        ({"input_shape": 16}, "input_shape=16 must be"),
        ({"input_shape": (16,)}, r"\(channels, length\)"),
        ({"input_shape": (2, 4, 2)}, "1 or 3 channels"),
        ({"input_shape": (1, 4.0, 4)}, "input_shape="),
        ({"input_shape": (-1, -4, 4)}, "input_shape="),
        ({"input_shape": (1, 4, 5)}, "has 20 values, but X has 16 features"),
        ({"input_shape": (1, 17)}, "has 17 values, but X has 16 features"),
    ],
)
def test_wrong_arguments_of_reconstructions(flat, tree, arguments, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(flat, tree[0], **arguments)


def test_pictures_must_be_rows(pictures):
    X, _, tokenizer = pictures
    for display in DISPLAYS:
        with pytest.raises(ValueError, match=r"X.reshape\(len\(X\), -1\)"):
            display.from_estimator(tokenizer, X.reshape(-1, 1, 4, 12))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(89), r"y must have shape \(90,\)"),
        (np.zeros((90, 2)), r"y\[:, 0\]"),
        (np.full(90, np.nan), "nan"),
    ],
)
def test_wrong_labels(hyperbolic, tree, y, message):
    with pytest.raises(ValueError, match=message):
        LatentDisplay.from_estimator(hyperbolic, tree[0], y)


@pytest.mark.parametrize(
    ("codes", "size", "message"),
    [
        ([0, 1], 2, "shape"),
        ([[0.0, 1.0]], 2, "integers"),
        ([[0, 4]], 4, "token 4"),
        ([[0, 1]], [4, 4, 4], "codebook_size"),
    ],
)
def test_wrong_codes(codes, size, message):
    with pytest.raises(ValueError, match=message):
        CodebookUsageDisplay.from_codes(codes, size)


def test_without_matplotlib_it_says_what_to_install(monkeypatch, flat, tree):
    monkeypatch.setattr(_checks, "find_spec", lambda name: None)
    for display in DISPLAYS:
        message = rf"{display.__name__}\.from_estimator needs.*pip install matplotlib"
        with pytest.raises(ImportError, match=message):
            display.from_estimator(flat, tree[0])
    with pytest.raises(ImportError, match=r"CodebookUsageDisplay\.from_codes needs"):
        CodebookUsageDisplay.from_codes([[0]], 1)
