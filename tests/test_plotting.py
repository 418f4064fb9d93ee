"""The figures: what is computed, what is drawn, and what is refused."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper.datasets import make_hyperbolic_blobs, make_tree
from skhyper.hierarchy import HierarchyTokenizer
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.plotting import PoincareDiskDisplay, _checks
from skhyper.plotting._colors import choose_colors
from skhyper.plotting._disk import INK
from skhyper.plotting._geometry import DISK, DiskMap, fit_scale, geodesic, tangent_pca
from skhyper.quantizers import HyperbolicResidualQuantizer, ResidualQuantizer
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

pytestmark = pytest.mark.filterwarnings("error")

CURVATURES = [0.01, 1.0, 2.7]
SIZES = [4, 3, 2]

disk_points = arrays(
    np.float64, (2,), elements=st.floats(-0.7, 0.7, allow_subnormal=False)
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def blobs():
    """Points of a disk of curvature 2.7, and a tree of three levels over them."""
    X, y = make_hyperbolic_blobs(
        120, centers=4, center_radius=0.6, curvature=2.7, random_state=0
    )
    quantizer = HyperbolicResidualQuantizer(
        3, SIZES, curvature=2.7, input_geometry="ball", n_init=1, random_state=0
    ).fit(X)
    return X, y, quantizer


@pytest.fixture(scope="module")
def tree():
    """Features of 16 dimensions and the two quantizers fitted on them."""
    X, y = make_tree(150, random_state=0)
    fitted = [
        kind(3, SIZES, n_init=1, random_state=0).fit(X)
        for kind in (HyperbolicResidualQuantizer, ResidualQuantizer)
    ]
    return X, y, *fitted


def hyperbolic_points(n, n_features, c, seed=0):
    rng = np.random.default_rng(seed)
    return PoincareBall(c).expmap0(rng.normal(0.3, 0.7, (n, n_features)) / c**0.5)


# arcs


@given(disk_points, disk_points)
@settings(max_examples=100)
def test_geodesic_is_the_shortest_way_at_an_even_pace(x, y):
    arc = geodesic(x, y, 9)
    assert_array_equal(arc[[0, -1]], [x, y])
    to_x, to_y = DISK.dist(x, arc), DISK.dist(arc, y)
    assert_allclose(to_x + to_y, DISK.dist(x, y), rtol=1e-9, atol=1e-12)
    assert_allclose(to_x, np.linspace(0, 1, 9) * DISK.dist(x, y), rtol=1e-9, atol=1e-12)


@given(disk_points, disk_points)
@settings(max_examples=100)
def test_geodesic_meets_the_rim_at_right_angles(x, y):
    # The circle a . z = (1 + |z|^2) / 2 has centre a and radius sqrt(|a|^2 - 1), so
    # that its radii at the rim are tangents of the rim. Straight lines have no a.
    lines = np.stack([x, y])
    assume(abs(np.linalg.det(lines)) > 1e-3)
    arc = geodesic(x, y, 7)
    center = np.linalg.solve(lines, (1 + np.sum(lines**2, axis=1)) / 2)
    radius = np.sqrt(center @ center - 1)
    assert_allclose(np.linalg.norm(arc - center, axis=1), radius, rtol=1e-8)


def test_geodesic_through_the_centre_is_straight():
    arc = geodesic(np.array([-0.5, -0.5]), np.array([0.3, 0.3]))
    assert arc.shape == (32, 2)
    assert_allclose(arc[:, 0], arc[:, 1], atol=1e-15)


def test_geodesics_come_in_bundles_and_may_have_no_length():
    x = np.array([[0.1, 0.2], [0.5, 0.0]])
    assert_allclose(geodesic(x, x, 4), np.repeat(x[:, None], 4, axis=1), rtol=1e-15)
    both = geodesic(x, x[::-1], 5)
    assert_array_equal(both[1], geodesic(x[1], x[0], 5))


# tangent PCA


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("n_features", [2, 3, 7])
def test_tangent_pca_is_an_isometry_of_geodesic_planes_through_the_mean(c, n_features):
    ball = PoincareBall(c)
    rng = np.random.default_rng(1)
    flat = rng.normal(0, 0.6, (40, 2)) / c**0.5
    frame = np.linalg.qr(rng.normal(size=(n_features, 2)))[0]
    place = ball.expmap0(rng.normal(0, 0.3, n_features) / c**0.5)
    points = ball.add(place, ball.expmap0(flat @ frame.T))

    plane = tangent_pca(ball, points)
    assert plane.explained_variance_ratio == pytest.approx(1.0, abs=1e-12)
    v = plane.coordinates(points)
    assert_allclose(2 * np.linalg.norm(v, axis=1), ball.dist(plane.mean, points))
    # at radius 1, with lengths in radii of curvature
    shown = DISK.expmap0(c**0.5 * v)
    assert_allclose(
        DISK.pairwise_dist(shown, shown) / c**0.5,
        ball.pairwise_dist(points, points),
        rtol=1e-6,
        atol=1e-9,
    )


def test_tangent_pca_of_flat_space_is_pca():
    X, _ = make_tree(80, random_state=3)
    pca = PCA(2).fit(X)
    plane = tangent_pca(Euclidean(), X)
    assert_allclose(plane.explained_variance_ratio, pca.explained_variance_ratio_.sum())
    assert_allclose(np.abs(plane.coordinates(X)), np.abs(pca.transform(X)), atol=1e-9)


def test_tangent_pca_tends_to_pca_as_the_curvature_falls():
    X, _ = make_tree(80, random_state=3)
    flat = tangent_pca(Euclidean(), X)
    near = tangent_pca(PoincareBall(1e-8), X)
    assert_allclose(near.coordinates(X), flat.coordinates(X), atol=1e-4)


def test_axes_have_a_sign_of_their_own():
    points = hyperbolic_points(30, 5, 1.0)
    plane = tangent_pca(PoincareBall(1.0), points)
    assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    largest = np.abs(plane.axes).argmax(axis=1)
    assert np.all(plane.axes[[0, 1], largest] > 0)
    again = tangent_pca(PoincareBall(1.0), points[::-1])
    assert_allclose(again.axes, plane.axes, atol=1e-9)


@pytest.mark.parametrize("n_points", [1, 5])
def test_tangent_pca_of_a_single_place(n_points):
    points = np.tile(hyperbolic_points(1, 4, 1.0), (n_points, 1))
    to_disk = DiskMap(PoincareBall(1.0), points)
    assert to_disk.explained_variance_ratio == 1.0
    assert to_disk.scale == 1.0
    assert_allclose(to_disk(points), 0.0, atol=1e-12)


# to the disk


@pytest.mark.parametrize("c", CURVATURES)
def test_points_of_a_disk_are_shown_as_they_are(c):
    points = hyperbolic_points(20, 2, c)
    to_disk = DiskMap(PoincareBall(c), points)
    assert to_disk.exact
    assert to_disk.scale == 1.0
    assert to_disk.explained_variance_ratio is None
    assert_allclose(to_disk(points), points * c**0.5, rtol=1e-15)


def test_points_of_a_line_lie_on_the_horizontal():
    points = hyperbolic_points(9, 1, 1.0)
    shown = DiskMap(PoincareBall(1.0), points)(points)
    assert_array_equal(shown, np.column_stack([points, np.zeros(9)]))
    flat = DiskMap(Euclidean(), points)(points)
    assert flat.shape == (9, 2)
    assert_array_equal(flat[:, 1], 0.0)


@pytest.mark.parametrize("n_features", [2, 5])
def test_scale_multiplies_distances_from_the_centre(n_features):
    points = hyperbolic_points(20, n_features, 1.0)
    once, thrice = (DiskMap(PoincareBall(1.0), points, s)(points) for s in (1.0, 3.0))
    center = np.zeros(2)
    assert_allclose(DISK.dist(center, thrice), 3 * DISK.dist(center, once), rtol=1e-6)
    assert_allclose(
        np.arctan2(*thrice.T), np.arctan2(*once.T), rtol=1e-9, err_msg="directions"
    )


@pytest.mark.parametrize("manifold", [PoincareBall(0.5), Euclidean()])
def test_auto_scale_fills_the_disk(manifold):
    points = 1e-3 * np.random.default_rng(0).normal(size=(400, 6))
    to_disk = DiskMap(manifold, points)
    radius = np.linalg.norm(to_disk(points), axis=1)
    assert np.quantile(radius, 0.95) == pytest.approx(0.9, abs=0.005)
    assert radius.max() < 1


def test_fit_scale_of_no_length():
    assert fit_scale(np.zeros((4, 2))) == 1.0


# what from_estimator computes


def test_nodes_lie_where_prefixes_are_decoded(blobs):
    X, _, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(quantizer, X)
    assert_allclose(display.points, X * 2.7**0.5, rtol=1e-12)
    tokens = quantizer.transform(X)
    assert len(display.codes) == 3
    for m, codes in enumerate(display.codes, start=1):
        prefixes = np.unique(tokens[:, :m], axis=0)
        decoded = quantizer.inverse_transform(prefixes) * 2.7**0.5
        assert_allclose(codes, decoded, rtol=1e-12)
    assert display.explained_variance_ratio is None
    assert display.scale == 1.0
    assert display.ax_.get_xlabel() == ""


def test_edges_join_each_prefix_to_the_one_a_token_longer(blobs):
    X, _, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(quantizer, X)
    tokens = quantizer.transform(X)
    assert len(display.edges) == 2
    for m, edges in enumerate(display.edges, start=2):
        children = np.unique(tokens[:, :m], axis=0)
        parents = quantizer.inverse_transform(children[:, :-1]) * 2.7**0.5
        assert_allclose(edges[:, 0], parents, rtol=1e-12)
        assert_array_equal(edges[:, 1], display.codes[m - 1])


def test_root_is_the_origin_and_joins_the_first_level(blobs):
    X, _, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(quantizer, X, root=True, depth=1)
    assert_array_equal(display.root, [[0.0, 0.0]])
    (edges,) = display.edges
    assert_array_equal(edges[:, 0], 0.0)
    assert_array_equal(edges[:, 1], display.codes[0])
    assert isinstance(display.root_, PathCollection)
    assert len(display.edges_) == 1


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_depth_limits_the_tree(blobs, depth):
    X, _, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(quantizer, X, depth=depth)
    assert len(display.codes) == len(display.codes_) == depth
    assert len(display.edges) == len(display.edges_) == depth - 1
    assert display.root is None
    assert display.root_ is None


@pytest.mark.parametrize("flat", [False, True])
def test_many_dimensions_say_what_was_done_to_them(tree, flat):
    X, _, hyperbolic, euclidean = tree
    display = PoincareDiskDisplay.from_estimator(euclidean if flat else hyperbolic, X)
    assert 0 < display.explained_variance_ratio < 1
    assert np.all(np.linalg.norm(display.points, axis=1) < 1)
    label = display.ax_.get_xlabel()
    share = f"{100 * display.explained_variance_ratio:.3g} % of the variance"
    assert label.startswith("PCA of flat space" if flat else "tangent PCA")
    assert share in label
    assert label.endswith(f"magnified {display.scale:.3g}-fold")
    unscaled = PoincareDiskDisplay.from_estimator(hyperbolic, X, scale=1.0)
    assert "magnified" not in unscaled.ax_.get_xlabel()


def test_a_pipeline_shows_its_last_step(tree):
    X, *_ = tree
    quantizer = HyperbolicResidualQuantizer(2, 4, n_init=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), quantizer).fit(X)
    display = PoincareDiskDisplay.from_estimator(pipeline, X)
    scaled = StandardScaler().fit_transform(X)
    alone = PoincareDiskDisplay.from_estimator(quantizer, scaled)
    assert_array_equal(display.points, alone.points)
    only = make_pipeline(quantizer)
    assert_array_equal(
        PoincareDiskDisplay.from_estimator(only, scaled).points, alone.points
    )


@pytest.mark.parametrize("kind", [HRQVAETokenizer, RQVAETokenizer])
@pytest.mark.parametrize("latent_dim", [2, 4])
def test_tokenizers_show_their_latent_space(tree, kind, latent_dim):
    X, *_ = tree
    tokenizer = kind(
        2,
        4,
        latent_dim=latent_dim,
        hidden_layer_sizes=8,
        max_iter=2,
        random_state=0,
        device="cpu",
    ).fit(X)
    display = PoincareDiskDisplay.from_estimator(tokenizer, X)
    assert display.flat is (kind is RQVAETokenizer)
    assert_array_equal(display.labels, tokenizer.predict(X))
    codes = np.unique(tokenizer.transform(X), axis=0)
    assert len(display.codes[1]) == len(codes)
    if display.explained_variance_ratio is None:
        latents = DISK.expmap0(tokenizer.embed(X))
        assert_allclose(display.points, latents, rtol=1e-12)
        first = tokenizer.codebooks_[0][np.unique(codes[:, 0])]
        assert_allclose(display.codes[0], first, rtol=1e-12)


@pytest.mark.parametrize("geometry", ["hyperbolic", "euclidean"])
def test_a_hierarchy_shows_the_codes_of_its_nodes(geometry):
    edges = [("b", "a"), ("c", "a"), ("d", "b"), ("e", "b"), ("f", "c"), ("g", "c")]
    tokenizer = HierarchyTokenizer(
        2, 2, latent_dim=2, geometry=geometry, max_iter=4, random_state=0
    ).fit(edges)
    nodes = ["g", "a", "d"]
    display = PoincareDiskDisplay.from_estimator(tokenizer, nodes, root=True)
    assert display.flat is (geometry == "euclidean")
    codes = tokenizer.transform(nodes)
    assert_array_equal(display.labels, codes[:, 0])
    assert len(display.codes[1]) == len(np.unique(codes, axis=0))
    if not display.flat:
        assert_allclose(display.points, tokenizer.embedding_[[6, 0, 3]], rtol=1e-12)
        first = tokenizer.codebooks_[0][np.unique(codes[:, 0])]
        assert_allclose(display.codes[0], first, rtol=1e-9)
    with pytest.raises(ValueError, match="'zebra'"):
        PoincareDiskDisplay.from_estimator(tokenizer, ["zebra"])


# what is drawn


def test_every_part_is_drawn(blobs):
    X, _, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(quantizer, X)
    assert display.figure_ is display.ax_.figure
    assert display.rim_.get_radius() == 1.0
    assert display.rim_ in display.ax_.patches
    assert_array_equal(display.points_.get_offsets(), display.points)
    for artist, nodes in zip(display.codes_, display.codes, strict=True):
        assert_array_equal(artist.get_offsets(), nodes)
    for artist, edges in zip(display.edges_, display.edges, strict=True):
        assert isinstance(artist, LineCollection)
        ends = np.array([segment[[0, -1]] for segment in artist.get_segments()])
        assert_allclose(ends, edges, atol=1e-12)
    sizes = [artist.get_sizes()[0] for artist in display.codes_]
    assert sizes == sorted(sizes, reverse=True)
    assert display.ax_.get_aspect() == 1.0
    assert display.ax_.get_xlim() == display.ax_.get_ylim()
    assert display.legend_ is None
    display.figure_.canvas.draw()


def test_plot_draws_again_elsewhere(blobs):
    X, _, quantizer = blobs
    _, (left, right) = plt.subplots(1, 2)
    display = PoincareDiskDisplay.from_estimator(quantizer, X, ax=left)
    assert display.ax_ is left
    assert display.plot(ax=right) is display
    assert display.ax_ is right


def face_colors(artist, n):
    artist.update_scalarmappable()
    return np.broadcast_to(artist.get_facecolor()[:, :3], (n, 3))


def test_first_tokens_colour_points_and_nodes_alike(blobs):
    X, _, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(quantizer, X)
    tokens = quantizer.transform(X)
    assert_array_equal(display.labels, tokens[:, 0])
    of_points = face_colors(display.points_, len(X))
    for m, artist in enumerate(display.codes_, start=1):
        prefixes = np.unique(tokens[:, :m], axis=0)
        for prefix, color in zip(
            prefixes, face_colors(artist, len(prefixes)), strict=True
        ):
            same = of_points[tokens[:, 0] == prefix[0]]
            assert_array_equal(same, np.broadcast_to(color, same.shape))
    assert len(np.unique(of_points, axis=0)) == SIZES[0]


@pytest.mark.parametrize(
    "convert",
    [np.asarray, list, lambda y: y.astype(float), lambda y: pd.Series(y).astype(str)],
)
def test_labels_colour_the_points(blobs, convert):
    X, y, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(
        quantizer, X, convert(y), legend=True, depth=1
    )
    colors = face_colors(display.points_, len(X))
    classes, first = np.unique(y, return_index=True)
    assert_array_equal(colors, colors[first][y])
    assert len(np.unique(colors, axis=0)) == len(classes)
    # the nodes have no label
    assert_array_equal(face_colors(display.codes_[0], SIZES[0])[0], to_rgba(INK)[:3])
    handles = display.legend_.legend_handles
    assert [to_rgba(h.get_color())[:3] for h in handles] == [
        pytest.approx(color) for color in colors[first]
    ]
    assert len(display.legend_.get_texts()) == len(classes)


def test_measurements_are_drawn_on_a_scale(blobs):
    X, _, quantizer = blobs
    radius = np.linalg.norm(X, axis=1)
    display = PoincareDiskDisplay.from_estimator(quantizer, X, radius, legend=True)
    assert_array_equal(display.points_.get_array(), radius)
    assert display.points_.get_cmap().name == "viridis"
    assert display.points_.get_clim() == (radius.min(), radius.max())
    assert len(display.figure_.axes) == 2
    assert display.legend_ is None


@pytest.mark.parametrize("n_classes", [1, 10, 11, 64])
def test_classes_have_colours_of_their_own(n_classes):
    names = np.arange(n_classes)[::-1] * 3
    colors = choose_colors(np.repeat(names, 2))
    assert len({tuple(np.round(colors.of(name), 6)) for name in names}) == n_classes


@pytest.mark.parametrize("cmap", ["tab20", "plasma", matplotlib.colormaps["Set3"]])
def test_cmap_is_the_users(cmap):
    colors = choose_colors(np.arange(5), cmap)
    chosen = matplotlib.colormaps.get_cmap(cmap)
    assert to_rgba(colors.of(0)) == to_rgba(chosen(0))
    assert len({tuple(colors.of(i)) for i in range(5)}) == 5


def test_keyword_arguments_reach_the_artists_under_any_alias(blobs):
    X, y, quantizer = blobs
    display = PoincareDiskDisplay.from_estimator(
        quantizer,
        X,
        y,
        point_kwargs={"c": "red", "s": 3, "alpha": 1},
        code_kwargs={"linewidths": 2.5, "color": "k", "marker": "s"},
        line_kwargs={"lw": 3, "colors": "blue"},
    )
    assert_array_equal(display.points_.get_facecolor(), [to_rgba("red")])
    assert_array_equal(display.points_.get_sizes(), [3])
    assert_array_equal(display.codes_[0].get_linewidth(), [2.5])
    assert_array_equal(display.codes_[1].get_facecolor(), [to_rgba("k")])
    assert_array_equal(display.edges_[0].get_linewidth(), [3])
    assert_array_equal(display.edges_[0].get_color()[0][:3], to_rgba("blue")[:3])


# from_points


def test_from_points_joins_rows_by_geodesics():
    points = hyperbolic_points(6, 2, 2.0)
    edges = [[0, 1], [1, 5], [2, 3]]
    display = PoincareDiskDisplay.from_points(points, edges=edges, curvature=2.0)
    assert_array_equal(display.edges[0], (points * 2.0**0.5)[np.array(edges)])
    assert display.labels is None
    assert display.codes_ == []
    assert len(display.edges_[0].get_segments()) == 3
    assert_array_equal(display.points_.get_facecolor()[0, :3], to_rgba(INK)[:3])


def test_from_points_of_many_dimensions():
    points = hyperbolic_points(50, 9, 1.0)
    y = np.arange(50) % 3
    display = PoincareDiskDisplay.from_points(points, y)
    assert display.points.shape == (50, 2)
    assert "tangent PCA" in display.ax_.get_xlabel()
    assert_array_equal(display.points_.get_array(), y)
    assert display.edges_ == []


# what is refused


@pytest.mark.parametrize("pipe", [False, True])
def test_an_unfitted_estimator_is_refused(pipe):
    quantizer = HyperbolicResidualQuantizer()
    with pytest.raises(NotFittedError):
        PoincareDiskDisplay.from_estimator(
            make_pipeline(quantizer) if pipe else quantizer, np.eye(3)
        )


def test_an_estimator_without_codes_is_refused(tree):
    X, *_ = tree
    kmeans = KMeans(2, n_init=1, random_state=0).fit(X)
    with pytest.raises(TypeError, match="got KMeans"):
        PoincareDiskDisplay.from_estimator(kmeans, X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth=0"),
        ({"depth": 4}, "depth=4"),
        ({"depth": 1.5}, "depth=1.5"),
        ({"scale": 0}, "scale=0"),
        ({"scale": np.inf}, "scale=inf"),
        ({"scale": "fit"}, "scale='fit'"),
        ({"y": [1, 2]}, r"y must have shape \(150,\)"),
        ({"y": np.zeros((150, 2))}, r"y\[:, 0\]"),
        ({"y": np.full(150, np.nan)}, "nan"),
    ],
)
def test_wrong_arguments_of_from_estimator(tree, arguments, message):
    X, _, quantizer, _ = tree
    with pytest.raises(ValueError, match=message):
        PoincareDiskDisplay.from_estimator(quantizer, X, **arguments)


def test_rows_must_be_those_of_the_estimator(tree):
    with pytest.raises(ValueError, match="expecting 16 features"):
        PoincareDiskDisplay.from_estimator(tree[2], np.zeros((5, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [[1.0, 0.2]]}, "points has 1 of 1 points outside"),
        ({"points": [[np.nan, 0.2]]}, "points"),
        ({"edges": [[0, 4]]}, "rows from 0 to 3"),
        ({"edges": [[-1, 0]]}, "rows from 0 to 3"),
        ({"edges": [[0.0, 1.0]]}, "integers"),
        ({"edges": [0, 1]}, "shape"),
        ({"curvature": 0.0}, "curvature"),
    ],
)
def test_wrong_arguments_of_from_points(arguments, message):
    with pytest.raises(ValueError, match=message):
        PoincareDiskDisplay.from_points(**{"points": np.zeros((4, 2)), **arguments})


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_checks, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        PoincareDiskDisplay.from_points([[0.0, 0.0]])
