"""The report on codes: its figures against slow twins, and how it shows itself."""

from collections import Counter
from fractions import Fraction
from html.parser import HTMLParser

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skhyper import (
    HRQVAETokenizer,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
    VQVAETokenizer,
)
from skhyper.datasets import make_tree
from skhyper.generative import add_counter
from skhyper.manifolds import PoincareBall
from skhyper.metrics import (
    CodeReport,
    code_report,
    codebook_usage,
    collision_rate,
    dead_codes,
    perplexity,
    prefix_agreement,
    relative_distortion,
)
from skhyper.metrics._report import _interval

SEEDS = st.integers(0, 2**32 - 1)
SIZES = [4, 3, 5]
FIGURES = ["perplexity", "gini", "neighbor_recall", "agreement"]


@st.composite
def coded_rows(draw):
    """Codes of few tokens, and rows on a grid, so that there are ties of both."""
    n_samples, n_levels = draw(st.integers(3, 14)), draw(st.integers(1, 3))
    codes = draw(arrays(np.int64, (n_samples, n_levels), elements=st.integers(0, 2)))
    X = draw(arrays(np.int64, (n_samples, 2), elements=st.integers(0, 4)))
    return codes, X.astype(float), draw(st.integers(1, n_samples - 1))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def tree():
    return make_tree(120, 6, branching=3, depth=2, random_state=0)


@pytest.fixture(scope="module")
def flat(tree):
    return ResidualQuantizer(3, SIZES, random_state=0).fit(tree[0])


def bare(codes, **parameters):
    """A report without intervals."""
    return code_report(codes, n_resamples=0, **parameters)


def slow_recall(codes, X, query, n_neighbors, depth):
    """Expected share of neighbours found, the ties of prefixes broken at random."""
    n, rest = len(X), [row for row in range(len(X)) if row != query]
    distance = {row: int(((X[row] - X[query]) ** 2).sum()) for row in rest}
    last = sorted(distance.values())[n_neighbors - 1]
    near = {row for row in rest if distance[row] <= last}

    def shared(row):
        first, second = codes[row, :depth].tolist(), codes[query, :depth].tolist()
        return next(
            (m for m in range(depth) if first[m] != second[m]),
            depth,
        )

    room, expected = len(near), Fraction(0)
    for length in range(depth, -1, -1):
        group = [row for row in rest if shared(row) == length]
        taken = min(room, len(group))
        hits = len(near.intersection(group))
        expected += Fraction(hits * taken, max(1, len(group)))
        room -= taken
    assert room == 0
    assert n > n_neighbors
    return float(expected / len(near))


@settings(max_examples=50)
@given(coded_rows())
def test_neighbor_recall_equals_counting(drawn):
    codes, X, k = drawn
    report = bare(codes, X=X, n_neighbors=k)
    expected = [
        np.mean([slow_recall(codes, X, row, k, depth + 1) for row in range(len(X))])
        for depth in range(codes.shape[1])
    ]
    assert_allclose(report.neighbor_recall, expected, rtol=1e-12)


@settings(max_examples=40)
@given(coded_rows(), SEEDS)
def test_the_order_of_rows_and_the_names_of_tokens_do_not_count(drawn, seed):
    codes, X, k = drawn
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=len(X))
    order = rng.permutation(len(X))
    names = np.array([rng.permutation(3) for _ in codes.T])
    other = names[np.arange(codes.shape[1]), codes]
    shared = {"codebook_size": 3, "n_neighbors": k}
    one = bare(codes, X=X, y=y, **shared)
    # space may be moved and stretched, too
    two = bare(other[order], X=7 - 3 * X[order, ::-1], y=y[order], **shared)
    for name in (*FIGURES, "usage", "collision_rate", "largest_group"):
        assert_allclose(getattr(two, name), getattr(one, name), atol=1e-12)


@given(coded_rows())
def test_bounds(drawn):
    codes, X, k = drawn
    report = bare(codes, X=X, codebook_size=3, n_neighbors=k)
    assert np.all((report.neighbor_recall >= 0) & (report.neighbor_recall <= 1 + 1e-12))
    assert np.all((report.gini >= -1e-12) & (report.gini <= 2 / 3 + 1e-12))
    assert np.all(report.largest_group >= 1 / (1 - report.collision_rate) - 1e-9)
    assert np.all(np.diff(report.largest_group) <= 0)
    assert np.all(report.n_used <= 3)


def test_neighbor_recall_at_its_ends():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    X[20:] += 100.0
    same = bare(np.zeros((40, 2), dtype=int), X=X, n_neighbors=5)
    assert_allclose(same.neighbor_recall, same.chance)
    assert same.chance == 5 / 39
    sides = np.repeat([[0], [1]], 20, axis=0)
    assert_allclose(bare(sides, X=X, n_neighbors=19).neighbor_recall, 1.0)
    # neighbours are all on the other side: none is found
    near = np.repeat(np.arange(20)[:, None], 2, axis=1).astype(float)
    pairs = np.vstack([near * 100, near * 100 + 1])
    apart = bare(np.repeat([[0], [1]], 20, axis=0), X=pairs, n_neighbors=1)
    assert_allclose(apart.neighbor_recall, 0.0)


def test_queries_are_a_sample(tree):
    X, labels = tree
    whole = bare(labels, X=X, n_queries=120).neighbor_recall
    some = [
        bare(labels, X=X, n_queries=30, random_state=seed).neighbor_recall
        for seed in range(8)
    ]
    assert np.std(some, axis=0)[1] > 0  # the first level has too many equals
    assert_allclose(np.mean(some, axis=0), whole, atol=0.05)


def test_equal_rows_are_neighbours_far_from_the_origin():
    X = np.repeat(np.random.default_rng(0).normal(size=(10, 3)), 3, axis=0) + 1e4
    codes = np.repeat(np.arange(10)[:, None], 3, axis=0)
    assert_allclose(bare(codes, X=X, n_neighbors=2).neighbor_recall, 1.0)


@settings(max_examples=40)
@given(coded_rows(), SEEDS)
def test_the_rest_are_the_metrics(drawn, seed):
    codes, _, _ = drawn
    y = np.random.default_rng(seed).integers(3, size=(len(codes), 2))
    report = bare(codes, y=y, codebook_size=4, score="nmi")
    assert_array_equal(report.usage, codebook_usage(codes, 4))
    assert_array_equal(report.perplexity, perplexity(codes))
    assert_array_equal(report.collision_rate, collision_rate(codes))
    assert_allclose(report.agreement, prefix_agreement(codes, y, "nmi"), atol=1e-12)
    for one, other in zip(report.dead_codes, dead_codes(codes, 4), strict=True):
        assert_array_equal(one, other)
    for level, column in enumerate(codes.T.tolist()):
        counts = np.array([Counter(column)[token] for token in range(4)])
        assert_array_equal(report.counts[level], counts)
        differences = np.abs(counts[:, None] - counts).mean()
        assert report.gini[level] == pytest.approx(differences / (2 * counts.mean()))
        prefixes = Counter(tuple(row[: level + 1]) for row in codes.tolist())
        assert report.largest_group[level] == max(prefixes.values())


def test_errors_of_flat_codes(tree, flat):
    X, _ = tree
    codes = flat.transform(X)
    report = bare(codes, X=X, tokenizer=flat)
    lost = [
        relative_distortion(X, flat.inverse_transform(codes[:, :depth]))
        for depth in (1, 2, 3)
    ]
    assert_allclose(report.relative_distortion, lost, rtol=1e-12)
    residual, lengths = X, [np.linalg.norm(X)]
    for token, book in zip(codes.T, flat.codebooks_, strict=True):
        residual = residual - book[token]
        lengths.append(np.linalg.norm(residual))
    assert_allclose(report.residual_ratio, np.divide(lengths[1:], lengths[:-1]))
    assert report.codebook_size == tuple(SIZES)


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["alone", "in a Pipeline"])
def test_residuals_in_the_ball(tree, in_pipeline):
    X, _ = tree
    coder = HyperbolicResidualQuantizer(2, SIZES[:2], curvature=0.7, random_state=0)
    model = make_pipeline(StandardScaler(), coder) if in_pipeline else coder
    codes = model.fit_transform(X)
    ball = PoincareBall(0.7)
    Z = StandardScaler().fit_transform(X) if in_pipeline else X
    residual = ball.expmap0(Z)
    norms = [np.linalg.norm(ball.logmap0(residual))]
    for token, book in zip(codes.T, coder.codebooks_, strict=True):
        residual = ball.add(-book[token], residual)
        norms.append(np.linalg.norm(ball.logmap0(residual)))
    report = bare(codes, X=pd.DataFrame(X).to_numpy(), tokenizer=model)
    assert_allclose(report.residual_ratio, np.divide(norms[1:], norms[:-1]), rtol=1e-9)
    lost = relative_distortion(X, model.inverse_transform(codes))
    assert report.relative_distortion[-1] == pytest.approx(lost)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_tokenizer_in_a_search(tree, dtype):
    X = tree[0].astype(dtype)
    network = {"latent_dim": 3, "hidden_layer_sizes": (8,), "max_iter": 3}
    coder = HRQVAETokenizer(2, [4, 3], **network, random_state=0, device="cpu")
    halves = [(np.arange(60), np.arange(60, 120))]
    model = make_pipeline(StandardScaler(), coder)
    search = GridSearchCV(model, {}, cv=halves).fit(X)
    codes = search.transform(X)
    report = bare(codes, X=X, tokenizer=search)
    steps = search.best_estimator_
    Z = steps[:-1].transform(X)
    ball = PoincareBall(coder.curvature)
    points, decoded = (
        ball.expmap0(latents.astype(float))
        for latents in (steps[-1].embed(Z), steps[-1].quantize(Z))
    )
    whole = np.linalg.norm(ball.dist(points, decoded))
    first = np.linalg.norm(ball.dist(points, 0 * points))
    assert np.prod(report.residual_ratio) == pytest.approx(whole / first, rel=1e-4)
    lost = relative_distortion(X, search.inverse_transform(codes))
    assert report.relative_distortion[-1] == pytest.approx(lost, rel=1e-6)


def test_a_column_without_a_codebook_has_no_error(tree):
    X, _ = tree
    coder = ResidualQuantizer(2, SIZES[:2], random_state=0).fit(X)
    codes = coder.transform(X)
    unique = add_counter(codes)
    report = bare(unique, X=X, tokenizer=coder)
    expected = bare(codes, X=X, tokenizer=coder)
    for name in ("relative_distortion", "residual_ratio"):
        values = [*getattr(expected, name), np.nan]
        assert_array_equal(getattr(report, name), values)
    assert report.codebook_size == (*SIZES[:2], unique[:, 2].max() + 1)
    assert not report.sizes_known
    # fewer columns than levels are prefixes
    first = bare(codes[:, :1], X=X, tokenizer=coder)
    assert_array_equal(first.residual_ratio, expected.residual_ratio[:1])
    assert first.sizes_known


def test_a_counter_does_not_hide_collisions():
    codes = np.repeat(np.arange(100), [2] * 40 + [1] * 60)[:, None]
    unique = add_counter(codes)
    report = bare(unique, codebook_size=[100, 256])
    assert report.has_counter
    assert report.collision_rate[-1] == 0
    assert report.verdict == (
        "28.6 % of the rows collide; one code has 2 rows. The last token only counts "
        "such rows.",
    )
    assert bare(unique[::-1], codebook_size=256).has_counter
    others = [codes, unique + [0, 1], np.column_stack([unique, codes])]
    assert not any(bare(other).has_counter for other in others)
    # a grid of tokens is no counter, though the rows of each group count from 0
    assert not bare([[0, 0], [0, 1], [1, 0], [1, 1]]).has_counter


