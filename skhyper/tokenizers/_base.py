"""What the tokenizers share: scale, train, keep NumPy weights, encode and decode."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._codes import resolve_sizes
from skhyper._utils._log import logger, show_progress
from skhyper._utils._params import Interval, StrOptions, check_params
from skhyper._utils._weights import check_sample_weight, distinct_rows
from skhyper.base import BaseCoder, check_X
from skhyper.quantizers._levels import fit_levels, warn_if_short
from skhyper.quantizers._stack import ResidualStack

FloatArray = NDArray[np.float64]

# The share of the epochs that train the bare autoencoder before the codebooks start.
PRETRAINING = 0.1

# k-means of the start looks at no more rows than these
KMEANS_ROWS = 50_000

# Networks of fitted tokenizers, outside their __dict__: pickles and copies hold NumPy
# arrays only, and build the network again when they first need it.
_networks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


class BaseRQTokenizer(BaseCoder):
    """Autoencoder with a residual stack at its bottleneck.

    The subclass names the manifold and the residual rule.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "commitment_weight": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "device": [str],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "verbose": ["verbose"],
    }

    n_levels: int
    codebook_size: int | Sequence[int]
    latent_dim: int
    hidden_layer_sizes: int | Sequence[int]
    max_iter: int
    batch_size: int
    learning_rate: float
    commitment_weight: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    random_state: Any
    device: str
    dtype: str
    verbose: int | bool

    @abstractmethod
    def _residual_rule(self) -> str:
        """Return the name of the residual rule."""

    def fit(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: ArrayLike | None = None,
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

        Returns
        -------
        self : object
            The fitted estimator. A KeyboardInterrupt ends training with a warning
            and keeps the best weights so far.
        """
        check_params(self)
        sizes = resolve_sizes(self.codebook_size, self.n_levels)
        widths = self._widths()
        X = check_X(self, X, reset=True)
        weight = check_sample_weight(sample_weight, X)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._dtype = X.dtype
        # repeats become weights: to train on a row twice is to weigh it double, and
        # no copy of a training row decides when to stop
        distinct, total = distinct_rows(X, weight)
        self._set_scale(X[distinct], total)
        train, validation = self._split(len(distinct), seed)
        self._train(
            X[distinct], total / total.mean(), train, validation, sizes, widths, seed
        )
        warn_if_short(self.codebook_size, sizes, self._sizes())
        self._describe(self._encode(X), weight)
        return self

    def embed(self, X: ArrayLike) -> NDArray[Any]:
        """Return the latents before quantization.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        latents : array of shape (n_samples, latent_dim)
            Tangent coordinates at the origin, in the dtype seen in `fit`.
        """
        check_is_fitted(self)
        return self._embed(check_X(self, X, reset=False)).astype(
            self._dtype, copy=False
        )

    def quantize(self, X: ArrayLike) -> NDArray[Any]:
        """Return the latents after quantization.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        latents : array of shape (n_samples, latent_dim)
            Tangent coordinates at the origin, in the dtype seen in `fit`.
        """
        check_is_fitted(self)
        points = self._prefix_points(self._encode(check_X(self, X, reset=False)))
        latents = np.asarray(self._manifold().logmap0(points))
        return latents.astype(self._dtype, copy=False)

    def _widths(self) -> list[int]:
        """Return the widths of the hidden layers, checked."""
        given = self.hidden_layer_sizes
        widths = list(given) if isinstance(given, Iterable) else [given]
        if not all(isinstance(n, Integral) and n >= 1 for n in widths):
            raise ValueError(
                f"hidden_layer_sizes={given!r} must hold integers of at least 1."
            )
        return [int(n) for n in widths]

    def _set_scale(self, X: NDArray[Any], weight: FloatArray) -> None:
        """Learn what makes the loss and the network blind to the data's own scale."""
        X = X.astype(np.float64, copy=False)
        share = weight / weight.sum()
        self.offset_ = share @ X
        variance = float(np.mean(share @ (X - self.offset_) ** 2))
        # rows that differ by rounding alone have no scale of their own
        noise = (1e-7 * float(np.max(np.abs(X), initial=0.0))) ** 2
        self.scale_ = variance**0.5 if variance > noise else 1.0

    def _split(
        self, n_samples: int, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows to train on, and those that decide when to stop."""
        if not self.early_stopping:
            return np.arange(n_samples), np.arange(0)
        n_validation = int(np.ceil(self.validation_fraction * n_samples))
        if n_validation >= n_samples:
            raise ValueError(
                f"early_stopping=True with validation_fraction="
                f"{self.validation_fraction} leaves no row to train on, out of "
                f"n_samples = {n_samples} distinct ones. Give more samples or "
                "early_stopping=False."
            )
        order = np.random.RandomState(seed).permutation(n_samples)
        return np.sort(order[n_validation:]), np.sort(order[:n_validation])

    def _train(
        self,
        X: NDArray[Any],
        weight: FloatArray,
        train: NDArray[np.int64],
        validation: NDArray[np.int64],
        sizes: list[int],
        widths: list[int],
        seed: int,
    ) -> None:
        """Pretrain, start the codebooks by k-means, train, and keep what was learnt."""
        from skhyper._nn._runtime import resolve_device, seeded, to_tensor
        from skhyper._nn._train import Settings, Trainer

        device = resolve_device(self.device)
        n_pretraining = int(PRETRAINING * self.max_iter)
        settings = Settings(
            max_iter=self.max_iter - n_pretraining,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            commitment_weight=self.commitment_weight,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            seed=seed,
        )
        scaled = self._scaled(X)
        with seeded(seed, device):
            model = self._build(widths, device)

        def rows(which: NDArray[np.int64]) -> Any:
            part = to_tensor(scaled[which], model.dtype, device)
            return part, to_tensor(weight[which], model.dtype, device)

        held_out = rows(validation) if len(validation) else None
        trainer = Trainer(model, rows(train), settings, validation=held_out)
        trainer.pretrain(n_pretraining)
        self._keep_network(model)
        model.set_codebooks(self._start_codebooks(X, weight, train, sizes, seed))
        if self.verbose:
            show_progress()
        history = trainer.run(self._report if self.verbose else None)
        self._keep_network(model)
        self.codebooks_ = [
            np.asarray(self._manifold().expmap0(tangent))
            for tangent in model.tangents()
        ]
        self._keep_history(history)

    def _start_codebooks(
        self,
        X: NDArray[Any],
        weight: FloatArray,
        train: NDArray[np.int64],
        sizes: list[int],
        seed: int,
    ) -> list[FloatArray]:
        """Return codebooks, as tangent vectors, from k-means of the present latents."""
        rng = np.random.RandomState(seed)
        if len(train) > KMEANS_ROWS:
            train = rng.choice(train, KMEANS_ROWS, replace=False)
        manifold = self._manifold()
        levels = fit_levels(
            manifold,
            self._points(X[train]),
            weight[train],
            sizes,
            residual=self._residual_rule(),
            rng=rng,
            n_init=1,
            max_iter=50,
            tol=1e-4,
        )
        return [np.asarray(manifold.logmap0(codes)) for codes in levels.codebooks]

    def _keep_history(self, history: Any) -> None:
        self.loss_curve_ = history.loss_curve
        self.error_curve_ = history.training_errors
        self.validation_scores_ = (
            [-error for error in history.validation_errors]
            if self.early_stopping
            else None
        )
        self.n_iter_ = max(1, len(history.loss_curve))

    def _report(self, record: dict[str, float]) -> None:
        logger.info(
            "%s epoch %d: loss %.6g, error %.6g",
            type(self).__name__,
            record["epoch"],
            record["loss"],
            record["error"],
        )

    def _build(self, widths: list[int], device: Any) -> Any:
        """Return a new network for the data seen in `fit`."""
        from skhyper._nn._model import ResidualAutoencoder, mlp
        from skhyper._nn._runtime import point_dtype, resolve_dtype

        dtype = resolve_dtype(self.dtype, self._dtype, device)
        shape = [self.n_features_in_, *widths, self.latent_dim]
        return ResidualAutoencoder(
            mlp(shape),
            mlp(shape[::-1]),
            self._manifold(),
            self._residual_rule(),
            latent_dim=self.latent_dim,
            dtype=dtype,
            point_dtype=point_dtype(device, dtype),
        ).to(device)

    def _keep_network(self, model: Any) -> None:
        """Store the weights as NumPy arrays, and the network beside the estimator."""
        self.weights_ = model.network_weights()
        _networks[self] = model

    def _network(self) -> Any:
        model = _networks.get(self)
        if model is None:
            from skhyper._nn._runtime import resolve_device

            widths = [
                len(self.weights_[name])
                for name in self.weights_
                if name.startswith("encoder") and name.endswith("bias")
            ][:-1]
            model = self._build(widths, resolve_device(self.device))
            model.load_network_weights(self.weights_)
            _networks[self] = model
        return model

    def _scaled(self, X: NDArray[Any]) -> NDArray[Any]:
        return ((X - self.offset_) / self.scale_).astype(X.dtype, copy=False)

    def _apply(
        self, choose: Callable[[Any], Callable[[Any], Any]], X: NDArray[Any]
    ) -> NDArray[Any]:
        """Return what one half of the network makes of the rows of `X`."""
        from skhyper._nn._runtime import apply_in_blocks

        model = self._network().eval()
        return apply_in_blocks(choose(model), X, model.dtype, model.device)

    def _embed(self, X: NDArray[Any]) -> FloatArray:
        latents = self._apply(lambda model: model.embed, self._scaled(X))
        return latents.astype(np.float64, copy=False)

    def _points(self, X: NDArray[Any]) -> FloatArray:
        return np.asarray(self._manifold().expmap0(self._embed(X)))

    def _stack(self) -> ResidualStack:
        return ResidualStack(self._manifold(), self.codebooks_, self._residual_rule())

    def _encode(self, X: NDArray[Any]) -> NDArray[np.int64]:
        return self._stack().encode(self._points(X))

    def _decode(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        latents = np.asarray(self._manifold().logmap0(self._prefix_points(codes)))
        scaled = self._apply(lambda model: model.decode, latents)
        return scaled.astype(np.float64) * self.scale_ + self.offset_
