"""HyperVQ: an autoencoder with the hyperplanes of a hyperbolic regression as codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from skhyper.tokenizers._base import BaseTokenizer
from skhyper.tokenizers._hyperplanes import HyperplaneCoder


class HyperVQTokenizer(HyperplaneCoder, BaseTokenizer):
    """Autoencoder whose codes are the classes of a hyperbolic logistic regression.

    A code is a hyperplane of the Poincare ball. A latent takes the one of the largest
    logit, and the decoder reads its representative, the point nearest to the origin.

    Parameters
    ----------
    n_levels : int, default=1
        Number of levels, the length of a code. More than one makes it residual: each
        level looks at what the ones before it leave over.
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
    encoder : torch.nn.Module or None, default=None
        A network of your own from rows (n, n_features) to latents (n, latent_dim),
        to take the place of the layers named above; it is copied, and trained from the
        weights it has. With `input_shape` it gives those of all positions of
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
    entropy_weight : float, default=0.3
        Weight of the loss that makes the codes of a batch equally wanted: what their
        mean probabilities lack of the largest entropy, as a share of it.
    temperature : float or tuple of two floats, default=1.0
        Of the draw of codes in training, above 0; or one for the start and one for the
        end, with an exponential fall over `max_iter` epochs between them.
    gradient : {"auto", "exact", "reinmax", "gumbel"}, default="auto"
        How the gradient passes the draw of codes. "exact" does without a draw: the loss
        is the mean over all codes, by their probabilities, which takes rows with one
        code. "reinmax" is exact to second order [5]_; "gumbel" is the
        straight-through Gumbel-softmax of the paper [3]_. "auto" is "exact" where
        it can be, else "reinmax".
    curvature : float, default=1.0
        The ball has sectional curvature ``-curvature``. Latents start with a mean
        square length of 1 in the tangent space, so that 1 means about two radii of
        curvature, and a small value means nearly flat.
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
        The codes of each level: the representatives of its hyperplanes, which are
        their points nearest to the origin, in ball coordinates.
    gains_ : list of float64 arrays (codebook_size,)
        The factors of the hyperplanes' logits.
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
        Its reconstruction part, relative to the variance of the data, for the codes of
        the largest logits and not for those drawn.
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
    HRQVAETokenizer : With the nearest codes.
    skhyper.classification.HyperVQClassifier : With classes to predict from the codes.

    Notes
    -----
    The logit of code k is ``g_k`` times the signed half distance of the latent to the
    hyperplane through ``exp_0(r_k a_k)`` with normal ``a_k`` [2]_. In training a code
    is drawn by the softmax of the logits, and the decoder gets ``r_k a_k``. The loss
    is the mean squared reconstruction error over the variance of the data, plus the
    entropy term; codes and logits share their parameters, so that there is no codebook
    loss and no commitment.

    What [1]_ leaves open is settled so: hyperplanes start halfway to the centroids of
    k-means, with gains in proportion to their offsets, which in flat space makes the
    choice of the largest logit the choice of the nearest centroid. Latents are bounded
    smoothly before ``exp_0``.

    A representative lies on its own hyperplane, so that a decoded code need not encode
    to itself again. With `n_levels` above 1, each level sees what is left when the
    representatives before it are taken away, by the exact rule of `HRQVAETokenizer`.

    References
    ----------
    .. [1] N. Goswami, Y. Mukuta, T. Harada, "HyperVQ: MLR-based Vector Quantization in
       Hyperbolic Space", TMLR 2025. arXiv:2403.13015.
    .. [2] R. Shimizu, Y. Mukuta, T. Harada, "Hyperbolic Neural Networks++", ICLR 2021,
       Eq. 6. arXiv:2006.08210.
    .. [3] E. Jang, S. Gu, B. Poole, "Categorical Reparameterization with
       Gumbel-Softmax", ICLR 2017. arXiv:1611.01144.
    .. [4] A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete
       Representation Learning", NeurIPS 2017. arXiv:1711.00937.
    .. [5] L. Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and
       Beyond", NeurIPS 2023. arXiv:2304.08612.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.tokenizers import HyperVQTokenizer
    >>> X = load_naics().data
    >>> tokenizer = HyperVQTokenizer(2, 16, hidden_layer_sizes=64, max_iter=10,
    ...                              random_state=0)
    >>> tokenizer.fit_transform(X).shape
    (1012, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **HyperplaneCoder._parameter_constraints
    }

    def __init__(
        self,
        n_levels: int = 1,
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
        entropy_weight: float = 0.3,
        temperature: float | Sequence[float] = 1.0,
        gradient: str = "auto",
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
        self.entropy_weight = entropy_weight
        self.temperature = temperature
        self.gradient = gradient
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