def test_verdict_names_what_stands_out():
    rng = np.random.default_rng(0)
    n = 2000
    codes = rng.integers(256, size=(n, 3))
    good = bare(codes, codebook_size=256)
    assert good.verdict == ("No level has collapsed, and 0 % of the rows collide.",)
    few = codes % [48, 256, 256]
    assert bare(few, codebook_size=256).verdict == ("Level 0 uses 48 of 256 codes.",)
    assert bare(few).verdict == (
        "Sizes of codebooks are not known: usage is of the codes up to the largest "
        "token.",
    )
    uneven = codes.copy()
    uneven[: n * 6 // 10, 1] = 5
    (said,) = bare(uneven, codebook_size=256).verdict
    assert said.startswith("Level 1 is uneven: the 244 codes that it uses count for ")
    X = rng.normal(size=(n, 4))
    y = pd.Series(rng.integers(5, size=n), name="kind")
    chance, kind = bare(codes, codebook_size=256, X=X, y=y).verdict
    assert chance.endswith(" % of a row's neighbours, chance 0.5 %.")
    assert kind == "Prefixes agree with kind no more than by chance."
    # "nmi" is raised by chance, too: low or high, it says nothing
    assert bare(codes, codebook_size=256, y=y, score="nmi").verdict == good.verdict


def test_the_size_of_a_counter_need_not_be_known(tree):
    X, _ = tree
    coder = ResidualQuantizer(2, 16, random_state=0).fit(X)
    report = bare(add_counter(coder.transform(X)), tokenizer=coder)
    assert report.has_counter
    assert report.sizes_known


def test_fewer_rows_than_codes_are_no_collapse():
    codes = np.arange(20)[:, None]
    assert bare(codes, codebook_size=256).verdict[0].startswith("No level")


def test_levels_that_do_nothing_are_named(tree):
    X, _ = tree
    coder = ResidualQuantizer(3, SIZES, random_state=0).fit(X)
    coder.codebooks_[1][:] = 0.0
    codes = coder.transform(X)
    said = bare(codes, X=X, tokenizer=coder).verdict
    assert "Level 1 does not lower the error." in said
    assert "Level 1 does not shorten the residuals." in said
    assert not any("Level 2 does not" in sentence for sentence in said)


def test_intervals_have_the_spread_of_a_mean():
    x = np.random.default_rng(0).exponential(size=301)

    def mean(rows):
        return x[rows].mean(keepdims=True)

    random = np.random.RandomState(0)
    ((low, high),) = _interval(mean(np.arange(301)), mean, 301, 4000, 0.95, random)
    assert (low + high) / 2 == pytest.approx(x.mean())
    expected = 1.959964 * x.std(ddof=1) / np.sqrt(301)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.05)


def test_intervals_cover_what_is_true_of_all_rows():
    share = np.array([0.4, 0.3, 0.2, 0.1])
    truth = np.exp(-share @ np.log(share))
    gini = np.abs(share[:, None] - share).sum() / 8
    rng, n_trials = np.random.default_rng(0), 100
    covered = np.zeros(2)
    for trial in range(n_trials):
        codes = rng.choice(4, p=share, size=(300, 1))
        found = code_report(codes, n_resamples=40, random_state=trial).intervals
        for at, (name, value) in enumerate((("perplexity", truth), ("gini", gini))):
            ((low, high),) = found[name]
            covered[at] += low <= value <= high
    assert np.all(covered / n_trials > 0.88)
    assert np.all(covered / n_trials < 1.0)


def test_intervals_follow_their_parameters(tree, flat):
    X, labels = tree
    codes = flat.transform(X)
    shared = {"X": X, "y": labels, "tokenizer": flat, "n_resamples": 20}
    before = np.random.get_state()[1].copy()
    one, again = (code_report(codes, **shared, random_state=3) for _ in range(2))
    assert_array_equal(np.random.get_state()[1], before)
    wide = code_report(codes, **shared, random_state=3, confidence_level=0.999)
    assert set(one.intervals) == {*FIGURES, "relative_distortion", "residual_ratio"}
    for name, ends in one.intervals.items():
        assert ends.shape == (*getattr(one, name).shape, 2)
        assert_array_equal(ends, again.intervals[name])
        assert np.all(ends[..., 0] <= getattr(one, name))
        assert_allclose(
            np.ptp(wide.intervals[name], axis=-1),
            np.ptp(ends, axis=-1) * 3.29 / 1.96,
            rtol=1e-3,
            atol=1e-12,
        )
    assert bare(codes).intervals == {}
    assert code_report(codes[:1]).intervals == {}


