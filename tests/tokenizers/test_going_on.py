"""Training in parts: chunks, warm starts, and rows held out by the user."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper.datasets import make_tree
from skhyper.metrics import relative_distortion
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
KINDS = [
    RQVAETokenizer(**SMALL),
    RQVAETokenizer(**SMALL, codebook_update="ema"),
    HRQVAETokenizer(**SMALL),
    HRQVAETokenizer(**SMALL, codebook_update="riemannian"),
    HRQVAETokenizer(**SMALL, codebook_update="ema", assignment="balanced"),
]


def short(tokenizer):
    return f"{type(tokenizer).__name__}-{tokenizer.codebook_update}"


@pytest.fixture(scope="module")
def X():
    return make_tree(600, 10, branching=4, depth=2, random_state=0)[0]


@pytest.fixture(params=KINDS, ids=short)
def tokenizer(request):
    from sklearn.base import clone

    return clone(request.param)


def error(tokenizer, X):
    return relative_distortion(X, tokenizer.inverse_transform(tokenizer.transform(X)))


class TestChunks:
    def test_passes_lower_the_error(self, tokenizer, X):
        for _ in range(30):
            for chunk in np.array_split(X, 3):
                tokenizer.partial_fit(chunk)
        assert error(tokenizer, X) < 0.3
        assert tokenizer.n_iter_ == len(tokenizer.loss_curve_) == 90
        assert tokenizer.error_curve_[-1] < 0.5 * tokenizer.error_curve_[0]
        assert tokenizer.labels_.shape == (200,)

    def test_a_pickled_copy_goes_on_bit_for_bit(self, tokenizer, X):
        chunks = np.array_split(X, 4)
        tokenizer.partial_fit(chunks[0]).partial_fit(chunks[1])
        twin = pickle.loads(pickle.dumps(tokenizer))
        for chunk in chunks[2:]:
            tokenizer.partial_fit(chunk)
            twin.partial_fit(chunk)
        for name, value in tokenizer.weights_.items():
            assert_array_equal(twin.weights_[name], value)
        for codes, other in zip(tokenizer.codebooks_, twin.codebooks_, strict=True):
            assert_array_equal(codes, other)
        assert twin.loss_curve_ == tokenizer.loss_curve_

    def test_the_optimizer_keeps_its_state(self, tokenizer, X):
        """Against a run whose state is thrown away: moments make a difference."""
        tokenizer.partial_fit(X)
        twin = pickle.loads(pickle.dumps(tokenizer))
        steps = [v for k, v in tokenizer._online["state"].items() if k.endswith("step")]
        n_batches = -(-len(X) // 64)
        assert {int(step) for step in steps} == {n_batches}
        twin._online["state"] = {}
        tokenizer.partial_fit(X)
        twin.partial_fit(X)
        name = "encoder.0.weight"
        assert not np.array_equal(tokenizer.weights_[name], twin.weights_[name])
        steps = [v for k, v in tokenizer._online["state"].items() if k.endswith("step")]
        assert {int(step) for step in steps} == {2 * n_batches}

    def test_small_first_chunks_are_gathered(self, tokenizer, X):
        tokenizer.partial_fit(X[:3])
        with pytest.raises(NotFittedError):
            tokenizer.transform(X)
        tokenizer.partial_fit(X[:3]).partial_fit(X[3:7])
        with pytest.raises(NotFittedError):
            tokenizer.transform(X)
        waiting = pickle.loads(pickle.dumps(tokenizer)).partial_fit(X[7:20])
        tokenizer.partial_fit(X[7:20])
        assert [len(codes) for codes in tokenizer.codebooks_] == [8, 8]
        assert_array_equal(tokenizer.offset_, waiting.offset_)
        assert not hasattr(tokenizer, "_waiting")
        # the scale is that of all the rows gathered, repeats of theirs among them
        mean = np.concatenate([X[:3], X[:3], X[3:20]]).mean(axis=0)
        assert np.abs(tokenizer.offset_ - mean).max() < 0.3 * X.std()

    def test_after_fit_it_goes_on(self, tokenizer, X):
        before = error(tokenizer.fit(X), X)
        offset = tokenizer.offset_
        for _ in range(10):
            tokenizer.partial_fit(X)
        assert_array_equal(tokenizer.offset_, offset)
        assert error(tokenizer, X) < 1.05 * before
        assert tokenizer.n_iter_ == 28

    def test_fit_starts_anew(self, tokenizer, X):
        fresh = pickle.loads(pickle.dumps(tokenizer)).fit(X)
        again = tokenizer.partial_fit(X + 3).fit(X)
        assert fresh.loss_curve_ == again.loss_curve_
        assert not hasattr(again, "_online")

    def test_a_pass_that_diverges_changes_no_weight(self, tokenizer, X):
        tokenizer.partial_fit(X)
        weights, codes = tokenizer.weights_, tokenizer.transform(X)
        tokenizer.set_params(learning_rate=1e200)
        with pytest.warns(UserWarning, match="weights of epoch 1. Lower learning_rate"):
            tokenizer.partial_fit(X)
        for name, value in weights.items():
            assert_array_equal(tokenizer.weights_[name], value)
        assert_array_equal(tokenizer.transform(X), codes)
        assert tokenizer.n_iter_ == 1
        tokenizer.set_params(learning_rate=1e-3).partial_fit(X)
        assert np.isfinite(tokenizer.loss_curve_).all()

    def test_weights_of_a_chunk_count(self, X):
        tokenizer = RQVAETokenizer(**SMALL)
        ones = pickle.loads(pickle.dumps(tokenizer)).partial_fit(
            X, sample_weight=np.full(len(X), 3.0)
        )
        assert ones.loss_curve_ == tokenizer.partial_fit(X).loss_curve_
        weight = np.where(np.arange(len(X)) < 300, 1.0, 0.0)
        half = RQVAETokenizer(**SMALL).partial_fit(X, sample_weight=weight)
        alone = RQVAETokenizer(**SMALL).partial_fit(X[:300])
        assert half.loss_curve_ == alone.loss_curve_

    def test_errors_name_the_parameter(self, tokenizer, X):
        with pytest.raises(ValueError, match="early_stopping=True needs rows"):
            tokenizer.set_params(early_stopping=True).partial_fit(X)
        tokenizer.set_params(early_stopping=False).partial_fit(X)
        with pytest.raises(ValueError, match="X has 9 features"):
            tokenizer.partial_fit(X[:, :9])
        for changed, message in (
            ({"codebook_size": 4}, r"codebook_size=\[4, 4\] is not \[8, 8\]"),
            ({"hidden_layer_sizes": 5}, "Training cannot go on"),
            ({"encoder": torch.nn.Linear(10, 4)}, "encoder='own' is not 'mlp'"),
        ):
            with pytest.raises(ValueError, match=message):
                tokenizer.set_params(**changed).partial_fit(X)
            tokenizer.set_params(encoder=None)
            tokenizer.set_params(**SMALL)
        assert tokenizer.partial_fit(X).n_iter_ == 2

    def test_a_first_chunk_may_be_as_small_as_a_codebook(self, tokenizer, X):
        """Later levels are short of residuals then, and are filled up."""
        tokenizer.partial_fit(X[:8])
        assert [len(codes) for codes in tokenizer.codebooks_] == [8, 8]
        for _ in range(30):
            tokenizer.partial_fit(X)
        assert (tokenizer.codebook_usage_ > 0.5).all()
        assert error(tokenizer, X) < 0.5

    def test_it_goes_on_from_a_fit_that_had_too_few_rows(self, tokenizer, X):
        with pytest.warns(ConvergenceWarning):
            tokenizer.fit(np.repeat(X[:5], 2, axis=0))
        tokenizer.partial_fit(X)
        assert [len(codes) for codes in tokenizer.codebooks_] == [8, 8]

    @pytest.mark.parametrize("kinds", [(0, 1), (1, 0), (0, 2), (2, 1)])
    def test_codes_stay_when_they_are_to_be_trained_otherwise(self, kinds, X):
        updates = np.array(["gradient", "riemannian", "ema"])[list(kinds)]
        tokenizer = HRQVAETokenizer(**SMALL, codebook_update=updates[0])
        tokenizer.partial_fit(X)
        before = tokenizer.codebooks_
        tokenizer.set_params(codebook_update=updates[1], learning_rate=1e-12)
        tokenizer.partial_fit(X)
        # EMA moves codes by a hundredth of their residuals a batch
        slack = 0.1 if updates[1] == "ema" else 1e-6
        for codes, other in zip(before, tokenizer.codebooks_, strict=True):
            assert np.abs(codes - other).max() < slack

    def test_an_interrupt_is_not_swallowed(self, tokenizer, X, monkeypatch):
        from skhyper._nn._train import Trainer

        def interrupted(self, number):
            raise KeyboardInterrupt

        monkeypatch.setattr(Trainer, "_pretraining_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tokenizer.partial_fit(X)
        with pytest.raises(NotFittedError):
            tokenizer.transform(X)

    def test_a_failed_first_chunk_settles_nothing(self, tokenizer, X):
        with pytest.raises(ValueError, match="sample_weight"):
            tokenizer.partial_fit(X, sample_weight=np.full(len(X), -1.0))
        tokenizer.partial_fit(X[:, :7])
        assert tokenizer.n_features_in_ == 7


class TestWarmStart:
    def test_fitted_weights_are_among_those_to_keep(self, tokenizer, X):
        score = tokenizer.set_params(warm_start=True).fit(X).score(X)
        tokenizer.set_params(learning_rate=5.0, max_iter=1).fit(X)
        assert tokenizer.score(X) == pytest.approx(score)

    def test_another_kind_of_encoder_does_not_fit(self, X):
        tokenizer = HRQVAETokenizer(**SMALL, warm_start=True).fit(X)
        codes = tokenizer.transform(X)
        tokenizer.set_params(encoder="hyperbolic")
        with pytest.raises(ValueError, match="encoder='hyperbolic' is not 'mlp'"):
            tokenizer.fit(X)
        # and until then the fitted one is what counts
        assert_array_equal(pickle.loads(pickle.dumps(tokenizer)).transform(X), codes)

    def test_it_goes_on_where_it_was(self, tokenizer, X):
        tokenizer.set_params(warm_start=True).fit(X)
        first = tokenizer.error_curve_
        tokenizer.fit(X)
        assert tokenizer.error_curve_[0] < 0.5 * (first[0] + first[-1])
        assert min(tokenizer.error_curve_) <= min(first)
        assert len(tokenizer.error_curve_) == 20  # no pretraining, and a curve anew

    def test_without_it_a_fit_forgets(self, tokenizer, X):
        curve = tokenizer.fit(X).loss_curve_
        assert tokenizer.fit(X).loss_curve_ == curve

    def test_the_scale_stays(self, tokenizer, X):
        tokenizer.set_params(warm_start=True).fit(X)
        offset = tokenizer.offset_
        assert_array_equal(tokenizer.fit(X + 0.1).offset_, offset)

    def test_what_does_not_fit_is_said(self, tokenizer, X):
        tokenizer.set_params(warm_start=True).fit(X)
        with pytest.raises(ValueError, match="warm_start=False"):
            tokenizer.set_params(latent_dim=3).fit(X)
        with pytest.raises(ValueError, match="X has 9 features"):
            tokenizer.set_params(**SMALL).fit(X[:, :9])
        tokenizer.set_params(warm_start=False, latent_dim=3).fit(X)

    def test_another_curvature_does_not_fit(self, X):
        tokenizer = HRQVAETokenizer(**SMALL, warm_start=True).fit(X)
        with pytest.raises(ValueError, match="curvature"):
            tokenizer.set_params(curvature=0.5).fit(X)
        # and until then the fitted one is what counts
        codes = HRQVAETokenizer(**SMALL).fit(X).transform(X)
        assert_array_equal(tokenizer.transform(X), codes)


class TestValidationRows:
    def test_they_decide(self, tokenizer):
        # noise, which can be learnt by heart only
        noise = np.random.RandomState(0).randn(240, 10)
        train, held_out = noise[:40], noise[40:]
        tokenizer.set_params(learning_rate=0.02, n_iter_no_change=100, max_iter=60)
        tokenizer.fit(train, X_val=held_out)
        scores = tokenizer.validation_scores_
        assert len(scores) == tokenizer.n_iter_
        assert scores[-1] < max(scores)  # or the test would show nothing
        rebuilt = tokenizer.inverse_transform(tokenizer.transform(held_out))
        found = np.mean((held_out - rebuilt) ** 2) / tokenizer.scale_**2
        assert found == pytest.approx(-max(scores), rel=1e-9)

    def test_they_take_the_place_of_rows_set_aside(self, tokenizer, X):
        given = tokenizer.fit(X[:400], X_val=X[400:]).loss_curve_
        tokenizer.set_params(early_stopping=True, validation_fraction=0.5)
        assert tokenizer.fit(X[:400], X_val=X[400:]).loss_curve_ == given

    def test_a_pipeline_scales_them_too(self, X):
        X_train, X_val = 100 * X[:400] + 7, 100 * X[400:] + 7
        with config_context(enable_metadata_routing=True):
            tokenizer = RQVAETokenizer(**SMALL).set_fit_request(X_val=True)
            pipeline = make_pipeline(
                StandardScaler(), tokenizer, transform_input=["X_val"]
            )
            pipeline.fit(X_train, X_val=X_val)
        scaler = StandardScaler().fit(X_train)
        alone = RQVAETokenizer(**SMALL).fit(
            scaler.transform(X_train), X_val=scaler.transform(X_val)
        )
        assert pipeline[-1].validation_scores_ == alone.validation_scores_

    def test_a_few_rows_near_the_mean_are_no_cause_for_a_warning(self, tokenizer, X):
        tokenizer.fit(X, X_val=X.mean(axis=0, keepdims=True))
        with pytest.warns(ConvergenceWarning, match="too few distinct rows") as caught:
            tokenizer.fit(np.ones((9, 3)), X_val=np.ones((20, 3)))
        assert len(caught) == 1

    @pytest.mark.parametrize("change", [lambda X: 100 * X, lambda X: X + 50])
    def test_another_scale_is_a_warning(self, tokenizer, X, change):
        with pytest.warns(UserWarning, match=r"another scale.*transform_input"):
            tokenizer.fit(X[:400], X_val=change(X[400:]))

    def test_an_error_leaves_what_was_fitted(self, tokenizer, X):
        codes = tokenizer.fit(X).transform(X)
        with pytest.raises(ValueError, match="X_val cannot be used"):
            tokenizer.fit(X[:, :7], X_val=X[:, :3])
        assert_array_equal(tokenizer.transform(X), codes)
        assert_array_equal(pickle.loads(pickle.dumps(tokenizer)).transform(X), codes)

    def test_warnings_point_at_the_users_line(self, tokenizer, X):
        with pytest.warns(UserWarning, match="another scale") as caught:
            tokenizer.fit(X[:400], X_val=100 * X[400:])
        assert caught[0].filename == __file__
        with pytest.warns(ConvergenceWarning) as caught:
            tokenizer.fit(np.repeat(X[:5], 2, axis=0))
        assert caught[0].filename == __file__

    def test_another_width_or_no_number_is_an_error(self, tokenizer, X):
        with pytest.raises(ValueError, match=r"X_val cannot be used.*9 features"):
            tokenizer.fit(X, X_val=X[:, :9])
        with pytest.raises(ValueError, match=r"X_val cannot be used.*NaN"):
            tokenizer.fit(X, X_val=np.full((3, 10), np.nan))
