"""HierarchyTokenizer: codes that are learnt with the points."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skhyper.datasets import load_wordnet_mammals
from skhyper.hierarchy import HierarchyTokenizer
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics import collision_rate, prefix_agreement
from skhyper.quantizers._stack import ResidualStack
from tests.hierarchy.trees import full_tree

SMALL = {
    "n_levels": 3,
    "codebook_size": 4,
    "latent_dim": 3,
    "max_iter": 40,
    "batch_size": 16,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def tree():
    return full_tree()


@pytest.fixture(scope="module")
def fitted(tree):
    return HierarchyTokenizer(**SMALL).fit(tree)


def test_codes_are_those_of_the_points(fitted):
    stack = ResidualStack(PoincareBall(1.0), fitted.codebooks_, "exact")
    np.testing.assert_array_equal(fitted.codes_, stack.encode(fitted.embedding_))
    assert fitted.codes_.dtype == np.int64
    assert fitted.codes_.shape == (40, 3)
    rows = [0, 5]
    np.testing.assert_array_equal(
        fitted.transform(fitted.classes_[rows]), fitted.codes_[rows]
    )


def test_points_and_codes_are_learnt_together(fitted, tree):
    assert fitted.score(tree) > 0.8
    # three subtrees below the root, told by the first token better than by chance
    branch = np.array([label[:3] for label in fitted.classes_])
    assert prefix_agreement(fitted.codes_, branch)[0] > 0.4
    assert collision_rate(fitted.codes_)[-1] < 0.3


def test_commitment_pulls_points_to_their_codes(tree):
    def error(weight):
        tokenizer = HierarchyTokenizer(**SMALL, commitment_weight=weight).fit(tree)
        labels = tokenizer.classes_
        gap = tokenizer.embed(labels) - tokenizer.quantize(labels)
        return np.mean(gap**2) / np.mean(tokenizer.embed(labels) ** 2)

    assert error(1.0) < 0.8 * error(0.0)


def test_codes_of_mammals_are_nearly_unique_and_flat_space_is_worse():
    edges = load_wordnet_mammals().edges
    found = {}
    for geometry in ("hyperbolic", "euclidean"):
        tokenizer = HierarchyTokenizer(
            latent_dim=4, geometry=geometry, max_iter=15, random_state=0
        ).fit(edges)
        found[geometry] = tokenizer.score(edges)
        assert collision_rate(tokenizer.codes_)[-1] < 0.12
    assert found["hyperbolic"] > 1.6 * found["euclidean"]


def test_inverse_transform_finds_nodes_by_their_codes(fitted):
    labels = fitted.inverse_transform(fitted.codes_)
    np.testing.assert_array_equal(fitted.transform(labels), fitted.codes_)
    unique, counts = np.unique(fitted.codes_, axis=0, return_counts=True)
    alone = (fitted.codes_[:, None] == unique[counts == 1]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(labels[alone], fitted.classes_[alone])
    assert alone.sum() > 10


def test_prefixes_give_a_node_that_has_them(fitted):
    prefix = fitted.codes_[:, :1]
    labels = fitted.inverse_transform(prefix)
    np.testing.assert_array_equal(fitted.transform(labels)[:, :1], prefix)
    assert len(np.unique(labels)) == len(np.unique(prefix))


def test_codes_that_no_node_has_give_the_nearest(fitted):
    every = np.array(np.meshgrid(*[range(4)] * 3, indexing="ij")).reshape(3, -1).T
    taken = (every[:, None] == fitted.codes_).all(axis=2).any(axis=1)
    free = every[~taken]
    points = ResidualStack(PoincareBall(1.0), fitted.codebooks_).decode(free)
    dist = PoincareBall(1.0).pairwise_dist(points, fitted.embedding_)
    expected = fitted.classes_[dist.argmin(axis=1)]
    np.testing.assert_array_equal(fitted.inverse_transform(free), expected)


def test_embed_and_quantize_are_tangent_vectors(fitted):
    ball, labels = PoincareBall(1.0), fitted.classes_
    np.testing.assert_allclose(
        ball.expmap0(fitted.embed(labels)), fitted.embedding_, atol=1e-12
    )
    decoded = ResidualStack(ball, fitted.codebooks_).decode(fitted.codes_)
    np.testing.assert_allclose(
        ball.expmap0(fitted.quantize(labels)), decoded, atol=1e-12
    )


@pytest.mark.parametrize("update", ["gradient", "riemannian", "ema"])
@pytest.mark.parametrize("residual", ["exact", "paper", "tangent"])
def test_every_kind_of_code_learns(tree, update, residual):
    tokenizer = HierarchyTokenizer(
        **SMALL, codebook_update=update, residual=residual
    ).fit(tree)
    assert tokenizer.score(tree) > 0.6
    radius = [PoincareBall().dist(np.zeros(3), book) for book in tokenizer.codebooks_]
    assert max(r.max() for r in radius) < 6.0 + 1e-6


def test_riemannian_sgd_with_codes(tree):
    tokenizer = HierarchyTokenizer(
        **{**SMALL, "max_iter": 80}, optimizer="rsgd", learning_rate=1.0, burn_in=5
    ).fit(tree)
    assert tokenizer.score(tree) > 0.4
    assert len(np.unique(tokenizer.codes_, axis=0)) > 20


def test_flat_codes_and_their_limit(tree):
    flat = HierarchyTokenizer(**SMALL, geometry="euclidean").fit(tree)
    assert flat.curvature_ == 0.0
    stack = ResidualStack(Euclidean(), flat.codebooks_)
    np.testing.assert_array_equal(flat.codes_, stack.encode(flat.embedding_))


def test_sizes_may_differ_from_level_to_level(tree):
    tokenizer = HierarchyTokenizer(
        **{**SMALL, "n_levels": 2, "codebook_size": [3, 5]}
    ).fit(tree)
    assert [len(book) for book in tokenizer.codebooks_] == [3, 5]
    assert tokenizer.codes_.max(axis=0).tolist() <= [2, 4]
    with pytest.raises(ValueError, match=r"codebook_size=.* 3 entries"):
        tokenizer.set_params(codebook_size=[3, 5, 2]).fit(tree)


def test_more_codes_than_nodes_is_said():
    tokenizer = HierarchyTokenizer(2, 64, latent_dim=2, max_iter=5, random_state=0)
    with pytest.warns(ConvergenceWarning, match="codebook_size=64"):
        tokenizer.fit([("b", "a"), ("c", "a")])
    assert len(tokenizer.codebooks_[0]) <= 3
    assert len(np.unique(tokenizer.codes_, axis=0)) == 3


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0.5, 1.0]], "integers"),
        ([[0, 0, 0, 0]], "4 columns"),
        ([[4, 0]], "token 4"),
        ([0, 1], "2-D"),
    ],
)
def test_codes_that_cannot_be(fitted, codes, message):
    with pytest.raises(ValueError, match=message):
        fitted.inverse_transform(codes)


def test_unknown_labels_are_named(fitted):
    for method in (fitted.transform, fitted.embed, fitted.quantize):
        with pytest.raises(ValueError, match="'unicorn'"):
            method(["0", "unicorn"])


class Stop:
    """Ends training, or has the user interrupt it, after some epochs."""

    max_propagation_depth = None

    def __init__(self, after, error=None):
        self.left, self.error = after, error

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.left -= 1
        if self.error and self.left == 0:
            raise self.error
        return self.left <= 0


@pytest.mark.parametrize("after", [1, 25])
def test_training_that_ends_early_has_codes_all_the_same(tree, after):
    tokenizer = HierarchyTokenizer(**SMALL).set_callbacks(Stop(after)).fit(tree)
    assert tokenizer.n_iter_ == after
    assert tokenizer.codes_.shape == (40, 3)
    interrupted = HierarchyTokenizer(**SMALL)
    interrupted.set_callbacks(Stop(after, KeyboardInterrupt()))
    with pytest.warns(UserWarning, match="interrupted"):
        interrupted.fit(tree)
    np.testing.assert_array_equal(interrupted.codes_, tokenizer.codes_)


def test_codes_that_overflow_at_once_start_again(tree, monkeypatch):
    from skhyper._nn._hierarchy import CodedTrainer

    quantize = CodedTrainer._quantize

    def overflow(self, rows):
        found = quantize(self, rows)
        self.codebooks.levels[0].data[0] = np.inf
        return found

    monkeypatch.setattr(CodedTrainer, "_quantize", overflow)
    with pytest.warns(UserWarning, match="Lower learning_rate"):
        tokenizer = HierarchyTokenizer(**SMALL).fit(tree)
    assert tokenizer.n_iter_ == 20
    assert np.isfinite(np.vstack(tokenizer.codebooks_)).all()