def full_report(tree, flat, **parameters):
    X, labels = tree
    y = pd.DataFrame(labels[:, :2], columns=["<b>kind</b>", "$fine$_"])
    codes = flat.transform(X)
    return code_report(
        codes, X=X, y=y, tokenizer=flat, n_resamples=5, random_state=0, **parameters
    )


def test_frame_has_a_row_a_level(tree, flat):
    report = full_report(tree, flat)
    frame = report.to_frame()
    assert frame.index.name == "level"
    assert_array_equal(frame["codebook_size"], SIZES)
    assert_array_equal(frame["perplexity"], report.perplexity)
    ends = frame[["ami_$fine$__low", "ami_$fine$__high"]]
    assert_array_equal(ends, report.intervals["agreement"][:, 1])
    assert frame["used"].dtype == frame["largest_group"].dtype == np.int64
    plain = bare([[0, 1], [1, 1]]).to_frame()
    assert "perplexity_low" not in plain
    assert "neighbor_recall" not in plain


def test_text_has_the_verdict_and_a_line_a_figure(tree, flat):
    report = full_report(tree, flat)
    text = str(report)
    for sentence in report.verdict:
        assert sentence in text
    lines = dict(
        zip(
            report.to_frame().filter(regex="^(?!.*_(low|high)$)"),
            text.split("\n\n")[-1].splitlines()[1:],
            strict=True,
        )
    )
    assert lines["codebook_size"].split() == ["codes", "4", "3", "5"]
    low, high = report.intervals["gini"][0]
    assert f"{report.gini[0]:.3g} ({low:.3g} to {high:.3g})" in lines["gini"]
    assert "<b>kind</b>" in lines["ami_<b>kind</b>"]
    assert len({len(line) for line in lines.values()}) == 1
    n = 0 if report.verdict[0].startswith("No level") else len(report.verdict)
    assert f"n_samples=120, n_levels=3, {n or 'no'} finding" in repr(report)


