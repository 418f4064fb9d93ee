"""Soft VQ: quantization that regularizes an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._params import Interval, StrOptions
from skhyper._utils._posterior import FIRST_LENGTH, posterior_logits, posterior_mean
from skhyper._utils._rows import Rows
from skhyper._utils._warn import warn_user
from skhyper.base import check_X
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.quantizers._online import check_unchanged
from skhyper.tokenizers._base import BaseTokenizer
from skhyper.tokenizers._network import apply_half
from skhyper.tokenizers._scale import Scale

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# latents whose probabilities are taken at once
BLOCK_ROWS = 4096


class SoftVQTokenizer(BaseTokenizer):
    """Autoencoder whose decoder reads the posterior mean of the codes.

    A latent is taken for a code with noise, whose scale for each code the encoder
    predicts, so that each latent belongs to all codes, with the probabilities that
    Bayes' rule gives. This regularizes the latents, and `embed` gives them.

    Parameters
    ----------
    codebook_size : int, default=256
        Number of codes.
    latent_dim : int, default=32
        Dimensions of the latent space, where codes live.
    hidden_layer_sizes : int or array-like of int, default=(512, 256, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them.
    input_shape : tuple of int or None, default=None
        Shape of a row that is a picture, (channels, height, width), or a sound,
        (channels, length). It brings the convolutional network of [2]_, with two
        strided convolutions for pictures (a code for each 4 x 4 pixels) or six for
        sounds (one for each 64 samples), and two residual blocks. Rows stay flat.
    n_channels : int, default=64
        Width of its convolutions; `hidden_layer_sizes` is not used then.
    encoder : torch.nn.Module or None, default=None
        A network of your own from rows (n, n_features) to its latents and what is
        said of the scales, (n, latent_dim + codebook_size), to take the place of the
        layers named above; it is copied, and trained from the weights it has. With
        `input_shape` it gives that for each position of `codes_shape_`, one after the
        other: (n, n_positions * (latent_dim + codebook_size)).
    decoder : torch.nn.Module or None, default=None
        A network of your own from latents, of all positions, back to rows; None
        mirrors the encoder.
    max_iter : int, default=200
        The most epochs. Codes are there from the first step: latents of an autoencoder
        that was trained without them would part less well.
    batch_size : int, default=256
        Rows of a batch.
    learning_rate : float, default=1e-3
        Step size of AdamW.
    commitment_weight : float, default=2.5
        Weight of the loss that pulls latents to the posterior means.
    posterior : {"gaussian", "reference"}, default="gaussian"
        "gaussian" has the densities of normal noise; "reference" is the formula of
        the authors' code, which multiplies by the scale where the density divides by
        its power of `latent_dim`.
    geometry : {"euclidean", "hyperbolic"}, default="euclidean"
        Where latents and codes live. On the ball distances are hyperbolic, and the
        posterior mean is the weighted gyromidpoint of the codes.
    curvature : float, default=1.0
        The ball has sectional curvature ``-curvature``; not used in flat space.
    early_stopping : bool, default=False
        Set rows aside, stop once their reconstruction error does not fall any more,
        and keep the weights of its minimum. If False, the reconstruction error of
        the training rows takes its place.
    validation_fraction : float, default=0.1
        Share of the rows set aside.
    n_iter_no_change : int, default=10
        Epochs without an improvement of `tol` after which training stops.
    tol : float, default=1e-4
        What counts as an improvement. The loss is relative to the variance of the
        data, so that this does not depend on their scale.
    warm_start : bool, default=False
        Let `fit` go on from the fitted network, codes and scale.
    random_state : int, RandomState instance or None, default=None
        Seeds the network, the batches and the codebooks. The global generators of
        NumPy and torch are left alone.
    device : str, default="auto"
        Where to train and run the network: "cpu", "cuda", "mps", ... "auto" takes
        CUDA, then MPS, then the CPU.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Of the network. "auto" follows `X` on the CPU, and is float32 elsewhere. On
        the CPU the step on the manifold runs in float64 all the same. With
        `input_shape` the trained network runs in float64 there, whatever `dtype` is.
    verbose : int, default=0
        1 logs a line an epoch to the logger "skhyper".

    Attributes
    ----------
    codebooks_ : list of one float64 array (codebook_size, latent_dim)
        The codes, in ball coordinates with `geometry` "hyperbolic".
    curvature_ : float
        The curvature used; 0 in flat space.
    codes_shape_ : tuple of int
        ``(1,)``, followed by the grid of positions where `input_shape` is given:
        ``codes.reshape(-1, *codes_shape_)`` folds codes.
    weights_ : dict of str to array
        Parameters of the encoder and the decoder.
    loss_curve_ : list of float
        Training loss of each epoch.
    error_curve_ : list of float
        Its reconstruction part, relative to the variance of the data.
    validation_scores_ : list of float or None
        Minus the reconstruction error of the validation rows, relative to the
        variance of the data; None without `early_stopping` or ``X_val``.
    n_iter_ : int
        Number of epochs.
    labels_ : int64 array of shape (n_samples,)
        The first token of each training row; not where a row has several positions.
    codebook_usage_ : array of shape (n_levels,)
        Share of each codebook that the training rows use.
    offset_ : float64 array of shape (n_features,)
        Mean of the data, subtracted before the encoder.
    scale_ : float
        Root of the mean variance of a feature, divided by before the encoder.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (`n_features_in_`,)
        Names of the features, if `fit` saw names.

    See Also
    --------
    VQVAETokenizer : The limit of noise that vanishes.

    Notes
    -----
    The loss is the mean squared reconstruction error over the variance of the data,
    plus ``d(sg(z), z_hat)^2``, which trains codes and scales, plus `commitment_weight`
    times ``d(z, sg(z_hat))^2``, with half distances on the ball. The decoder's gradient
    passes straight through, as in the authors' code. `transform` gives the most
    probable code, which need not be the nearest. A single code stands for its rows
    badly, because the decoder has seen means alone: `quantize` gives these, `score` is
    their error, and ``inverse_transform(predict_proba(X))`` reconstructs from them.

    The network says the logarithm of the power of the scale in the formula, so that its
    codes compete as quickly as a softmax's in any number of dimensions. 0 stands for
    the root mean square length that latents and codes start with, 0.4.

    A new network has no pretraining: latents of an autoencoder that was trained without
    codes part less well. Codes are drawn at random, and `commitment_weight` counts in
    full only after a tenth of the epochs, and only where latents keep half of the
    length that they start with, or the codes tell them apart. Otherwise all of them
    might fall into one point before the decoder reads anything in them. For the same
    reason perceptrons start with Glorot's weights.

    On the ball the density of normal noise has a normalizing constant of its own;
    ``scale ** -latent_dim`` is its limit for small scales, and stands for it here.

    References
    ----------
    .. [1] H. Wu, M. Flierl, "Quantization-Based Regularization for Autoencoders",
       AAAI 2020. arXiv:1905.11062.
    .. [2] A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete
       Representation Learning", NeurIPS 2017. arXiv:1711.00937.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.tokenizers import SoftVQTokenizer
    >>> X = load_naics().data
    >>> tokenizer = SoftVQTokenizer(16, hidden_layer_sizes=64, max_iter=5,
    ...                             random_state=0).fit(X)
    >>> tokenizer.embed(X).shape
    (1012, 32)
    >>> tokenizer.predict_proba(X).shape
    (1012, 16)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseTokenizer._parameter_constraints,
        "commitment_weight": [Interval(Real, 0, None, closed="left")],
        "posterior": [StrOptions({"gaussian", "reference"})],
        "geometry": [StrOptions({"euclidean", "hyperbolic"})],
        "curvature": [Interval(Real, 0, np.inf, closed="neither")],
    }

    # codes are there from the first step
    _pretraining = 0.0

    _remedy = "Lower codebook_size, raise max_iter, or lower commitment_weight"

    def __init__(
        self,
        codebook_size: int = 256,
        *,
        latent_dim: int = 32,
        hidden_layer_sizes: int | Sequence[int] = (512, 256, 128),
        input_shape: Sequence[int] | None = None,
        n_channels: int = 64,
        encoder: Any = None,
        decoder: Any = None,
        max_iter: int = 200,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        commitment_weight: float = 2.5,
        posterior: str = "gaussian",
        geometry: str = "euclidean",
        curvature: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        dtype: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.codebook_size = codebook_size
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.input_shape = input_shape
        self.n_channels = n_channels
        self.encoder = encoder
        self.decoder = decoder
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.commitment_weight = commitment_weight
        self.posterior = posterior
        self.geometry = geometry
        self.curvature = curvature
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Return the posterior of the codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        proba : float64 array of shape (n_samples, codebook_size)
            The probability of each code behind a row; where a row has several
            positions, (n_samples, n_positions, codebook_size).
        """
        check_is_fitted(self)
        proba = self._posterior(check_X(self, X, reset=False))
        if self._n_positions == 1:
            return proba
        return proba.reshape(-1, self._n_positions, proba.shape[1])

    def inverse_transform(self, codes: ArrayLike) -> NDArray[Any]:
        """Reconstruct rows from codes, or from probabilities of codes.

        Parameters
        ----------
        codes : array-like, int of shape (n_samples, n_positions) or float as below
            Tokens, each of which stands for its code alone; or probabilities as
            `predict_proba` gives them, (n_samples, codebook_size) or (n_samples,
            n_positions, codebook_size), which stand for the mean of the codes. The
            decoder was trained on means.

        Returns
        -------
        X : array of shape (n_samples, n_features)
            In the input space, with the dtype seen in `fit`.

        Raises
        ------
        ValueError
            If `codes` is neither a 2-D array of integers in the codebook, nor holds
            shares of all codes.
        """
        check_is_fitted(self)
        given = np.asarray(codes)
        n_codes = len(self.codebooks_[0])
        several = (self._n_positions,) if self._n_positions > 1 else ()
        if given.dtype.kind != "f" or given.shape[1:] != (*several, n_codes):
            return super().inverse_transform(codes)
        proba = given.reshape(-1, n_codes)
        off = np.flatnonzero(
            ~((proba >= 0).all(axis=1) & (np.abs(proba.sum(axis=1) - 1) < 1e-3))
        )
        if off.size:
            raise ValueError(
                f"codes has probabilities in row {off[0] // self._n_positions} that "
                f"sum to {proba[off[0]].sum():g}; they must be at least 0 and sum to "
                "1. Divide rows by their sums."
            )
        return self._decode_points(self._mean(proba)).astype(self._dtype, copy=False)

    def _quantized_points(self, X: NDArray[Any]) -> FloatArray:
        return self._mean(self._posterior(X))

    def _reconstruct(self, X: NDArray[Any]) -> FloatArray:
        return self._decode_points(self._quantized_points(X))

    def _mean(self, proba: FloatArray) -> FloatArray:
        """Return the points that the decoder gets, one a row of probabilities."""
        proba = proba.astype(np.float64, copy=False)
        (codes,) = self.codebooks_
        return np.asarray(posterior_mean(self._manifold(), proba, codes))

    def _posterior(self, X: NDArray[Any]) -> FloatArray:
        """Return the posterior of each position, row by row."""
        manifold, (codes,) = self._manifold(), self.codebooks_
        model, n_dims = self._network(), codes.shape[1]
        found = apply_half(model, model.embed_with_extra, self._scale().apply(X))
        rows = found.astype(np.float64, copy=False).reshape(-1, n_dims + len(codes))
        half = 0.5 if manifold.c else 1.0
        proba = np.empty((len(rows), len(codes)))
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            z = np.asarray(manifold.expmap0(rows[block, :n_dims]))
            sq_dist = (half * manifold.pairwise_dist(z, codes)) ** 2
            said = rows[block, n_dims:]
            logits = posterior_logits(np, self._kind, sq_dist, said, n_dims)
            proba[block] = softmax(logits, axis=1)
        return proba

    def _encode(self, X: NDArray[Any]) -> IntArray:
        return self._posterior(X).argmax(axis=1)[:, None]

    def _new_model(self, data: np.dtype[Any], seed: int) -> Any:
        from skhyper._nn._layers import start_evenly
        from skhyper._nn._runtime import seeded

        model = super()._new_model(data, seed)
        with seeded(seed, model.device):
            for half in ("encoder", "decoder"):
                if self._kind_of(half) == "mlp":
                    start_evenly(getattr(model, half))
        return model

    def _first_codes(
        self, model: Any, scale: Scale, rows: Rows, sizes: list[int], seed: int
    ) -> list[FloatArray]:
        """Draw codes: the latents of a new network say nothing yet."""
        (n_codes,), n_latents = sizes, len(rows.X) * model.n_positions
        if n_latents < n_codes:
            warn_user(
                f"codebook_size={n_codes}, but there were too few distinct rows for "
                f"it: {n_latents} latents for its codes. Lower codebook_size or give "
                "more samples.",
                ConvergenceWarning,
            )
        shape = (n_codes, model.latent_dim)
        length = min(FIRST_LENGTH, (model.reach or np.inf) / 2)
        spread = length * (3 / model.latent_dim) ** 0.5
        return [np.random.RandomState(seed).uniform(-spread, spread, shape)]

    def _n_codes(self) -> int:
        assert isinstance(self.codebook_size, Integral)
        return int(self.codebook_size)

    def _n_extra(self) -> int:
        return len(self.codebooks_[0])

    def _bottleneck(self, manifold: Any) -> Any:
        from skhyper._nn._posterior import PosteriorMean

        return PosteriorMean(
            manifold,
            n_codes=self._n_codes(),
            posterior=self.posterior,
            commitment_weight=self.commitment_weight,
        )

    def _new_manifold(self) -> Any:
        flat = self.geometry == "euclidean"
        return Euclidean() if flat else PoincareBall(self.curvature)

    def _manifold(self) -> Any:
        return PoincareBall(self.curvature_) if self.curvature_ else Euclidean()

    def _restore(self, model: Any, sizes: list[int]) -> None:
        geometry = "hyperbolic" if self.curvature_ else "euclidean"
        check_unchanged("geometry", self.geometry, geometry)
        # the encoder has an output for each code
        check_unchanged("codebook_size", self._n_codes(), self._n_extra())
        super()._restore(model, sizes)
        model.bottleneck.is_new = False

    def _learnt(self, model: Any, *moment: Any) -> dict[str, Any]:
        own = {"curvature_": model.manifold.c, "_kind": self.posterior}
        return {**super()._learnt(model, *moment), **own}
