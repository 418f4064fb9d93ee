"""RQ-VAE: an autoencoder with residual quantization in flat space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skhyper.manifolds import Euclidean
from skhyper.tokenizers._nearest import ResidualTokenizer


class RQVAETokenizer(ResidualTokenizer):
    """Autoencoder with residual quantization at its bottleneck, in flat space.

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
        (channels, length). It brings the convolutional network of [3]_, with two
        strided convolutions for pictures (a code for each 4 x 4 pixels) or six for
        sounds (one for each 64 samples), and two residual blocks. Rows stay flat.
    n_channels : int, default=64
        Width of its convolutions; `hidden_layer_sizes` is not used then.
    encoder : torch.nn.Module or None, default=None
        A network of your own from rows (n, n_features) to latents (n, latent_dim), to
        take the place of the linear layers with ReLU; it is copied, and trained from
        the weights it has. With `input_shape` it gives those of all positions of
        `codes_shape_`, one after the other: (n, n_positions * latent_dim).
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
    codebook_update : {"gradient", "ema"}, default="gradient"
        "gradient" trains the codes with the network's optimizer;
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
        The codes of each level.
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
    HRQVAETokenizer : The same with a hyperbolic latent space.
    skhyper.quantizers.ResidualQuantizer : Without a network.

    Notes
    -----
    The loss is the mean squared reconstruction error over the variance of the data,
    plus the mean over levels of ``|sg(r) - q|^2`` (codes to residuals), plus
    `commitment_weight` times the mean over depths of ``|z - sg(z_hat)|^2`` (latents to
    the sums of codes), as in [1]_. The decoder's gradient passes straight through.
    Codes that an epoch does not use start again from a residual. The weights of the
    best epoch are restored: by the reconstruction error of the validation rows with
    `early_stopping`, else by that of the training rows.

    References
    ----------
    .. [1] D. Lee et al., "Autoregressive Image Generation using Residual
       Quantization", CVPR 2022. arXiv:2203.01941.
    .. [2] S. Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS
       2023. arXiv:2305.05065.
    .. [3] A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete
       Representation Learning", NeurIPS 2017. arXiv:1711.00937.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.tokenizers import RQVAETokenizer
    >>> X = load_naics().data
    >>> tokenizer = RQVAETokenizer(2, 16, hidden_layer_sizes=64, max_iter=5,
    ...                            random_state=0)
    >>> codes = tokenizer.fit_transform(X)
    >>> codes.shape
    (1012, 2)
    >>> tokenizer.inverse_transform(codes[:, :1]).shape
    (1012, 384)
    """

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
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    def _new_manifold(self) -> Euclidean:
        return Euclidean()

    def _manifold(self) -> Euclidean:
        return Euclidean()
