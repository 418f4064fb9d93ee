"""PoincareEmbedding: what it learns, what it takes, what it says of bad input."""

import numpy as np
import pandas as pd
import pytest

from skhyper.datasets import load_wordnet_mammals, transitive_closure
from skhyper.hierarchy import PoincareEmbedding
from skhyper.manifolds import PoincareBall
from skhyper.metrics import hierarchy_ranking
from tests.hierarchy.trees import full_tree

SMALL = {"n_components": 3, "max_iter": 40, "batch_size": 16, "random_state": 0}


@pytest.fixture(scope="module")
def tree():
    return full_tree()


@pytest.fixture(scope="module")
def fitted(tree):
    return PoincareEmbedding(**SMALL).fit(tree)


def test_a_tree_is_learnt_almost_perfectly(fitted, tree):
    assert fitted.score(tree) > 0.95
    assert len(fitted.loss_curve_) == fitted.n_iter_ == 40
    assert fitted.loss_curve_[-1] < 0.3 * fitted.loss_curve_[0]


def test_the_root_lies_inside_and_leaves_outside(fitted):
    norm = np.linalg.norm(fitted.embedding_, axis=1)
    depth = np.array([label.count(".") for label in fitted.classes_])
    assert fitted.classes_[norm.argmin()] == "0"
    assert norm[depth == 3].mean() > norm[depth == 1].mean()


def test_score_is_the_metric(fitted, tree):
    closure = transitive_closure(tree)
    rows = np.searchsorted(fitted.classes_, closure.astype(str))
    found = hierarchy_ranking(fitted.embedding_, rows, manifold=PoincareBall(1.0))
    assert fitted.score(tree) == found.mean_average_precision


def test_the_ball_beats_flat_space_in_few_dimensions():
    edges = load_wordnet_mammals().edges
    scores = [
        PoincareEmbedding(4, geometry=geometry, max_iter=15, random_state=0)
        .fit(edges)
        .score(edges)
        for geometry in ("hyperbolic", "euclidean")
    ]
    assert scores[0] > 0.7
    assert scores[0] > 1.6 * scores[1]


def test_neighbors_and_ancestors_follow_the_distances(fitted):
    labels = ["0.1.2", "0"]
    ball, X = PoincareBall(1.0), fitted.embedding_
    near, above = fitted.neighbors(labels, k=4), fitted.ancestors(labels, k=3)
    assert near.shape == (2, 4)
    for label, found, inside in zip(labels, near, above, strict=True):
        row = list(fitted.classes_).index(label)
        dist = ball.dist(X[row], X)
        dist[row] = np.inf
        order = np.argsort(dist)
        np.testing.assert_array_equal(found, fitted.classes_[order[:4]])
        norm = np.linalg.norm(X, axis=1)
        nearer = [i for i in order if norm[i] < norm[row]][:3]
        np.testing.assert_array_equal(inside, fitted.classes_[nearer])
    assert "0.1" in above[0]
    assert len(above[1]) == 0


def test_transform_gives_the_rows_of_the_embedding(fitted):
    points = fitted.transform(["0", "0.2", "0"])
    rows = [0, list(fitted.classes_).index("0.2"), 0]
    np.testing.assert_array_equal(points, fitted.embedding_[rows])


def test_graphs_frames_and_lists_are_the_same(fitted, tree):
    class Graph:  # as much of a networkx.DiGraph as is looked at
        edges = tuple(tuple(edge) for edge in tree[::-1])

        def is_directed(self):
            return True

    frame = pd.DataFrame(tree, columns=["child", "parent"])
    for edges in (frame, [tuple(e) for e in tree], Graph(), np.vstack([tree, tree])):
        again = PoincareEmbedding(**SMALL).fit(edges)
        np.testing.assert_array_equal(again.embedding_, fitted.embedding_)


def test_integer_labels(tree, fitted):
    numbers = np.searchsorted(fitted.classes_, tree)
    again = PoincareEmbedding(**SMALL).fit(numbers)
    np.testing.assert_array_equal(again.embedding_, fitted.embedding_)
    assert again.classes_.dtype.kind == "i"
    with pytest.raises(ValueError, match=r"labels such as .*'0'.* are like 0"):
        again.transform(["0"])


def test_the_closure_is_taken_unless_told_otherwise(tree, fitted):
    closed = PoincareEmbedding(**SMALL, closure=False).fit(transitive_closure(tree))
    np.testing.assert_array_equal(closed.embedding_, fitted.embedding_)
    direct = PoincareEmbedding(**SMALL, closure=False).fit(tree)
    assert not np.array_equal(direct.embedding_, fitted.embedding_)


@pytest.mark.parametrize(
    ("geometry", "least"), [("hyperbolic", 0.8), ("euclidean", 0.5)]
)
def test_riemannian_sgd_learns_too(tree, geometry, least):
    embedding = PoincareEmbedding(
        3,
        geometry=geometry,
        optimizer="rsgd",
        learning_rate=3.0,
        burn_in=10,
        max_iter=150,
        batch_size=16,
        random_state=0,
    ).fit(tree)
    assert embedding.score(tree) > least


def test_points_keep_within_the_radius(tree):
    embedding = PoincareEmbedding(**SMALL, curvature=4.0, max_radius=1.5).fit(tree)
    radius = PoincareBall(4.0).dist(np.zeros(3), embedding.embedding_)
    assert radius.max() == pytest.approx(1.5, rel=1e-6)
    assert embedding.curvature_ == 4.0


def test_the_flat_twin_is_the_limit_of_small_curvature(tree):
    flat = PoincareEmbedding(**SMALL, geometry="euclidean").fit(tree)
    ball = PoincareEmbedding(**SMALL, curvature=1e-8, max_radius=None).fit(tree)
    assert flat.curvature_ == 0.0
    np.testing.assert_allclose(ball.embedding_, flat.embedding_, rtol=1e-3, atol=1e-3)


def test_one_edge_and_several_roots_are_enough():
    alone = PoincareEmbedding(2, max_iter=3, random_state=0).fit([("b", "a")])
    assert alone.score([("b", "a")]) == 1.0
    forest = [("b", "a"), ("d", "c"), ("e", "c"), ("e", "a")]
    fitted = PoincareEmbedding(2, max_iter=3, random_state=0).fit(forest)
    assert fitted.embedding_.shape == (5, 2)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("a", "b"), ("b", "c"), ("c", "a")], "cycle a -> b -> c -> a"),
        ([("a", "a")], "joins 'a' to itself"),
        ([("a", 1), ("b", 2)], "both|mixed|strings and integers"),
        ([], "edges"),
        ([("a", "b", "c")], "shape"),
        ([("a", None)], "edges"),
        ([(0.5, 1.0)], "edges"),
    ],
)
def test_edges_that_are_no_hierarchy(edges, message):
    with pytest.raises(ValueError, match=message):
        PoincareEmbedding(2, max_iter=2).fit(edges)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.transform(["0", "zebra", "ape"]), "'ape', 'zebra'"),
        (lambda e: e.transform("0"), r"\[label\]"),
        (lambda e: e.transform([]), "labels"),
        (lambda e: e.transform([0]), "such as 0 are unknown"),
        (lambda e: e.neighbors(["0"], k=40), "k=40 .* from 1 to 39"),
        (lambda e: e.neighbors(["0"], k=0), "k=0"),
        (lambda e: e.ancestors(["0"], k=0), "k=0"),
        (lambda e: e.score([("0", "zebra")]), "'zebra'"),
        (lambda e: e.score([("0", "0.1"), ("0.1", "0")]), "cycle 0 -> 0.1 -> 0"),
    ],
)
def test_calls_that_make_no_sense(fitted, call, message):
    with pytest.raises(ValueError, match=message):
        call(fitted)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"geometry": "spherical"}, "geometry"),
        ({"curvature": 0}, "curvature"),
        ({"n_components": 0}, "n_components"),
        ({"max_radius": -1.0}, "max_radius"),
        ({"batch_size": "all"}, "batch_size"),
        ({"burn_in": 5, "max_iter": 5}, "burn_in=5 .* max_iter=5"),
        ({"device": "abacus"}, "device='abacus'"),
    ],
)
def test_parameters_out_of_range(tree, params, message):
    with pytest.raises(ValueError, match=message):
        PoincareEmbedding(**params).fit(tree)


def test_a_step_too_long_is_said(tree):
    embedding = PoincareEmbedding(
        2, learning_rate=1e308, geometry="euclidean", random_state=0
    )
    with pytest.warns(UserWarning, match="Lower learning_rate"):
        embedding.fit(tree)
    assert np.isfinite(embedding.embedding_).all()