class Tags(HTMLParser):
    """Collects the names of tags, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_a_table_with_names_escaped(tree, flat):
    report = full_report(tree, flat)
    page = Tags(report._repr_html_())
    assert "b" not in page.open
    assert "ami <b>kind</b>" in page.text
    assert page.open.count("th") == 4
    assert page.open.count("tr") == 1 + 12
    assert page.open.count("li") == len(report.verdict)


def test_plots_show_the_figures(tree, flat):
    report = full_report(tree, flat)
    use, prefixes = report.plot()
    assert use.figure is prefixes.figure
    use.figure.canvas.draw()  # names with $ are no formulas
    shown = {c.get_label(): c.lines[0].get_ydata() for c in prefixes.containers}
    assert_array_equal(shown["collision rate"], report.collision_rate)
    assert_array_equal(shown["neighbor recall"], report.neighbor_recall)
    assert_array_equal(shown[r"ami \$fine\$ "], report.agreement[:, 1])
    assert len(shown) == 5
    taken = use.lines[0].get_ydata()
    assert_allclose(taken, np.sort(report.counts[0])[::-1] / 120)
    axes = plt.subplots(1, 2)[1]
    assert report.plot(axes)[1] is axes[1]
    bare([[0], [1]]).plot()


def test_names_of_labels_come_from_frames(tree, flat):
    codes, labels = flat.transform(tree[0]), tree[1][:, :2]
    for frame in (pd.DataFrame, pl.DataFrame):
        y = frame({"a": labels[:, 0], "b": labels[:, 1]})
        report = bare(codes, y=y)
        assert report.label_names == ("a", "b")
    assert_array_equal(bare(codes, y=labels).agreement, report.agreement)
    assert bare(codes, y=labels).label_names == ("y0", "y1")
    assert bare(codes, y=labels[:, 0].tolist()).label_names == ("y",)
    assert bare(codes, y=pd.Series(labels[:, 0], name="a")).label_names == ("a",)
    assert bare(codes, y=labels[:, 0]).agreement.shape == (3, 1)


def test_degenerate_data_have_no_error():
    coder = ResidualQuantizer(1, 1, random_state=0).fit([[1.0, 2.0]] * 4)
    report = bare(
        np.zeros((4, 1), dtype=int), X=[[1.0, 2.0]] * 4, tokenizer=coder, n_neighbors=2
    )
    assert np.isnan(report.relative_distortion).all()
    assert_array_equal(report.neighbor_recall, [1.0])
    assert report.gini.tolist() == [0.0]
    assert isinstance(report, CodeReport)
    assert "nan" in str(report)
    assert np.isnan(bare([[0]]).chance)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"codebook_size": 2},
            "codebook_size is 2 at level 0, but codes has the token",
        ),
        ({"codebook_size": [4, 3]}, "has 2 entries for n_levels=3"),
        ({"score": "mi"}, "score must be one of .* got 'mi'"),
        ({"n_neighbors": 0}, "n_neighbors=0 must be an integer of at least 1"),
        ({"n_queries": 1.5}, "n_queries=1.5 must be an integer"),
        ({"n_resamples": 1}, "n_resamples=1 must be 0, or 2 or more"),
        ({"n_resamples": -2}, "n_resamples=-2 must be 0, or 2 or more"),
        ({"n_resamples": "x"}, "n_resamples='x' must be 0, or 2 or more"),
        ({"confidence_level": 1.0}, "confidence_level=1.0 must be a number between"),
        ({"X": np.zeros((5, 2))}, "X has 5 rows, codes has 120"),
        ({"X": np.full((120, 2), np.nan)}, "X contains NaN"),
        (
            {"n_neighbors": 120, "X": np.zeros((120, 2))},
            "n_neighbors=120 must be",
        ),
        ({"y": [1, 2]}, r"labels must have shape \(120,\)"),
        ({"y": np.linspace(0, 1, 120)}, "labels must be discrete"),
        (
            {"y": pd.DataFrame(np.zeros((120, 2), dtype=int), columns=["a", "a"])},
            "y has more than one column 'a'",
        ),
    ],
)
def test_bad_input_is_named(tree, flat, parameters, message):
    with pytest.raises(ValueError, match=message):
        code_report(flat.transform(tree[0]), **parameters)


def test_a_tokenizer_that_does_not_fit_is_named(tree, flat):
    X, _ = tree
    codes = flat.transform(X)
    with pytest.raises(TypeError, match="codebooks_"):
        code_report(codes, tokenizer=KMeans(3, n_init=1).fit(X))
    with pytest.raises(NotFittedError):
        code_report(codes, tokenizer=ResidualQuantizer())
    with pytest.raises(ValueError, match="codebook_size is 4 at level 0"):
        code_report(codes + 4, tokenizer=flat)
    with pytest.raises(ValueError, match=r"X has shape \(120, 2\), but tokenizer"):
        code_report(codes, X=X[:, :2], tokenizer=flat)
    one_way = make_pipeline(Normalizer(), ResidualQuantizer(1, 4, random_state=0))
    with pytest.raises(TypeError, match="tokenizer must have inverse_transform"):
        code_report(one_way.fit_transform(X), X=X, tokenizer=one_way)


def test_codes_at_several_positions_are_no_prefixes():
    X = np.random.default_rng(0).uniform(size=(20, 48))
    tokenizer = VQVAETokenizer(
        4,
        input_shape=(1, 4, 12),
        n_channels=2,
        latent_dim=2,
        max_iter=1,
        random_state=0,
        device="cpu",
    ).fit(X)
    with pytest.raises(ValueError, match="several positions"):
        code_report(tokenizer.transform(X), X=X, tokenizer=tokenizer)
