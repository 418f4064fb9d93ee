"""Training as all networks with codes share it: one fit, and what it is made of."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from skhyper._utils._callbacks import CallbackSupportMixin, EpochReports
from skhyper._utils._codes import resolve_sizes, warn_if_collapsed
from skhyper._utils._grid import grid_shape
from skhyper._utils._params import Interval, StrOptions, check_params
from skhyper._utils._rows import Rows, gather
from skhyper._utils._weights import check_sample_weight
from skhyper.base import check_X
from skhyper.quantizers._levels import fit_levels, warn_if_short
from skhyper.quantizers._online import check_grown, check_unchanged, pad_codes
from skhyper.tokenizers._network import NetworkCoder, apply_half
from skhyper.tokenizers._scale import Scale

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# k-means of the start looks at no more latents than these
KMEANS_ROWS = 50_000


class TrainedCoder(CallbackSupportMixin, NetworkCoder):
    """Train an autoencoder with codes at its bottleneck.

    The subclass names the manifold and the bottleneck.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "codebook_size": [Interval(Integral, 1, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "input_shape": ["array-like", None],
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "encoder": [callable, None],
        "decoder": [callable, None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
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

    codebook_size: int | Sequence[int]
    max_iter: int
    batch_size: int
    learning_rate: float
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

    # what to do against a level that uses few of its codes
    _remedy = "Lower codebook_size, or raise max_iter"

    # share of the epochs that train the bare autoencoder before the codebooks start
    _pretraining = 0.1

    # where codes start on the way from the origin to a centroid of k-means
    _share = 1.0

    # fitted attributes that a fit sets before its end, and puts back if it fails
    _early: tuple[str, ...] = ("n_features_in_", "feature_names_in_")

    @abstractmethod
    def _new_manifold(self) -> Any:
        """Return the space that the parameters ask for; `_manifold` is the fitted."""

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        target: IntArray | None = None,
        target_val: IntArray | None = None,
    ) -> Self:
        """Fit to rows, and to what is to be told of each, if anything is."""
        sizes = self._check_parameters()
        again = self.warm_start and hasattr(self, "codebooks_")
        seen, X = X, check_X(self, X, reset=not again)
        self._check_input_shape()
        if not again:
            self._check_enough(X, sizes)
        weight = self._weights(sample_weight, X, target)
        seed = self._draw_seed()
        # no copy of a training row may decide when to stop
        rows = gather(None, X, weight, target).normalised()
        scale = self._scale() if again else Scale.of(rows.X, rows.weight)
        given = self._validation_rows(X_val, scale, target_val)
        train, held_out = self._split(rows, given, seed)

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
        n_epochs, n_found = self.max_iter, sizes
        if again:
            self._restore(model, sizes)
        else:
            n_pretraining = int(self._pretraining * self.max_iter)
            n_epochs -= n_pretraining
            trainer.pretrain(n_pretraining)
            codes = self._first_codes(model, scale, train, sizes, seed)
            n_found = [len(level) for level in codes]
            model.set_codebooks(codes)
        history = trainer.run(n_epochs, trained=again)

        self._keep(model, self._learnt(model, scale, X.dtype, history))
        self._describe(self._encode(X), weight)
        reports.close(history)
        warn_if_short(self.codebook_size, sizes, n_found)
        # copies of codes that were not to be found had no part in a collapse
        usage = self.codebook_usage_ * np.divide(self._sizes(), n_found)
        warn_if_collapsed(usage, n_found, self._remedy)
        return self

    def _check_parameters(self) -> list[int]:
        """Check all parameters that need no data, and return the codebooks' sizes."""
        check_params(self)
        sizes = resolve_sizes(self.codebook_size, self.n_levels)
        self._widths()
        return sizes

    def _n_latents(self, n_rows: int) -> int:
        """Return how many latents some rows have, before there is a network."""
        return n_rows * math.prod(grid_shape(self.input_shape))

    def _check_enough(self, X: NDArray[Any], sizes: list[int]) -> None:
        """Raise a ValueError if there are fewer latents than codes of a level."""
        n_latents = self._n_latents(len(X))
        if max(sizes) > n_latents:
            each = "" if n_latents == len(X) else f" with {n_latents} latents"
            raise ValueError(
                f"codebook_size={self.codebook_size!r} asks for more codes than there "
                f"are samples: n_samples = {len(X)}{each}. Lower codebook_size, or "
                "give more samples."
            )

    def _weights(
        self, sample_weight: Any, X: NDArray[Any], target: IntArray | None
    ) -> FloatArray:
        """Return what each row counts in training."""
        return check_sample_weight(sample_weight, X)

    def _draw_seed(self) -> int:
        rng = check_random_state(self.random_state)
        return int(rng.randint(np.iinfo(np.int32).max))

    def _validation_rows(
        self, X_val: Any, scale: Scale, target: IntArray | None = None
    ) -> Rows | None:
        """Return the rows that a user gave for validation, checked."""
        if X_val is None:
            return None
        try:
            X_val = check_X(self, X_val, reset=False)
        except ValueError as error:
            raise ValueError(f"X_val cannot be used: {error}") from error
        scale.warn_if_foreign(X_val)
        return Rows(X_val, np.ones(len(X_val)), target)

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
        try:
            train, held_out = train_test_split(
                np.arange(n_samples),
                test_size=n_validation,
                stratify=self._strata(rows),
                random_state=seed,
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True with validation_fraction="
                f"{self.validation_fraction} cannot set {n_validation} of "
                f"{n_samples} distinct samples aside in the proportions of the "
                f"classes: {error} Give more samples, or X_val and y_val, or "
                "early_stopping=False."
            ) from error
        return rows.take(np.sort(train)), rows.take(np.sort(held_out))

    def _strata(self, rows: Rows) -> NDArray[Any] | None:
        """Return groups of rows, each of which gives its share to be held out."""
        return None

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
            found = [to_tensor(part, model.dtype, model.device) for part in parts]
            if rows.target is not None:
                found.append(to_tensor(rows.target, None, model.device))
            return tuple(found)

        settings = Settings(
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
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
        n_rows = max(1, KMEANS_ROWS // model.n_positions)
        if len(rows.X) > n_rows:
            rows = rows.take(rng.choice(len(rows.X), n_rows, replace=False))
        latents = apply_half(model, model.embed, scale.apply(rows.X)).astype(np.float64)
        latents = latents.reshape(-1, model.latent_dim)
        if not np.isfinite(latents).all():
            raise ValueError(
                "The encoder gives latents that are not finite, so that no codes can "
                f"start on them. Lower learning_rate={self.learning_rate:g}, or look "
                "at the encoder, if it is your own."
            )
        levels = fit_levels(
            model.manifold,
            np.asarray(model.manifold.expmap0(latents)),
            np.repeat(rows.weight, model.n_positions),
            sizes,
            residual=self.residual,
            rng=rng,
            n_init=1,
            max_iter=50,
            tol=1e-4,
            share=self._share,
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
            "codes_shape_": (self.n_levels, *grid_shape(self._shape_given())),
            "weights_": model.network_weights(),
            "offset_": scale.offset,
            "scale_": scale.scale,
            "loss_curve_": list(history.loss_curve),
            "error_curve_": list(history.training_errors),
            "validation_scores_": None if errors is None else [-e for e in errors],
            "n_iter_": max(1, len(history.loss_curve)),
            "_dtype": dtype,
            "_encoder_kind": self._kind_of("encoder"),
            "_decoder_kind": self._kind_of("decoder"),
            "_input_shape": self._shape_given(),
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
        from skhyper._nn._runtime import resolve_device, resolve_dtype, seeded

        device = resolve_device(self.device)
        dtype = resolve_dtype(self.dtype, data, device)
        layers = self._widths(), self.n_channels, self._shape_given()
        shape, halves = (self.latent_dim, *layers), (self.encoder, self.decoder)
        bottleneck = self._bottleneck(self._new_manifold())
        with seeded(seed, device):
            return self._build(*halves, shape, dtype, device, bottleneck)

    def _shape_given(self) -> tuple[int, ...] | None:
        """Return `input_shape` as a tuple."""
        shape = self.input_shape
        return None if shape is None else tuple(int(side) for side in shape)

    def _restore(self, model: Any, sizes: list[int]) -> None:
        """Bring a new network to the fitted weights and codes."""
        manifold, fitted = self._manifold(), self._sizes()
        check_unchanged("curvature", model.manifold.c, manifold.c)
        check_unchanged("encoder", self._kind_of("encoder"), self._encoder_kind)
        check_unchanged("decoder", self._kind_of("decoder"), self._decoder_kind)
        check_unchanged("input_shape", self._shape_given(), self._input_shape)
        check_grown("codebook_size", sizes, fitted)
        try:
            model.load_network_weights(self.weights_)
        except RuntimeError as error:
            raise ValueError(
                "Training cannot go on from the fitted weights: latent_dim, "
                "hidden_layer_sizes, n_channels, encoder or decoder differ from what "
                "was fitted. "
                f"Set them back, or call fit with warm_start=False. ({error})"
            ) from error
        pairs = zip(self.codebooks_, sizes, strict=True)
        padded = [pad_codes(codes, size) for codes, size in pairs]
        model.set_codebooks([np.asarray(manifold.logmap0(codes)) for codes in padded])

    @contextmanager
    def _features_kept(self) -> Iterator[None]:
        """Put back, after an error, what was known of the features before."""
        before = {name: vars(self)[name] for name in self._early if name in vars(self)}
        try:
            yield
        except BaseException:
            for name in self._early:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise
