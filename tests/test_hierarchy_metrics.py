"""Metrics of hierarchies against slow twins, scikit-learn and arithmetic on sets."""

import math
from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from skhyper.datasets import (
    hypernymy_split,
    load_wordnet_mammals,
    transitive_closure,
)
from skhyper.generative import add_counter
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics import _ranking as ranking
from skhyper.metrics import (
    collision_rate,
    composition_recall,
    hierarchy_ranking,
    norm_statistics,
    popularity_recall,
    prefix_coherence,
    recall_at_k,
    tree_distortion,
)

N = 12
SEEDS = st.integers(0, 2**32 - 1)
# Edges lead from a larger number to a smaller one: no cycles.
hierarchies = st.sets(
    st.integers(0, N * N - 1)
    .map(lambda key: divmod(key, N))
    .filter(lambda pair: pair[0] > pair[1]),
    min_size=1,
    max_size=25,
).map(sorted)
relations = st.sets(
    st.integers(0, N * N - 1)
    .map(lambda key: divmod(key, N))
    .filter(lambda pair: pair[0] != pair[1]),
    min_size=1,
    max_size=40,
).map(sorted)


def points(seed, n=N, width=3):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, size=(n, width))


def slow_ranking(D, edges):
    """Mean rank and mean average precision from a matrix of distances."""
    ranks, precisions = [], []
    for u in sorted({u for u, _ in edges}):
        relatives = {v for a, v in edges if a == u}
        rivals = [w for w in range(len(D)) if w != u and w not in relatives]
        of_u = sorted(1 + sum(D[u, w] <= D[u, v] for w in rivals) for v in relatives)
        ranks += of_u
        places = [rank + before for before, rank in enumerate(of_u)]
        precisions.append(np.mean([(i + 1) / p for i, p in enumerate(places)]))
    return np.mean(ranks), np.mean(precisions)


@pytest.mark.parametrize("manifold", [None, Euclidean(), PoincareBall(0.7)])
@settings(max_examples=40)
@given(edges=relations, seed=SEEDS)
def test_ranking_equals_its_slow_twin_and_scikit_learn(manifold, edges, seed):
    X = points(seed)
    D = (manifold or Euclidean()).pairwise_dist(X, X)
    result = hierarchy_ranking(X, edges, manifold=manifold)
    assert_allclose(result, slow_ranking(D, edges), rtol=1e-12)
    assert isinstance(result.mean_rank, float)
    scores = []
    for u in {u for u, _ in edges}:
        others = np.arange(N) != u
        truth = np.array([(u, v) in edges for v in range(N)])
        scores.append(average_precision_score(truth[others], -D[u, others]))
    assert_allclose(result.mean_average_precision, np.mean(scores), rtol=1e-12)


@given(relations, SEEDS)
def test_ranking_counts_ties_against(edges, seed):
    # On a small grid many distances are equal, and are so exactly.
    X = np.random.default_rng(seed).integers(3, size=(N, 2)).astype(float)
    D = ((X[:, None] - X) ** 2).sum(axis=2)
    assert_allclose(hierarchy_ranking(X, edges), slow_ranking(D, edges), rtol=1e-12)


@pytest.mark.parametrize("manifold", [None, PoincareBall(1.0)])
def test_collapsed_points_have_the_worst_ranks(manifold):
    edges = transitive_closure([(i, (i - 1) // 3) for i in range(1, 200)])
    X = np.tile(points(0, 1, 7), (200, 1))
    mean_rank, precision = hierarchy_ranking(X, edges, manifold=manifold)
    n_relatives = np.array(list(Counter(edges[:, 0].tolist()).values()))
    assert_allclose(mean_rank, np.average(200 - n_relatives, weights=n_relatives))
    assert precision < 0.02


def test_equal_points_tie_exactly_wherever_they_stand(monkeypatch):
    # Of each point there are 7 copies; rivals are the other copies of the relatives.
    rng = np.random.default_rng(1)
    ball = PoincareBall(1.0)
    X = ball.expmap0(rng.normal(size=(40, 10)))
    X = np.vstack([X] * 7)
    edges = np.column_stack([np.arange(280), rng.permutation(280)])
    edges = edges[edges[:, 0] % 40 != edges[:, 1] % 40]
    monkeypatch.setattr(ranking, "BLOCK_SIZE", 280 * 9)
    D = ball.pairwise_dist(X[:40], X[:40])
    mean_rank, _ = hierarchy_ranking(X, edges, manifold=ball)
    expected = [
        7 * np.sum(D[u % 40] <= D[u % 40, v % 40]) - 1 for u, v in edges.tolist()
    ]
    assert_allclose(mean_rank, np.mean(expected), rtol=1e-12)


def test_ranking_does_not_depend_on_blocks(monkeypatch):
    X, edges = points(0, 60), [(i, i // 2) for i in range(1, 60)]
    expected = hierarchy_ranking(X, edges)
    for size in (1, 60 * 7, 10**6):
        monkeypatch.setattr(ranking, "BLOCK_SIZE", size)
        assert hierarchy_ranking(X, edges) == expected


def test_close_points_near_the_rim_keep_their_order():
    # Distances of about 1e-7 at norm 1 - 1e-9: a matrix product would lose them.
    ball = PoincareBall(1.0)
    step = 1e-16 * np.arange(1, 9)
    angle = step * 1e3
    X = (1 - 1e-9) * np.column_stack([np.cos(angle), np.sin(angle)])
    D = ball.pairwise_dist(X, X)
    edges = [(0, 1), (7, 6), (3, 2)]
    assert_allclose(
        hierarchy_ranking(X, edges, manifold=ball), slow_ranking(D, edges), rtol=1e-12
    )
    assert hierarchy_ranking(X, [(0, 1), (7, 6)], manifold=ball) == (1.0, 1.0)


def test_ranking_takes_a_pair_once_and_in_one_direction():
    X = points(3)
    edges = [(1, 0), (2, 0), (5, 3)]
    assert hierarchy_ranking(X, edges) == hierarchy_ranking(X, edges + edges)
    assert hierarchy_ranking(X, edges) != hierarchy_ranking(X, np.fliplr(edges))
    # Where all others are relatives there are no rivals.
    everyone = [(0, v) for v in range(1, N)]
    assert hierarchy_ranking(X, everyone) == (1.0, 1.0)


METRICS_OF_POINTS = [hierarchy_ranking, tree_distortion]


@pytest.mark.parametrize("metric", METRICS_OF_POINTS)
def test_bad_points_and_edges_are_named(metric):
    X, edges = points(0), [(1, 0), (2, 0)]
    with pytest.raises(ValueError, match="Input X contains NaN"):
        metric(X * np.nan, edges)
    with pytest.raises(ValueError, match="X has 1 of 12 points outside"):
        metric(np.vstack([X[1:], [2, 0, 0]]), edges, manifold=PoincareBall(1.0))
    with pytest.raises(ValueError, match="row number 12, but there are 12 rows"):
        metric(X, [(12, 0)])
    with pytest.raises(ValueError, match="must hold row numbers, got the label 'a'"):
        metric(X, [("b", "a")])
    with pytest.raises(ValueError, match="edges joins 3 to itself"):
        metric(X, [(3, 3)])


id_rows = arrays(
    np.int64,
    st.tuples(st.integers(1, 6), st.integers(1, 8)),
    elements=st.integers(-1, 4),
)


def slow_recall(y_true, y_ranked, k):
    """Recall of rows of tuples."""
    hits = 0
    for target, row in zip(y_true, y_ranked, strict=True):
        known = []
        for entry in row:
            if any(token != -1 for token in entry) and entry not in known:
                known.append(entry)
        hits += target in known[:k]
    return hits / len(y_true)


@given(id_rows, st.integers(1, 9), SEEDS)
def test_recall_equals_lists_without_repeats(y_ranked, k, seed):
    y_true = np.random.default_rng(seed).integers(5, size=len(y_ranked))
    rows = [[(entry,) for entry in row] for row in y_ranked.tolist()]
    expected = slow_recall([(target,) for target in y_true.tolist()], rows, k)
    assert recall_at_k(y_true, y_ranked, k) == expected


@given(
    arrays(
        np.int32,
        st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 3)),
        elements=st.integers(-1, 1),
    ),
    st.integers(1, 8),
    SEEDS,
)
def test_recall_of_codes_needs_all_tokens(y_ranked, k, seed):
    shape = y_ranked.shape[::2]
    y_true = np.random.default_rng(seed).integers(2, size=shape)
    rows = [[tuple(entry) for entry in row] for row in y_ranked.tolist()]
    targets = [tuple(target) for target in y_true.tolist()]
    assert recall_at_k(y_true, y_ranked, k) == slow_recall(targets, rows, k)


def test_only_tokens_that_are_all_padding_are_skipped():
    ranked = [[[-1, -1], [-1, 0], [0, 1]]]
    assert recall_at_k([[0, 1]], ranked, k=1) == 0
    assert recall_at_k([[0, 1]], ranked, k=2) == 1


@pytest.mark.parametrize(
    ("y_true", "y_ranked", "k", "message"),
    [
        ([1], [[1]], 0, "k=0 must be an integer of at least 1"),
        ([1], [[1]], 2.0, "k=2.0 must be an integer"),
        ([1.0], [[1]], 1, "y_true must be integers, got dtype float64"),
        ([1], [["a"]], 1, "y_ranked must be integers, got dtype <U1"),
        ([1, 2], [[1]], 1, r"got \(2,\) and \(1, 1\)"),
        ([1], [1], 1, r"got \(1,\) and \(1,\)"),
        ([[1, 2]], [[[1, 2, 3]]], 1, r"got \(1, 2\) and \(1, 1, 3\)"),
        ([[1, 2]], [[1, 2]], 1, r"got \(1, 2\) and \(1, 2\)"),
        ([1], np.empty((1, 0), dtype=int), 1, r"y_ranked is empty: .* \(1, 0\)"),
        ([-1], [[-1]], 1, "y_true has the value -1; -1 is padding"),
    ],
)
def test_bad_rankings_are_named(y_true, y_ranked, k, message):
    with pytest.raises(ValueError, match=message):
        recall_at_k(y_true, y_ranked, k)


@given(
    arrays(
        np.int64,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.integers(0, 2),
    )
)
def test_a_counter_tells_equal_codes_apart(codes):
    seen = Counter()
    expected = []
    for row in map(tuple, codes.tolist()):
        expected.append([*row, seen[row]])
        seen[row] += 1
    counted = add_counter(codes)
    assert counted.dtype == np.int64
    assert counted.tolist() == expected
    assert collision_rate(counted)[-1] == 0


def slow_floors(train, test, k):
    """Both floors by sets and lists of labels."""
    counts = Counter(ancestor for _, ancestor in set(train))
    labels = sorted({label for pair in [*train, *test] for label in pair})
    order = sorted(labels, key=lambda label: (-counts[label], label))
    reach = {}
    for node in labels:
        above = {v for u, v in train if u == node}
        while True:
            more = above | {v for u, v in train if u in above}
            if more == above:
                break
            above = more
        reach[node] = [label for label in order if label in above]
    pairs = set(test)
    popular = sum(v in order[:k] for _, v in pairs) / len(pairs)
    composed = sum(v in reach[u][:k] for u, v in pairs) / len(pairs)
    return popular, composed


@given(hierarchies, hierarchies, st.integers(1, 6), st.booleans())
def test_floors_equal_sets_and_lists(train, test, k, named):
    if named:
        train, test = ([(f"n{u}", f"n{v}") for u, v in e] for e in (train, test))
    popular, composed = slow_floors(train, test, k)
    assert popularity_recall(train + train, test, k) == popular
    assert composition_recall(train + train, test, k) == composed


def test_floors_on_the_mammals():
    edges = load_wordnet_mammals().edges
    for seed in range(3):
        split = hypernymy_split(edges, random_state=seed)
        assert 0.60 < popularity_recall(split.train, split.test) < 0.63
        assert 0.74 < composition_recall(split.train, split.test) < 0.78
        split = hypernymy_split(edges, kind="direct", random_state=seed)
        assert composition_recall(split.train, split.test, k=1180) == 0
        assert popularity_recall(split.train, split.test) < 0.3


@pytest.mark.parametrize("floor", [popularity_recall, composition_recall])
def test_bad_pairs_are_named(floor):
    with pytest.raises(ValueError, match="k=0 must be an integer of at least 1"):
        floor([(1, 0)], [(1, 0)], k=0)
    with pytest.raises(ValueError, match=r"train must be pairs"):
        floor([1, 0], [(1, 0)])
    with pytest.raises(ValueError, match=r"test is empty"):
        floor([(1, 0)], np.empty((0, 2)))
    with pytest.raises(
        ValueError, match="train has labels such as 0, test such as 'a'"
    ):
        floor([(1, 0)], [("b", "a")])


def slow_steps(edges, start):
    """Number of edges up from a node to itself and each ancestor, by a queue."""
    steps, queue = {start: 0}, deque([start])
    while queue:
        node = queue.popleft()
        for child, parent in edges:
            if child == node and parent not in steps:
                steps[parent] = steps[node] + 1
                queue.append(parent)
    return steps


def slow_common(edges, one, other):
    """Length by way of the best common ancestor, and depth of the lowest."""
    up, down = slow_steps(edges, one), slow_steps(edges, other)
    common = set(up) & set(down)
    inner = {child for child, _ in edges}

    def depth(node):
        ways = slow_steps(edges, node)
        return 1 + min(ways[root] for root in ways if root not in inner)

    length = min((up[a] + down[a] for a in common), default=math.inf)
    return length, max(map(depth, common), default=0)


codes_arrays = arrays(
    np.int64, st.tuples(st.just(N), st.integers(1, 3)), elements=st.integers(0, 2)
)


@settings(max_examples=50)
@given(hierarchies, codes_arrays)
def test_coherence_equals_queues_over_all_pairs(edges, codes):
    result = prefix_coherence(codes, edges)
    for depth in range(codes.shape[1] + 1):
        pairs = [
            (i, j)
            for i in range(N)
            for j in range(i)
            if (codes[i, :depth] == codes[j, :depth]).all()
        ]
        assert result.n_pairs[depth] == len(pairs)
        found = [slow_common(edges, i, j) for i, j in pairs]
        if not pairs:
            assert np.isnan(result.path_similarity[depth])
            assert np.isnan(result.ancestor_depth[depth])
            continue
        similarity = np.mean([1 / (1 + length) for length, _ in found])
        assert_allclose(result.path_similarity[depth], similarity, rtol=1e-12)
        depths = np.mean([level for _, level in found])
        assert_allclose(result.ancestor_depth[depth], depths, rtol=1e-12)


def binary_tree(depth):
    """Edges of a full binary tree, and the codes that are the ways down."""
    n = 2 ** (depth + 1) - 1
    edges = [(node, (node - 1) // 2) for node in range(1, n)]
    names = [bin(node + 1)[3:] for node in range(n)]
    codes = [[1 + int(s) for s in name] + [0] * (depth - len(name)) for name in names]
    return edges, np.array(codes)


def test_codes_that_are_the_tree_grow_coherent_with_the_prefix():
    edges, codes = binary_tree(6)
    result = prefix_coherence(codes, edges, random_state=0)
    assert np.all(np.diff(result.path_similarity[:-1]) > 0.02)
    assert np.all(np.diff(result.ancestor_depth[:-1]) > 0.4)
    shuffled = np.random.default_rng(0).permutation(codes)
    other = prefix_coherence(shuffled, edges, random_state=0)
    assert_allclose(other.path_similarity[1:3], other.path_similarity[0], atol=0.02)
    assert other.path_similarity[0] == result.path_similarity[0]


def test_drawn_pairs_stand_for_all():
    edges, codes = binary_tree(7)
    everything = prefix_coherence(codes, edges, n_pairs=10**6)
    drawn = prefix_coherence(codes, edges, n_pairs=4000, random_state=0)
    assert_array_equal(drawn.n_pairs, everything.n_pairs)
    assert drawn.path_similarity[0] != everything.path_similarity[0]
    assert_allclose(drawn.path_similarity, everything.path_similarity, rtol=0.03)
    assert_allclose(drawn.ancestor_depth, everything.ancestor_depth, rtol=0.03)
    again = prefix_coherence(codes, edges, n_pairs=4000, random_state=0)
    assert_array_equal(again.path_similarity, drawn.path_similarity)
    other = prefix_coherence(codes, edges, n_pairs=4000, random_state=1)
    assert other.path_similarity[0] != drawn.path_similarity[0]


@settings(max_examples=50)
@given(hierarchies, SEEDS)
def test_tree_distortion_equals_all_pairs(edges, seed):
    X, ball = points(seed), PoincareBall(1.0)
    pairs = [(i, j) for i in range(N) for j in range(i)]
    lengths = np.array([slow_common(edges, i, j)[0] for i, j in pairs])
    distances = np.array([ball.dist(X[i], X[j]) for i, j in pairs])
    related = np.isfinite(lengths)
    lengths, distances = lengths[related], distances[related]
    result = tree_distortion(X, edges, manifold=ball)

    def mean_error(scale):
        return np.abs(scale * distances / lengths - 1).mean()

    assert_allclose(result.distortion, mean_error(result.scale), rtol=1e-9)
    # The mean is convex in the scale, with its corners at these.
    best = min(mean_error(scale) for scale in lengths / distances)
    assert_allclose(result.distortion, best, rtol=1e-9)
    if np.ptp(lengths) > 0 and np.ptp(distances) > 0:
        expected = spearmanr(distances, lengths).statistic
        assert_allclose(result.spearman, expected, atol=1e-12)
    else:
        assert np.isnan(result.spearman)


def test_points_in_the_proportions_of_the_tree_have_no_distortion():
    line = [(i, i - 1) for i in range(1, 30)]
    X = np.outer(np.arange(30), [0.3, 0.4])
    exact = tree_distortion(X, line)
    assert_allclose(exact[:2], (0.0, 2.0), atol=1e-12)
    # Rounding parts distances that are equal in theory.
    assert exact.spearman > 0.998
    ball = PoincareBall(2.0)
    X = ball.expmap0(np.outer(np.arange(30), [0.06, 0.08]))
    exact = tree_distortion(X, line, manifold=ball)
    assert_allclose(exact[:2], (0.0, 5.0), atol=1e-9)
    assert exact.spearman > 0.998


def test_tree_distortion_of_collapsed_points_is_one():
    result = tree_distortion(np.ones((4, 2)), [(1, 0), (2, 0), (3, 2)])
    assert result[:2] == (1.0, 0.0)
    assert np.isnan(result.spearman)


def test_tree_distortion_draws_pairs():
    edges, _ = binary_tree(7)
    X = points(0, 255)
    everything = tree_distortion(X, edges)
    drawn = tree_distortion(X, edges, n_pairs=3000, random_state=0)
    assert drawn == tree_distortion(X, edges, n_pairs=3000, random_state=0)
    assert drawn != everything
    assert_allclose(drawn, everything, rtol=0.03, atol=0.02)


@pytest.mark.parametrize("n_pairs", [0, 1.5, None])
def test_bad_numbers_of_pairs_are_named(n_pairs):
    with pytest.raises(ValueError, match=f"n_pairs={n_pairs} must be an integer"):
        tree_distortion(points(0), [(1, 0)], n_pairs=n_pairs)
    with pytest.raises(ValueError, match=f"n_pairs={n_pairs} must be an integer"):
        prefix_coherence([[0], [1]], [(1, 0)], n_pairs=n_pairs)


def test_cycles_and_pairs_without_ancestor_are_named():
    cycle = [(0, 1), (1, 2), (2, 0)]
    with pytest.raises(ValueError, match="cycle 0 -> 1 -> 2 -> 0"):
        tree_distortion(points(0), cycle)
    with pytest.raises(ValueError, match="cycle 0 -> 1 -> 2 -> 0"):
        prefix_coherence(np.zeros((3, 1), dtype=int), cycle)
    with pytest.raises(ValueError, match=r"None of the n_pairs=3 pairs .*Raise"):
        tree_distortion(points(0, 500), [(1, 0)], n_pairs=3, random_state=0)


def test_coherence_checks_its_codes():
    with pytest.raises(ValueError, match="codes must be integers, got dtype float64"):
        prefix_coherence([[0.0], [1.0]], [(1, 0)])
    with pytest.raises(ValueError, match="row number 2, but there are 2 rows"):
        prefix_coherence([[0], [1]], [(2, 0)])


def test_norm_statistics_are_those_of_half_distances():
    X = points(0, 40)
    ball = PoincareBall(1.3)
    norms = [float(ball.dist(np.zeros(3), x)) / 2 for x in X]
    mean, std, cv = norm_statistics(X, manifold=ball)
    assert_allclose(mean, math.fsum(norms) / 40, rtol=1e-12)
    assert_allclose(std, np.std(norms), rtol=1e-10)
    assert_allclose(cv, std / mean, rtol=1e-12)
    flat = norm_statistics(X)
    lengths = np.linalg.norm(X, axis=1)
    assert_allclose(
        flat, (lengths.mean(), lengths.std(), lengths.std() / lengths.mean())
    )
    # A column of norms has its own statistics.
    assert_allclose(norm_statistics(lengths[:, None]), flat, rtol=1e-12)
    assert_allclose(norm_statistics(X, manifold=PoincareBall(1e-9)), flat, rtol=1e-6)


def test_norm_statistics_of_the_origin_and_of_bad_points():
    assert norm_statistics(np.zeros((3, 2)))[:2] == (0.0, 0.0)
    assert np.isnan(norm_statistics(np.zeros((3, 2))).cv)
    with pytest.raises(ValueError, match="Input X contains infinity"):
        norm_statistics([[np.inf]])
    with pytest.raises(ValueError, match="X has 1 of 1 points outside"):
        norm_statistics([[1.0]], manifold=PoincareBall(1.0))
