"""HRQ-VAE: an autoencoder with residual quantization in the Poincare ball."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from skhyper._utils._params import Interval, StrOptions
from skhyper.manifolds import PoincareBall
from skhyper.tokenizers._nearest import ResidualTokenizer


class HRQVAETokenizer(ResidualTokenizer):
    """Autoencoder with residual quantization in the Poincare ball.

    Parameters
    ----------
    n_levels : int, default=3
        Number of levels, the length of a code.
    codebook_size : int or array-like of int, default=256
        Codes of a level; one number a level, or one for all.
    latent_dim : int, default=32
        Dimensions of the latent space, where codes live.
    hidden_layer_sizes : int or array-like of int, default=(512, 256, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them.
    input_shape : tuple of int or None, default=None
        Shape of a row that is a picture, (channels, height, width), or a sound,
        (channels, length). It brings the convolutional network of [4]_, with two
        strided convolutions for pictures (a code for each 4 x 4 pixels) or six for
        sounds (one for each 64 samples), and two residual blocks. Rows stay flat.
    n_channels : int, default=64
        Width of its convolutions; `hidden_layer_sizes` is not used then.
    encoder : torch.nn.Module, "hyperbolic" or None, default=None
        A network of your own from rows (n, n_features) to latents (n, latent_dim), to
        take the place of the linear layers with ReLU; it is copied, and trained from
        the weights it has. With `input_shape` it gives those of all positions of
        `codes_shape_`, one after the other: (n, n_positions * latent_dim).
        "hyperbolic" takes the Moebius layers of hyperbolic networks [3]_ for both
        halves.
    decoder : torch.nn.Module or None, default=None
        A network of your own from latents, of all positions, back to rows; None
        mirrors the encoder.
    max_iter : int, default=200
        The most epochs. The first tenth trains the bare autoencoder, so that the
        codebooks start, by k-means, on latents that mean something.
    batch_size : int, default=256
        Rows of a batch.
    learning_rate : float, default=1e-3
        Step size of AdamW.
    commitment_weight : float, default=0.25
        Weight of the loss that pulls latents to their codes.
    codebook_update : {"gradient", "riemannian", "ema"}, default="gradient"
        "gradient" trains the codes, as tangent vectors, with the network's optimizer;
        "riemannian" trains them as points of the ball by geoopt's RiemannianAdam;
        "ema" makes each code the centroid of the residuals that took it, in sums that
        fade by 1 % a batch.
    assignment : {"nearest", "balanced"}, default="nearest"
        How codes are chosen in training: "balanced" makes all codes of a batch equally
        wanted (entropic optimal transport by Sinkhorn's iteration), against collapse.
        `transform` always takes the nearest.
    beam_size : int, default=1
        Prefixes kept while encoding, in training and in `transform`. 1 takes the
        nearest code at every level; more lowers the quantization error of the whole
        code, never raises it, and costs time in proportion. Balanced assignment does
        without it in training.
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
    curvature : float, default=1.0
        The ball has sectional curvature ``-curvature``. Latents start with a mean
        square length of 1 in the tangent space, so that 1 means about two radii of
        curvature, and a small value means nearly flat.
    residual : {"exact", "paper", "tangent"}, default="exact"
        "exact" takes ``(-q) (+) r`` and adds from the last level back, so that
        reconstructions telescope [2]_; "paper" takes ``r (+) (-q)`` and adds from the
        first level on [1]_; "tangent" subtracts logarithms at the origin.
    gradient : {"tangent", "transport", "identity"}, default="tangent"
        How the decoder's gradient passes the quantization to the encoder: copied in
        tangent coordinates at the origin, which damps nothing; carried along the
        geodesic from the reconstruction to the latent ([2]_, Eq. 12, times 4); or
        copied in ball coordinates, as [1]_ does.
    warm_start : bool, default=False
        Let `fit` go on from the fitted network, codes and scale, without pretraining.
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
    codebooks_ : list of float64 arrays (codebook_size, latent_dim)
        The codes of each level, in ball coordinates.
    curvature_ : float
        The curvature used.
    codes_shape_ : tuple of int
        ``(n_levels,)``, followed by the grid of positions where `input_shape` is given:
        ``codes.reshape(-1, *codes_shape_)`` folds codes.
    weights_ : dict of str to array
        Parameters of the encoder and the decoder.
    loss_curve_ : list of float
        Training loss of each epoch after the pretraining.
    error_curve_ : list of float
        Its reconstruction part, relative to the variance of the data.
    validation_scores_ : list of float or None
        Minus the reconstruction error of the validation rows, relative to the
        variance of the data; None without `early_stopping` or ``X_val``.
    n_iter_ : int
        Number of epochs after the pretraining.
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
    RQVAETokenizer : The flat limit.
    skhyper.quantizers.HyperbolicResidualQuantizer : Without a network.

    Notes
    -----
    The encoder's output is a tangent vector at the origin, bounded smoothly so that
    it stays within 0.95 of the radius. The loss is that of `RQVAETokenizer` with
    squared half distances, ``(d / 2)^2``, which tend to squared Euclidean distances
    as the curvature falls to 0. With exact residuals its two quantization terms are
    equal in value: no gradient has to pass a chain of Moebius operations. The decoder
    reads tangent coordinates.

    References
    ----------
    .. [1] P. Piekos, S. Kayal, A. Karatzoglou, "Hyperbolic Residual Quantization:
       Discrete Representations for Data with Latent Hierarchies", 2025.
       arXiv:2505.12404.
    .. [2] Colombo, Ayoughi, "Geometry-Aware Hyperbolic Residual Quantization", 2026,
       Eq. 8. arXiv:2609.26342.
    .. [3] O. Ganea, G. Becigneul, T. Hofmann, "Hyperbolic Neural Networks", NeurIPS
       2018. arXiv:1805.09112.
    .. [4] A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete
       Representation Learning", NeurIPS 2017. arXiv:1711.00937.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.tokenizers import HRQVAETokenizer
    >>> X = load_naics().data
    >>> tokenizer = HRQVAETokenizer(2, 16, hidden_layer_sizes=64, max_iter=5,
    ...                             random_state=0)
    >>> codes = tokenizer.fit_transform(X)
    >>> codes.shape
    (1012, 2)
    >>> tokenizer.inverse_transform(codes[:, :1]).shape
    (1012, 384)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ResidualTokenizer._parameter_constraints,
        "curvature": [Interval(Real, 0, np.inf, closed="neither")],
        "residual": [StrOptions({"exact", "paper", "tangent"})],
        "gradient": [StrOptions({"tangent", "transport", "identity"})],
        "encoder": [callable, None, StrOptions({"hyperbolic"})],
        "codebook_update": [StrOptions({"gradient", "riemannian", "ema"})],
    }

    def __init__(
        self,
        n_levels: int = 3,
        codebook_size: int | Sequence[int] = 256,
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
        commitment_weight: float = 0.25,
        codebook_update: str = "gradient",
        assignment: str = "nearest",
        beam_size: int = 1,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        curvature: float = 1.0,
        residual: str = "exact",
        gradient: str = "tangent",
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        dtype: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.n_levels = n_levels
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
        self.codebook_update = codebook_update
        self.assignment = assignment
        self.beam_size = beam_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.curvature = curvature
        self.residual = residual
        self.gradient = gradient
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    def _new_manifold(self) -> PoincareBall:
        return PoincareBall(self.curvature)

    def _manifold(self) -> PoincareBall:
        return PoincareBall(self.curvature_)

    def _learnt(self, model: Any, *moment: Any) -> dict[str, Any]:
        return {**super()._learnt(model, *moment), "curvature_": model.manifold.c}
