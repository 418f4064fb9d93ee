"""What the tokenizers share: `fit`, whole or in chunks, on rows without labels."""

from __future__ import annotations

from typing import Any, Self

from numpy.typing import ArrayLike

from skhyper._utils._callbacks import with_callbacks
from skhyper._utils._codes import warn_if_collapsed
from skhyper._utils._rows import gather
from skhyper._utils._weights import check_sample_weight
from skhyper.base import UnsupervisedCoder, check_X
from skhyper.quantizers._online import pad_codes
from skhyper.tokenizers._scale import Scale
from skhyper.tokenizers._training import TrainedCoder

# a chunk with fewer rows a code says nothing about collapse
ROWS_A_CODE = 4


class BaseTokenizer(UnsupervisedCoder, TrainedCoder):
    """Tokenizer of rows without labels."""

    @with_callbacks
    def fit(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
    ) -> Self:
        """Train the encoder, the codebooks and the decoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight 0 counts as absent.
        X_val : array-like of shape (n_validation, n_features), default=None
            Rows whose reconstruction error decides when to stop and which weights to
            keep, in place of rows that `early_stopping` would set aside.

        Returns
        -------
        self : object
            The fitted estimator. A KeyboardInterrupt in an epoch ends training with
            a warning and keeps the best weights so far. An error, also one that a
            callback raises, leaves what was fitted before.

        Raises
        ------
        ValueError
            If a codebook is to have more codes than there are samples (with
            `input_shape`, positions of samples), or a parameter is out of range.
        """
        with self._features_kept():
            return self._fit(X, y, sample_weight, X_val)

    def partial_fit(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one pass over a chunk of rows.

        The first chunk settles the scale of the data, trains the bare autoencoder for
        a pass, except in `SoftVQTokenizer`, and starts the codebooks. While there are
        fewer distinct rows than the largest codebook has codes, chunks are only
        gathered, and the estimator counts as not fitted. After `fit`, it goes on from
        the fitted weights. Codes that a chunk does not use start again from a residual,
        but for soft ones, so a chunk should hold several rows a code. No callback is
        called.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of the data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, relative to the others of the chunk.

        Returns
        -------
        self : object
            The estimator. ``labels_`` and ``codebook_usage_`` are those of the chunk,
            and the curves have one more entry.

        Raises
        ------
        ValueError
            With ``early_stopping=True``, for which there are no validation rows here;
            if `X` has another width than before, or if parameters that shape the
            network were set to other values than the fitted ones (`codebook_size` may
            grow, but for that of `SoftVQTokenizer`, whose encoder has an output for
            each code).
        """
        with self._features_kept():
            return self._partial_fit(X, sample_weight)

    def _partial_fit(self, X: Any, sample_weight: Any) -> Self:
        sizes = self._check_parameters()
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True needs rows set aside, and partial_fit trains on "
                "all that it is given; use early_stopping=False, or fit."
            )
        known, waiting = hasattr(self, "codebooks_"), getattr(self, "_waiting", None)
        X = check_X(self, X, reset=not known and waiting is None)
        self._check_input_shape()
        weight = check_sample_weight(sample_weight, X)
        rows = gather(waiting, X, weight)
        if not known and self._n_latents(len(rows.X)) < max(sizes):
            self._waiting = rows._asdict()
            return self
        rows = rows.normalised()

        online = getattr(self, "_online", None) or {
            "seed": self._draw_seed(),
            "passes": 0,
            "kind": self._kind_of_codes(),
            "state": {},
        }
        seed = (online["seed"] + online["passes"]) % 2**31
        dtype = self._dtype if known else X.dtype
        scale = self._scale() if known else Scale.of(rows.X, rows.weight)
        model = self._new_model(dtype, seed)
        trainer = self._trainer(model, scale, rows, seed)
        if known:
            self._restore(model, sizes)
        else:
            if self._pretraining:
                trainer.pretrain_once()
            else:
                trainer.pretrain(0)
            codes = self._first_codes(model, scale, rows, sizes, seed)
            model.set_codebooks([pad_codes(*p) for p in zip(codes, sizes, strict=True)])
        # codes of another kind are stored in other coordinates
        if online["state"] and online["kind"] == self._kind_of_codes():
            trainer.load_state(online["state"])
        else:
            trainer.start()
        model.bottleneck.anneal(min(1.0, online["passes"] / self.max_iter))
        history = trainer.one_pass(self._history())

        self._keep(model, self._learnt(model, scale, dtype, history))
        # a pass that diverged leaves no state worth going on from
        state = {} if trainer.stopped else trainer.state()
        self._online = {
            "seed": online["seed"],
            "passes": online["passes"] + 1,
            "kind": self._kind_of_codes(),
            "state": state,
        }
        self._describe(self._encode(X), weight)
        if self._n_latents(len(rows.X)) >= ROWS_A_CODE * max(sizes):
            warn_if_collapsed(self.codebook_usage_, sizes, self._remedy)
        return self

    def _kind_of_codes(self) -> str:
        """Return how codes are stored in training."""
        return str(getattr(self, "codebook_update", "gradient"))
