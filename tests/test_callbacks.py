"""Callbacks hear of every epoch, may end training, and cannot break it."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skhyper.callbacks import EarlyStopping, EpochLog
from skhyper.datasets import make_tree
from skhyper.metrics import codebook_usage
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

SMALL = {
    "n_levels": 2,
    "codebook_size": 8,
    "latent_dim": 4,
    "hidden_layer_sizes": (32,),
    "max_iter": 20,
    "batch_size": 64,
    "random_state": 0,
}


class Recorder:
    """What happened, in order; set on a meta-estimator, it is handed down."""

    max_propagation_depth = None

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append((context.task_name, "begin", X is not None))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append((context.task_name, "end", fitted_estimator))


class Failing(Recorder):
    """Raises after some epochs."""

    def on_fit_task_end(self, estimator, context):
        self.events.append("end")
        if len(self.events) == 6:
            raise RuntimeError("no more")


@pytest.fixture(scope="module")
def X():
    return make_tree(300, 10, branching=4, depth=2, random_state=0)[0]


@pytest.fixture(params=[RQVAETokenizer, HRQVAETokenizer], ids=lambda c: c.__name__)
def tokenizer(request):
    return request.param(**SMALL)


def test_every_epoch_begins_and_ends_within_the_fit(tokenizer, X):
    recorder = Recorder()
    tokenizer.set_callbacks(recorder).fit(X)
    events = recorder.events
    assert events[0] == "setup"
    assert events[-1] == "teardown"
    assert events[1] == ("fit", "begin", True)
    assert events[-2][:2] == ("fit", "end")
    epochs = events[2:-2]
    assert epochs[::2] == [("epoch", "begin", True)] * 20
    assert [event[:2] for event in epochs[1::2]] == [("epoch", "end")] * 20
    # two of them train the bare autoencoder, which cannot encode
    assert [event[2] is None for event in epochs[1::2]] == [True] * 2 + [False] * 18


def test_the_estimator_of_a_moment_is_what_a_shorter_fit_gives(tokenizer, X):
    recorder = Recorder()
    # it may not be the best epoch of the longer fit, hence the training as it stands
    tokenizer.set_params(n_iter_no_change=100).set_callbacks(recorder).fit(X)
    moment = recorder.events[2:-2][1::2][7][2]
    assert len(moment.loss_curve_) == 6
    assert moment.loss_curve_ == tokenizer.loss_curve_[:6]
    codes = moment.transform(X)
    assert codes.shape == (300, 2)
    assert moment.inverse_transform(codes).shape == X.shape
    # a snapshot: what came later has not touched it
    name = "encoder.0.weight"
    assert not np.array_equal(moment.weights_[name], tokenizer.weights_[name])


def test_callbacks_change_nothing(tokenizer, X):
    plain = clone(tokenizer).fit(X)
    watched = tokenizer.set_callbacks(Recorder(), EpochLog()).fit(X)
    assert watched.loss_curve_ == plain.loss_curve_
    assert np.array_equal(watched.transform(X), plain.transform(X))


def test_a_callback_that_raises_ends_training_cleanly(tokenizer, X):
    failing = Failing()
    with pytest.raises(RuntimeError, match="no more"):
        tokenizer.set_callbacks(failing).fit(X)
    assert failing.events[-1] == "teardown"
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(tokenizer)
    # what was fitted before stays
    codes = tokenizer.set_callbacks().fit(X).transform(X)
    with pytest.raises(RuntimeError, match="no more"):
        tokenizer.set_callbacks(Failing()).fit(X + 1)
    assert np.array_equal(tokenizer.transform(X), codes)
    assert np.array_equal(clone(tokenizer).set_callbacks().fit(X).transform(X), codes)


class TestEarlyStopping:
    def test_it_ends_training(self, tokenizer, X):
        stop = EarlyStopping(n_iter_no_change=2, tol=0.05)
        tokenizer.set_params(max_iter=200).set_callbacks(stop).fit(X)
        curve = np.array(tokenizer.error_curve_)
        assert 3 <= len(curve) < 180
        best = np.minimum.accumulate(curve)
        # the last two epochs brought too little, and none two in a row before
        stalled = np.r_[False, curve[1:] > best[:-1] - 0.05]
        assert stalled[-2:].all()
        assert not (stalled[:-2] & stalled[1:-1]).any()

    def test_it_follows_any_score(self, tokenizer, X):
        seen = []

        def falling(estimator, rows, y):
            seen.append(estimator.transform(rows).shape)
            return -float(len(seen))

        stop = EarlyStopping(falling, n_iter_no_change=3)
        tokenizer.set_callbacks(stop).fit(X)
        assert tokenizer.n_iter_ == 4
        assert seen == [(300, 2)] * 4

    def test_it_follows_the_validation_rows(self, X):
        stop = EarlyStopping(n_iter_no_change=1, tol=10.0)
        tokenizer = RQVAETokenizer(**SMALL).set_callbacks(stop)
        assert tokenizer.fit(X[:200], X_val=X[200:]).n_iter_ == 2

    def test_it_starts_anew_with_every_fit_and_fits_do_not_mix(self, tokenizer, X):
        stop = EarlyStopping(n_iter_no_change=2, tol=0.05)
        first = tokenizer.set_callbacks(stop).fit(X).loss_curve_
        assert tokenizer.fit(X).loss_curve_ == first
        search = GridSearchCV(tokenizer, {"codebook_size": [4, 8]}, cv=2, n_jobs=2)
        alone = [clone(tokenizer).set_params(codebook_size=k) for k in (4, 8)]
        search.fit(X)
        best = search.best_estimator_
        twin = next(t for t in alone if t.codebook_size == best.codebook_size)
        assert best.loss_curve_ == twin.fit(X).loss_curve_
        assert pickle.loads(pickle.dumps(best)).n_iter_ == best.n_iter_

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"scoring": "accuracy"}, "scoring='accuracy' must be"),
            ({"n_iter_no_change": 0}, "n_iter_no_change=0"),
            ({"tol": -1.0}, "tol=-1.0"),
            ({"tol": np.nan}, "tol=nan"),
        ],
    )
    def test_bad_parameters(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            EarlyStopping(**wrong)


class TestEpochLog:
    def test_records_are_those_of_the_curves_and_of_all_rows(self, tokenizer, X):
        sunk, recorder = [], Recorder()
        log = EpochLog(sunk.append)
        tokenizer.set_callbacks(log, recorder).fit(X)
        assert sunk == log.records
        assert [r["loss"] for r in log.records] == tokenizer.loss_curve_
        assert [r["error"] for r in log.records] == tokenizer.error_curve_
        assert [r["epoch"] for r in log.records] == list(range(1, 19))
        assert (np.diff([r["seconds"] for r in log.records]) > 0).all()
        moments = [event[2] for event in recorder.events[2:-2][1::2]][2:]
        for record, moment in zip(log.records, moments, strict=True):
            expected = codebook_usage(moment.transform(X), [8, 8])
            np.testing.assert_array_equal(record["usage"], expected)

    def test_runs_and_frame(self, X):
        log = EpochLog()
        tokenizer = RQVAETokenizer(**SMALL).set_callbacks(log)
        tokenizer.fit(X)
        tokenizer.fit(X[:200], X_val=X[200:])
        frame = log.to_frame()
        assert frame["run"].to_list() == [0] * 18 + [1] * 18
        assert frame["usage_1"].between(0, 1).all()
        assert frame["validation_error"].notna().sum() == 18
        scores = [-e for e in frame["validation_error"].dropna()]
        assert scores == tokenizer.validation_scores_

    def test_frames_in_and_out(self, X):
        pd = pytest.importorskip("pandas")
        log = EpochLog()
        tokenizer = RQVAETokenizer(**SMALL).set_output(transform="pandas")
        tokenizer.set_callbacks(log).fit(pd.DataFrame(X).add_prefix("x"))
        assert len(log.records) == 18

    def test_bad_sink(self):
        with pytest.raises(ValueError, match="sink='file'"):
            EpochLog("file")


class TestScikitLearns:
    def test_progress_bar_shows_epochs_under_a_grid_search(self, X, capsys):
        search = GridSearchCV(
            RQVAETokenizer(**SMALL).set_params(max_iter=3), {"codebook_size": [4]}, cv=2
        )
        search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X)
        shown = capsys.readouterr().out
        assert "RQVAETokenizer" in shown
        assert "100%" in shown

    def test_events_come_through_meta_estimators(self, X):
        recorder = Recorder()
        pipeline = make_pipeline(StandardScaler(), RQVAETokenizer(**SMALL))
        search = GridSearchCV(pipeline, {"rqvaetokenizer__max_iter": [2, 3]}, cv=2)
        search.set_callbacks(recorder).fit(X)
        epochs = [event for event in recorder.events if event[:2] == ("epoch", "end")]
        # two folds of two and of three, and the best of them on all
        assert len(epochs) == 2 * 2 + 2 * 3 + search.best_estimator_[-1].max_iter

    def test_scoring_monitor_scores_every_epoch(self, X):
        monitor = ScoringMonitor(scoring={"score": lambda est, X, y: est.score(X)})
        tokenizer = RQVAETokenizer(**SMALL).set_callbacks(monitor)
        tokenizer.fit(X, np.zeros(len(X)))
        assert len(monitor.get_logs().data) == 19  # and one for the whole fit
