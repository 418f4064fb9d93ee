"""The bundled data against its source's rules, the generators against theirs."""

import math
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skhyper.datasets import load_naics, make_hyperbolic_blobs, make_tree
from skhyper.manifolds import PoincareBall

LEVEL_SIZES = [20, 96, 308, 689, 1012]
LEVEL_NAMES = ["sector", "subsector", "industry_group", "industry"]


@pytest.fixture(scope="module")
def tree():
    """Every node of NAICS."""
    return load_naics(nodes="all")


@pytest.fixture(scope="module")
def industries():
    """The leaves of NAICS."""
    return load_naics()


def neighbours(X, k=10):
    """Rows of the k nearest others by cosine."""
    unit = X.astype(np.float64) / np.linalg.norm(X, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1)[:, :k]


def test_naics_shapes_and_dtypes(tree, industries):
    for bunch, n in ((tree, 2125), (industries, 1012)):
        assert bunch.data.shape == (n, 384)
        assert bunch.data.dtype == np.float32
        assert bunch.target.shape == (n, 4)
        assert bunch.target.dtype == np.int64
        assert bunch.codes.shape == bunch.titles.shape == bunch.descriptions.shape
        assert bunch.codes.shape == (n,)
        assert bunch.target_names == LEVEL_NAMES
        assert len(set(bunch.feature_names)) == 384
        assert bunch.frame is None
    assert tree.parents.shape == tree.levels.shape == (2125,)
    assert tree.parents.dtype == tree.levels.dtype == np.int64
    assert "parents" not in industries
    assert "levels" not in industries


def test_naics_is_a_strict_tree(tree):
    assert len(set(tree.codes)) == 2125
    assert [Counter(tree.levels)[level] for level in range(1, 6)] == LEVEL_SIZES
    roots = tree.parents == -1
    assert_array_equal(tree.levels[roots], 1)
    assert_array_equal(tree.levels[~roots], tree.levels[tree.parents[~roots]] + 1)
    assert np.all(tree.parents < np.arange(2125))
    # Every node that is not a national industry has a child.
    assert set(tree.parents[~roots]) == set(np.flatnonzero(tree.levels < 5))


def test_naics_codes_extend_their_parents(tree):
    # The rule of the classification itself, which the loader does not use.
    for code, level, parent in zip(tree.codes, tree.levels, tree.parents, strict=True):
        if level == 1:
            continue
        above = tree.codes[parent]
        if level == 2:
            first, _, last = above.partition("-")
            assert int(first) <= int(code[:2]) <= int(last or first)
        else:
            assert above == code[:-1]
        assert len(code) == level + 1


@pytest.mark.parametrize("nodes", ["industries", "all"])
def test_naics_targets_are_the_ancestors(tree, nodes):
    bunch = load_naics(nodes=nodes)
    row_of = {code: row for row, code in enumerate(tree.codes)}
    for code, labels in zip(bunch.codes, bunch.target, strict=True):
        chain = []
        node = row_of[code]
        while node >= 0:
            chain.append(node)
            node = tree.parents[node]
        chain = chain[::-1][:4]
        expected = [tree.codes[row] for row in chain]
        found = [
            c[i] for c, i in zip(bunch.target_codes, labels, strict=True) if i >= 0
        ]
        assert found == expected
        assert_array_equal(labels[len(chain) :], -1)
        titles = [bunch.target_titles[i][label] for i, label in enumerate(labels)]
        assert titles[: len(chain)] == [tree.titles[row] for row in chain]


def test_naics_classes_are_numbered_densely_and_alike(tree, industries):
    for column, size in enumerate(LEVEL_SIZES[:4]):
        assert set(industries.target[:, column]) == set(range(size))
        assert len(industries.target_codes[column]) == size
        assert_array_equal(industries.target_codes[column], tree.target_codes[column])
    leaves = tree.levels == 5
    assert_array_equal(tree.target[leaves], industries.target)
    assert_array_equal(tree.codes[leaves], industries.codes)
    assert_array_equal(tree.data[leaves], industries.data)


def test_naics_embeddings_are_unit_and_in_the_order_of_the_texts(tree):
    lengths = np.linalg.norm(tree.data.astype(np.float64), axis=1)
    assert_allclose(lengths, 1.0, atol=1e-4)
    rows_of = defaultdict(list)
    for row, text in enumerate(zip(tree.titles, tree.descriptions, strict=True)):
        rows_of[text].append(row)
    assert len(rows_of) == 2125 - 522
    firsts = [rows[0] for rows in rows_of.values()]
    assert len(np.unique(tree.data[firsts], axis=0)) == len(firsts)
    similarity = [
        tree.data[rows[0]] @ tree.data[row]
        for rows in rows_of.values()
        for row in rows[1:]
    ]
    # Equal texts have equal vectors, but for 5 whose title had a mark in the source.
    assert min(similarity) > 0.95
    assert sum(value > 0.9995 for value in similarity) == 517


def test_naics_leaves_are_distinct(industries):
    texts = set(zip(industries.titles, industries.descriptions, strict=True))
    assert len(texts) == 1012
    assert len(np.unique(industries.data, axis=0)) == 1012


def test_naics_text_is_clean(tree):
    for text in (*tree.titles, *tree.descriptions):
        assert text == " ".join(text.split())
        assert "Cross-References" not in text
        assert text != "NULL"
        assert "<" not in text
    assert not any(title.endswith(")T") for title in tree.titles)
    assert all(tree.titles)
    empty = np.array([not text for text in tree.descriptions])
    assert empty.sum() == 154
    assert set(tree.levels[empty]) == {3}


def test_naics_description_states_what_the_data_show(tree, industries):
    nearest = neighbours(industries.data)
    for labels, stated in zip(industries.target.T, (71.1, 45.1, 21.6), strict=False):
        agreement = 100 * np.mean(labels[nearest] == labels[:, None])
        assert agreement == pytest.approx(stated, abs=0.1)
        assert f"{stated} %" in " ".join(industries.DESCR.split())
    children = Counter(tree.parents[tree.parents >= 0])
    only = [i for i, p in enumerate(tree.parents) if p >= 0 and children[p] == 1]
    above = tree.parents[only]
    assert len(only) == 690
    assert_array_equal(tree.titles[only], tree.titles[above])
    repeats = tree.descriptions[only] == tree.descriptions[above]
    assert repeats.sum() == 522
    assert_array_equal(tree.levels[only][repeats], 5)
    for words in (
        "690",
        "522",
        "154",
        "public domain",
        "all-MiniLM-L6-v2",
        "64 tokens",
    ):
        assert words in tree.DESCR


def test_naics_example_is_right(industries):
    row = list(industries.codes).index("331110")
    sector, subsector = (
        industries.target_codes[i][industries.target[row, i]] for i in (0, 1)
    )
    assert (sector, subsector) == ("31-33", "331")
    assert industries.target_titles[0][industries.target[row, 0]] == "Manufacturing"


def test_naics_as_pair_and_as_frames(industries):
    X, y = load_naics(return_X_y=True)
    assert_array_equal(X, industries.data)
    assert_array_equal(y, industries.target)
    bunch = load_naics(as_frame=True)
    assert list(bunch.data.columns) == industries.feature_names
    assert list(bunch.target.columns) == LEVEL_NAMES
    assert list(bunch.frame.columns) == industries.feature_names + LEVEL_NAMES
    assert set(bunch.data.dtypes) == {np.dtype(np.float32)}
    assert_array_equal(bunch.frame[LEVEL_NAMES], industries.target)
    X, y = load_naics(return_X_y=True, as_frame=True)
    assert X.equals(bunch.data)
    assert y.equals(bunch.target)


def test_naics_without_pandas_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert load_naics().data.shape == (1012, 384)
    with pytest.raises(ImportError, match="as_frame=True needs pandas: pip install"):
        load_naics(as_frame=True)


def test_naics_unknown_nodes_are_named():
    with pytest.raises(
        ValueError, match="nodes must be 'industries' or 'all', got 'x'"
    ):
        load_naics(nodes="x")


def test_naics_calls_share_nothing():
    first = load_naics()
    first.data[:] = 0
    first.target_names.append("x")
    assert load_naics().data.any()
    assert load_naics().target_names == LEVEL_NAMES


def test_datasets_and_metrics_import_without_torch():
    code = (
        "import sys, skhyper.datasets, skhyper.metrics; print('torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True
    )
    assert found.stdout.split() == [b"False"]


def test_tree_labels_are_a_balanced_path():
    X, y = make_tree(1000, 5, branching=3, depth=4, random_state=0)
    assert X.shape == (1000, 5)
    assert X.dtype == np.float64
    assert y.shape == (1000, 4)
    assert y.dtype == np.int64
    for level in range(4):
        assert set(y[:, level]) == set(range(3 ** (level + 1)))
    assert_array_equal(y[:, 1:] // 3, y[:, :-1])
    assert set(Counter(y[:, -1]).values()) == {12, 13}
    # The order is random: the leaves do not come in turn.
    assert len(set(y[:81, -1])) < 81


def test_tree_without_noise_is_its_leaves():
    X, y = make_tree(60, 4, branching=3, depth=2, noise=0.0, random_state=1)
    leaves, leaf_of = np.unique(X, axis=0, return_inverse=True)
    assert len(leaves) == 9
    assert len({*zip(leaf_of, y[:, -1], strict=True)}) == 9


def test_tree_steps_shrink_by_the_factor_and_noise_is_as_stated():
    branching, decay, noise = 40, 0.3, 0.05
    X, y = make_tree(
        8000, 30, branching=branching, depth=2, decay=decay, noise=noise, random_state=0
    )
    leaves = np.array([X[y[:, 1] == leaf].mean(axis=0) for leaf in range(branching**2)])
    families = leaves.reshape(branching, branching, -1)
    middles = families.mean(axis=1)
    # ddof: the mean takes one degree of freedom from its group.
    scatter = (X - leaves[y[:, 1]]).std() * math.sqrt(5 / 4)
    assert scatter == pytest.approx(noise, rel=0.02)
    last = (families - middles[:, None]).std() * math.sqrt(branching / (branching - 1))
    assert last == pytest.approx(math.hypot(decay, noise / math.sqrt(5)), rel=0.02)
    assert middles.std() == pytest.approx(1.0, rel=0.05)
    assert abs(middles.mean()) < 0.1


def test_tree_neighbours_share_fine_labels_less_than_coarse():
    X, y = make_tree(random_state=0)
    distance = np.linalg.norm(X[:, None] - X, axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :10]
    agreement = [np.mean(labels[nearest] == labels[:, None]) for labels in y.T]
    assert agreement == sorted(agreement, reverse=True)
    assert agreement[0] == 1.0
    assert agreement[-1] > 0.95


def test_tree_with_fewer_samples_than_leaves_takes_them_from_all_over():
    _, y = make_tree(20, 2, branching=10, depth=3, random_state=0)
    assert len(set(y[:, -1])) == 20
    assert len(set(y[:, 0])) > 5


def disk(points):
    """Points of the plane as complex numbers."""
    return points @ np.array([1, 1j])


def translate(p, z):
    """Translation of the unit disk that takes 0 to p."""
    return (p + z) / (1 + np.conj(p) * z)


def test_blobs_are_wrapped_normals_about_their_centers():
    X, y, centers = make_hyperbolic_blobs(
        30000, 2, centers=4, cluster_std=0.4, return_centers=True, random_state=0
    )
    assert X.dtype == np.float64
    assert y.dtype == np.int64
    assert Counter(y) == dict.fromkeys(range(4), 7500)
    assert_allclose(np.abs(disk(centers)), np.tanh(1.5), rtol=1e-12)
    moved = translate(-disk(centers)[y], disk(X))
    length = np.abs(moved)
    v = moved / length * np.arctanh(length)
    for part in (v.real, v.imag):
        assert part.std() == pytest.approx(0.4, rel=0.02)
        assert abs(part.mean()) < 0.01
    assert abs(np.corrcoef(v.real, v.imag)[0, 1]) < 0.02
    # The squared norm of a Gaussian vector in the plane is exponential.
    quartiles = np.quantile(np.abs(v) ** 2 / (2 * 0.4**2), [0.25, 0.5, 0.75])
    assert_allclose(quartiles, -np.log([0.75, 0.5, 0.25]), rtol=0.05)


def test_blob_centers_lie_in_all_directions():
    _, _, centers = make_hyperbolic_blobs(
        10, 3, centers=4000, return_centers=True, random_state=0
    )
    direction = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    assert_allclose(direction.T @ direction / 4000, np.eye(3) / 3, atol=0.02)
    assert_allclose(direction.mean(axis=0), 0, atol=0.03)


@pytest.mark.parametrize("curvature", [0.01, 0.3, 2.7, 50.0])
def test_blobs_of_another_curvature_are_the_unit_ball_scaled(curvature):
    scale = math.sqrt(curvature)
    settings = {"centers": 3, "random_state": 0, "return_centers": True}
    unit = make_hyperbolic_blobs(50, 4, **settings)
    other = make_hyperbolic_blobs(
        50,
        4,
        curvature=curvature,
        center_radius=1.5 / scale,
        cluster_std=0.3 / scale,
        **settings,
    )
    assert_allclose(other[0] * scale, unit[0], rtol=1e-9, atol=1e-12)
    assert_array_equal(other[1], unit[1])
    assert_allclose(other[2] * scale, unit[2], rtol=1e-12)


def test_blobs_of_small_curvature_are_flat_gaussians():
    X, y, centers = make_hyperbolic_blobs(
        5000, 3, curvature=1e-10, return_centers=True, random_state=0
    )
    assert_allclose(np.linalg.norm(centers, axis=1), 1.5, rtol=1e-8)
    offset = X - centers[y]
    assert_allclose(np.cov(offset.T), 0.09 * np.eye(3), atol=0.005)


def test_tangent_blobs_are_the_same_points():
    settings = {"curvature": 2.0, "random_state": 3, "return_centers": True}
    X, y, centers = make_hyperbolic_blobs(**settings)
    V, labels, tangents = make_hyperbolic_blobs(coordinates="tangent", **settings)
    ball = PoincareBall(2.0)
    assert_array_equal(labels, y)
    assert_allclose(ball.expmap0(V), X, rtol=1e-12)
    assert_allclose(ball.expmap0(tangents), centers, rtol=1e-12)
    assert_allclose(np.linalg.norm(tangents, axis=1), 1.5, rtol=1e-12)


def test_given_centers_are_kept_in_either_coordinates():
    ball = PoincareBall(1.5)
    tangents = np.array([[1.0, 0.0], [0.0, -0.5], [0.2, 0.2]])
    points = ball.expmap0(tangents)
    settings = {"curvature": 1.5, "return_centers": True, "random_state": 0}
    X, y, centers = make_hyperbolic_blobs(30, centers=points.tolist(), **settings)
    assert_array_equal(centers, points)
    V, labels, middle = make_hyperbolic_blobs(
        30, centers=tangents, coordinates="tangent", **settings
    )
    assert_allclose(middle, tangents, rtol=1e-12)
    assert_array_equal(labels, y)
    assert_allclose(ball.expmap0(V), X, rtol=1e-12)
    still, y, _ = make_hyperbolic_blobs(30, centers=points, cluster_std=0.0, **settings)
    assert_allclose(still, points[y], rtol=1e-14)


def test_blobs_near_the_rim_stay_inside_and_warn():
    with pytest.warns(UserWarning, match=r"reaches .* Lower center_radius") as caught:
        X, _ = make_hyperbolic_blobs(200, center_radius=40.0, random_state=0)
    assert caught[0].filename == __file__
    assert np.all(np.linalg.norm(X, axis=1) < 1)
    assert np.all(np.isfinite(PoincareBall(1.0).logmap0(X)))


@pytest.mark.parametrize("make", [make_tree, make_hyperbolic_blobs])
def test_random_state_decides_and_the_global_generator_is_left_alone(make):
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    X, y = make(50, random_state=0)
    again, labels = make(50, random_state=np.random.RandomState(0))
    assert_array_equal(X, again)
    assert_array_equal(y, labels)
    assert_array_equal(np.random.get_state()[1], before)
    assert not np.array_equal(X, make(50, random_state=1)[0])
    first, _ = make(50)
    np.random.seed(7)
    assert_array_equal(make(50)[0], first)


@pytest.mark.parametrize(
    ("make", "parameters", "error", "message"),
    [
        (make_tree, {"n_samples": 0}, ValueError, "n_samples == 0, must be >= 1"),
        (make_tree, {"n_features": 2.5}, TypeError, "n_features must be an instance"),
        (make_tree, {"branching": 0}, ValueError, "branching == 0, must be >= 1"),
        (make_tree, {"depth": 0}, ValueError, "depth == 0, must be >= 1"),
        (make_tree, {"decay": 0.0}, ValueError, "decay == 0.0, must be > 0"),
        (make_tree, {"decay": math.inf}, ValueError, "decay must be finite, got inf"),
        (make_tree, {"noise": -0.1}, ValueError, "noise == -0.1, must be >= 0"),
        (make_tree, {"noise": math.nan}, ValueError, "noise must be finite, got nan"),
        (make_hyperbolic_blobs, {"n_samples": 0}, ValueError, "n_samples == 0"),
        (make_hyperbolic_blobs, {"n_features": 0}, ValueError, "n_features == 0"),
        (make_hyperbolic_blobs, {"centers": 0}, ValueError, "centers == 0"),
        (make_hyperbolic_blobs, {"cluster_std": -1}, ValueError, "cluster_std == -1"),
        (make_hyperbolic_blobs, {"center_radius": "a"}, TypeError, "center_radius"),
        (make_hyperbolic_blobs, {"curvature": 0.0}, ValueError, "curvature must be"),
        (
            make_hyperbolic_blobs,
            {"coordinates": "klein"},
            ValueError,
            "coordinates must be 'ball' or 'tangent', got 'klein'",
        ),
        (
            make_hyperbolic_blobs,
            {"centers": [[0.0, 0.0, 0.0]]},
            ValueError,
            "centers have 3 features, but n_features is 2",
        ),
        (
            make_hyperbolic_blobs,
            {"centers": [[0.0, 0.0], [0.8, 0.8]]},
            ValueError,
            "centers has 1 of 2 points outside",
        ),
        (
            make_hyperbolic_blobs,
            {"centers": [[0.0, np.nan]]},
            ValueError,
            "Input centers contains NaN",
        ),
    ],
)
def test_bad_parameters_are_named(make, parameters, error, message):
    with pytest.raises(error, match=message):
        make(**parameters)
