"""What the tokenizers share of training: whole, in chunks, or going on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhyper._utils._callbacks import (
    CallbackSupportMixin,
    EpochReports,
    with_callbacks,
)
from skhyper._utils._codes import check_beam_size, resolve_sizes, warn_if_collapsed
from skhyper._utils._params import Interval, StrOptions, check_params
from skhyper._utils._rows import Rows, gather
from skhyper._utils._weights import check_sample_weight
from skhyper.base import check_X
from skhyper.quantizers._levels import fit_levels, warn_if_short
from skhyper.quantizers._online import check_grown, check_unchanged, pad_codes
from skhyper.tokenizers._network import NetworkCoder, apply_half
from skhyper.tokenizers._scale import Scale

FloatArray = NDArray[np.float64]

# The share of the epochs that train the bare autoencoder before the codebooks start.
PRETRAINING = 0.1

# a chunk with fewer rows a code says nothing about collapse
ROWS_A_CODE = 4

# k-means of the start looks at no more rows than these
KMEANS_ROWS = 50_000


class BaseRQTokenizer(CallbackSupportMixin, NetworkCoder):
    """Train an autoencoder with a residual stack at its bottleneck.

    The subclass names the manifold and the parts of the stack.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "encoder": [callable, None],
        "decoder": [callable, None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "commitment_weight": [Interval(Real, 0, None, closed="left")],
        "codebook_update": [StrOptions({"gradient", "ema"})],
        "assignment": [StrOptions({"nearest", "balanced"})],
        "beam_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "verbose": ["verbose"],
    }

    n_levels: int
    codebook_size: int | Sequence[int]
    max_iter: int
    batch_size: int
    learning_rate: float
    commitment_weight: float
    codebook_update: str
    assignment: str
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    warm_start: bool
    random_state: Any
    verbose: int | bool

    loss_curve_: list[float]
    error_curve_: list[float]
    validation_scores_: list[float] | None
    n_iter_: int

    @abstractmethod
    def _new_manifold(self) -> Any:
        """Return the space that the parameters ask for; `_manifold` is the fitted."""

    def _parts(self) -> dict[str, Any]:
        """Return what the stack is made of, as keywords of `skhyper._nn` Parts."""
        return {
            "residual": "exact",
            "codebook_update": self.codebook_update,
            "assignment": self.assignment,
            "beam_size": self.beam_size,
        }

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
        """
        with self._features_kept():
            return self._fit(X, y, sample_weight, X_val)

    def _fit(self, X: Any, y: Any, sample_weight: Any, X_val: Any) -> Self:
        sizes = self._check_parameters()
        again = self.warm_start and hasattr(self, "codebooks_")
        seen, X = X, check_X(self, X, reset=not again)
        weight = check_sample_weight(sample_weight, X)
        seed = self._draw_seed()
        # no copy of a training row may decide when to stop
        rows = gather(None, X, weight).normalised()
        scale = self._scale() if again else Scale.of(*rows)
        train, held_out = self._split(rows, self._validation_rows(X_val, scale), seed)

        model = self._new_model(X.dtype, seed)
        reports = EpochReports(
            self,
            self.max_iter,
            lambda history: self._learnt(model, scale, X.dtype, history),
            X=seen,
            y=y,
            metadata={} if sample_weight is None else {"sample_weight": sample_weight},
        )
        trainer = self._trainer(model, scale, train, seed, reports, held_out)
        n_epochs = self.max_iter
        if again:
            self._restore(model, sizes)
        else:
            n_pretraining = int(PRETRAINING * self.max_iter)
            n_epochs -= n_pretraining
            trainer.pretrain(n_pretraining)
            model.set_codebooks(self._first_codes(model, scale, train, sizes, seed))
        history = trainer.run(n_epochs, trained=again)

        self._keep(model, self._learnt(model, scale, X.dtype, history))
        self._describe(self._encode(X), weight)
        reports.close(history)
        warn_if_short(self.codebook_size, sizes, self._sizes())
        warn_if_collapsed(self.codebook_usage_, self._sizes())
        return self

    def partial_fit(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one pass over a chunk of rows.

        The first chunk settles the scale of the data, trains the bare autoencoder for
        a pass and starts the codebooks. While there are fewer distinct rows than the
        largest codebook has codes, chunks are only gathered, and the estimator counts
        as not fitted. After `fit`, it goes on from the fitted weights. Codes that a
        chunk does not use start again from a residual, so a chunk should hold several
        rows a code. No callback is called.

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
            grow).
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
        weight = check_sample_weight(sample_weight, X)
        rows = gather(waiting, X, weight)
        if not known and len(rows.X) < max(sizes):
            self._waiting = rows._asdict()
            return self
        rows = rows.normalised()

        online = getattr(self, "_online", None) or {
            "seed": self._draw_seed(),
            "passes": 0,
            "kind": self.codebook_update,
            "state": {},
        }
        seed = (online["seed"] + online["passes"]) % 2**31
        dtype = self._dtype if known else X.dtype
        scale = self._scale() if known else Scale.of(*rows)
        model = self._new_model(dtype, seed)
        trainer = self._trainer(model, scale, rows, seed)
        if known:
            self._restore(model, sizes)
        else:
            trainer.pretrain_once()
            codes = self._first_codes(model, scale, rows, sizes, seed)
            model.set_codebooks([pad_codes(*p) for p in zip(codes, sizes, strict=True)])
        # codes of another kind are stored in other coordinates
        if online["state"] and online["kind"] == self.codebook_update:
            trainer.load_state(online["state"])
        else:
            trainer.start()
        history = trainer.one_pass(self._history())

        self._keep(model, self._learnt(model, scale, dtype, history))
        # a pass that diverged leaves no state worth going on from
        state = {} if trainer.stopped else trainer.state()
        self._online = {
            "seed": online["seed"],
            "passes": online["passes"] + 1,
            "kind": self.codebook_update,
            "state": state,
        }
        self._describe(self._encode(X), weight)
        if len(rows.X) >= ROWS_A_CODE * max(sizes):
            warn_if_collapsed(self.codebook_usage_, sizes)
        return self

    def _check_parameters(self) -> list[int]:
        """Check all parameters that need no data, and return the codebooks' sizes."""
        check_params(self)
        sizes = resolve_sizes(self.codebook_size, self.n_levels)
        check_beam_size(self.beam_size, sizes)
        self._widths()
        return sizes

    def _draw_seed(self) -> int:
        rng = check_random_state(self.random_state)
        return int(rng.randint(np.iinfo(np.int32).max))

    def _validation_rows(self, X_val: Any, scale: Scale) -> Rows | None:
        """Return the rows that a user gave for validation, checked."""
        if X_val is None:
            return None
        try:
            X_val = check_X(self, X_val, reset=False)
        except ValueError as error:
            raise ValueError(f"X_val cannot be used: {error}") from error
        scale.warn_if_foreign(X_val)
        return Rows(X_val, np.ones(len(X_val)))

    def _split(
        self, rows: Rows, given: Rows | None, seed: int
    ) -> tuple[Rows, Rows | None]:
        """Return the rows to train on, and those that decide when to stop."""
        if given is not None or not self.early_stopping:
            return rows, given
        n_samples = len(rows.X)
        n_validation = int(np.ceil(self.validation_fraction * n_samples))
        if n_validation >= n_samples:
            raise ValueError(
                f"early_stopping=True with validation_fraction="
                f"{self.validation_fraction} leaves no row to train on, out of "
                f"n_samples = {n_samples} distinct ones. Give more samples or "
                "early_stopping=False."
            )
        order = np.random.RandomState(seed).permutation(n_samples)
        train, held_out = np.sort(order[n_validation:]), np.sort(order[:n_validation])
        return rows.take(train), rows.take(held_out)

    def _trainer(
        self,
        model: Any,
        scale: Scale,
        train: Rows,
        seed: int,
        reports: EpochReports | None = None,
        held_out: Rows | None = None,
    ) -> Any:
        from skhyper._nn._runtime import to_tensor
        from skhyper._nn._train import Settings, Trainer

        def tensors(rows: Rows) -> Any:
            parts = scale.apply(rows.X), rows.weight
            return tuple(to_tensor(part, model.dtype, model.device) for part in parts)

        settings = Settings(
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            commitment_weight=self.commitment_weight,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            seed=seed,
        )
        validation = None if held_out is None else tensors(held_out)
        return Trainer(model, tensors(train), settings, reports, validation)

    def _first_codes(
        self, model: Any, scale: Scale, rows: Rows, sizes: list[int], seed: int
    ) -> list[FloatArray]:
        """Return codebooks, as tangent vectors, from k-means of the present latents."""
        rng = np.random.RandomState(seed)
        if len(rows.X) > KMEANS_ROWS:
            rows = rows.take(rng.choice(len(rows.X), KMEANS_ROWS, replace=False))
        latents = apply_half(model, model.embed, scale.apply(rows.X)).astype(np.float64)
        if not np.isfinite(latents).all():
            raise ValueError(
                "The encoder gives latents that are not finite, so that no codes can "
                f"start on them. Lower learning_rate={self.learning_rate:g}, or look "
                "at the encoder, if it is your own."
            )
        levels = fit_levels(
            model.manifold,
            np.asarray(model.manifold.expmap0(latents)),
            rows.weight,
            sizes,
            residual=model.parts.residual,
            rng=rng,
            n_init=1,
            max_iter=50,
            tol=1e-4,
        )
        return [np.asarray(model.manifold.logmap0(codes)) for codes in levels.codebooks]

    def _learnt(
        self, model: Any, scale: Scale, dtype: np.dtype[Any], history: Any
    ) -> dict[str, Any]:
        """Return the fitted attributes of this moment of training."""
        errors = history.validation_errors
        return {
            "codebooks_": [
                np.asarray(model.manifold.expmap0(tangent))
                for tangent in model.codebooks.tangents()
            ],
            "weights_": model.network_weights(),
            "offset_": scale.offset,
            "scale_": scale.scale,
            "loss_curve_": list(history.loss_curve),
            "error_curve_": list(history.training_errors),
            "validation_scores_": None if errors is None else [-e for e in errors],
            "n_iter_": max(1, len(history.loss_curve)),
            "_dtype": dtype,
            "_encoder_kind": self._kind_of_encoder(),
        }

    def _keep(self, model: Any, attributes: dict[str, Any]) -> None:
        """Become what `attributes` say, and forget what only `partial_fit` knew."""
        for name in ("_online", "_waiting"):
            self.__dict__.pop(name, None)
        self.__dict__.update(attributes)
        self._keep_network(model)

    def _history(self) -> Any:
        """Return the curves of what was fitted so far."""
        from skhyper._nn._train import History

        if not hasattr(self, "codebooks_"):
            return History()
        return History([*self.loss_curve_], [*self.error_curve_])

    def _new_model(self, data: np.dtype[Any], seed: int) -> Any:
        """Return an untrained network for data of a dtype, on the device asked for."""
        from skhyper._nn._runtime import resolve_device, seeded

        device = resolve_device(self.device)
        with seeded(seed, device):
            manifold = self._new_manifold()
            return self._build(self.encoder, self._widths(), data, device, manifold)

    def _restore(self, model: Any, sizes: list[int]) -> None:
        """Bring a new network to the fitted weights and codes."""
        manifold, fitted = self._manifold(), self._sizes()
        check_unchanged("curvature", model.manifold.c, manifold.c)
        check_unchanged("encoder", self._kind_of_encoder(), self._encoder_kind)
        check_grown("codebook_size", sizes, fitted)
        try:
            model.load_network_weights(self.weights_)
        except RuntimeError as error:
            raise ValueError(
                "Training cannot go on from the fitted weights: latent_dim, "
                "hidden_layer_sizes, encoder or decoder differ from what was fitted. "
                f"Set them back, or call fit with warm_start=False. ({error})"
            ) from error
        pairs = zip(self.codebooks_, sizes, strict=True)
        padded = [pad_codes(codes, size) for codes, size in pairs]
        model.set_codebooks([np.asarray(manifold.logmap0(codes)) for codes in padded])

    @contextmanager
    def _features_kept(self) -> Iterator[None]:
        """Put back, after an error, what was known of the features before."""
        names = ("n_features_in_", "feature_names_in_")
        before = {name: vars(self)[name] for name in names if name in vars(self)}
        try:
            yield
        except BaseException:
            for name in names:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise
