"""The distribution of codes: a small autoregressive transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._callbacks import with_callbacks
from skhyper._utils._weights import check_sample_weight
from skhyper.generative._estimator import COUNT, SHARE, CodeEstimator
from skhyper.generative._likelihood import (
    best_scale,
    check_bins,
    check_errors,
    check_width,
    log_mass,
)
from skhyper.generative._tokens import check_prefix, check_rows, level_sizes
from skhyper.metrics._codes import check_codes

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class TokenPrior(DensityMixin, CodeEstimator):
    """Distribution of codes, learnt by an autoregressive transformer.

    The probability of a row of codes is the product over its columns of the
    probability of each token given the tokens in the columns before it. A causal
    transformer gives these, so that codes can be scored, and drawn a column at a time.

    Parameters
    ----------
    n_levels : int or None, default=None
        Number of levels that the columns form, which must divide their number.
        Columns are level-major: all positions of level 1, then all of level 2, and the
        columns of a level share a codebook. None makes each column its own level, as
        it is for codes of vectors.
    codebook_size : int, array-like of int or None, default=None
        Number of codes of a level; one number a level, or one for all. None takes the
        largest token of each level in `fit`, plus 1.
    d_model : int, default=64
        Width of the transformer: how many numbers stand for a column between its
        layers (the name is that of [1]_). A multiple of `n_heads`.
    n_layers : int, default=2
        Number of blocks, each an attention and a perceptron of width ``4 * d_model``.
    n_heads : int, default=4
        Number of heads of each attention.
    dropout : float, default=0.1
        Share of what each part of the network puts out that is dropped in training.
    max_iter : int, default=100
        The most epochs.
    batch_size : int, default=64
        Rows of a batch.
    learning_rate : float, default=1e-3
        Step size of AdamW.
    learning_rate_schedule : {"constant", "linear"}, default="constant"
        Whether the step size stays, or falls evenly to nothing over `max_iter` epochs,
        which leaves less of the noise of the last batches in the weights.
    early_stopping : bool, default=True
        Set rows aside, stop once their log-likelihood does not rise any more, and keep
        the weights of its maximum. If False, the training rows take their place, which
        a transformer soon learns by heart.
    validation_fraction : float, default=0.1
        Share of the rows set aside.
    n_iter_no_change : int, default=10
        Epochs without an improvement of `tol` after which training stops.
    tol : float, default=1e-4
        What counts as an improvement, in nats a token.
    random_state : int, RandomState instance or None, default=None
        Seeds the network, the rows set aside, the batches and the dropout. The global
        generators of NumPy and torch are left alone.
    device : str, default="auto"
        Where to train and run the network: "cpu", "cuda", "mps", ... "auto" takes
        CUDA, then MPS, then the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What training multiplies matrices in; weights are float32, and so is the network
        in use. "auto" takes bfloat16 where the processor has instructions for it, which
        take less time.
    verbose : int, default=0
        1 logs a line an epoch to the logger "skhyper".

    Attributes
    ----------
    weights_ : dict of str to array
        Parameters of the network, float32.
    codebook_sizes_ : int64 array of shape (n_levels,)
        Number of codes of each level.
    loss_curve_ : list of float
        Minus the mean log-likelihood of a token in training, in nats, of each epoch.
    validation_scores_ : list of float or None
        Mean log-likelihood of a token in the rows set aside; None without
        `early_stopping`.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of columns of the codes.

    See Also
    --------
    skhyper.tokenizers.RQVAETokenizer : Makes codes, and turns samples back into data.
    reconstruction_scale : The scale that `bits_per_dim` fits.

    Notes
    -----
    The network is a transformer [1]_ with normalisation before each part of a block
    and learnt embeddings of positions, as in [2]_. Rows are set aside with their
    repeats: they are draws from the distribution that is to be learnt. So a weight of 2
    is only on average the same as two rows; a weight of 0 is the same as no row.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
       arXiv:1706.03762.
    .. [2] A. Radford et al., "Language Models are Unsupervised Multitask Learners",
       2019.
    .. [3] A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete
       Representation Learning", NeurIPS 2017, Section 3.3: a prior over codes.
       arXiv:1711.00937.

    Examples
    --------
    >>> from skhyper import ResidualQuantizer
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.generative import TokenPrior
    >>> X = load_naics().data
    >>> codes = ResidualQuantizer(3, 16, random_state=0).fit_transform(X)
    >>> prior = TokenPrior(max_iter=5, random_state=0).fit(codes)
    >>> prior.score_samples(codes).shape
    (1012,)
    >>> prior.sample(2, random_state=0, prefix=codes[0, :1]).shape
    (2, 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_levels": [COUNT, None],
        "codebook_size": [COUNT, "array-like", None],
        **CodeEstimator._parameter_constraints,
        "validation_fraction": [SHARE],
    }

    codebook_sizes_: IntArray
    n_features_in_: int

    def __init__(
        self,
        *,
        n_levels: int | None = None,
        codebook_size: int | Sequence[int] | None = None,
        d_model: int = 64,
        n_layers: int = 2,
        n_heads: int = 4,
        dropout: float = 0.1,
        max_iter: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        learning_rate_schedule: str = "constant",
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        device: str = "auto",
        precision: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.n_levels = n_levels
        self.codebook_size = codebook_size
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dropout = dropout
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    @with_callbacks
    def fit(
        self, codes: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn the distribution of codes.

        Parameters
        ----------
        codes : array-like of int, shape (n_samples, n_columns)
            The codes, such as a tokenizer's `transform` gives.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight 0 counts as absent.

        Returns
        -------
        self : object
            The fitted estimator. A KeyboardInterrupt ends training with a warning and
            keeps the best weights so far. An error leaves what was fitted before.
        """
        self._check_parameters()
        seen, rows = codes, check_codes(codes)
        weight = check_sample_weight(sample_weight, rows)
        rows, weight = rows[weight > 0], weight[weight > 0]
        sizes = level_sizes(rows, self.n_levels, self.codebook_size)
        return self._learn(
            rows,
            weight,
            {"codebook_sizes_": sizes, "n_features_in_": rows.shape[1]},
            X=seen,
            y=y,
            metadata={} if sample_weight is None else {"sample_weight": sample_weight},
        )

    def score_samples(self, codes: ArrayLike) -> FloatArray:
        """Return the log-likelihood of each row.

        Parameters
        ----------
        codes : array-like of int, shape (n_samples, n_columns)
            The codes.

        Returns
        -------
        log_likelihood : float64 array of shape (n_samples,)
            In nats: the sum over the columns. It does not depend on the other rows.

        Raises
        ------
        ValueError
            If `codes` is not a 2-D array of integers, has another number of columns
            than those of `fit`, or holds a token outside its codebook.
        """
        check_is_fitted(self)
        rows = check_rows(codes, self._column_sizes())
        return np.asarray(self._network().log_likelihood(rows))

    def score(self, codes: ArrayLike, y: None = None) -> float:
        """Return the mean log-likelihood of the rows.

        Parameters
        ----------
        codes : array-like of int, shape (n_samples, n_columns)
            The codes.
        y : None
            Ignored.

        Returns
        -------
        score : float
            In nats; higher is better. Codes of other lengths or codebooks have other
            scores: compare those with `bits_per_dim`.
        """
        return float(np.mean(self.score_samples(codes)))

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        prefix: ArrayLike | None = None,
        temperature: float = 1.0,
    ) -> IntArray:
        """Draw codes.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            The source of the draws. With an int, a smaller sample is the beginning of
            a larger one.
        prefix : array-like of int, shape (m,) or (n, m), default=None
            Tokens that the first m columns keep, and on which the others are
            conditioned. Of two dimensions, it gives each sample a prefix of its own;
            `n_samples` is then n or 1, and n rows are drawn.
        temperature : float, default=1.0
            Divides the logits of each token: below 1 likely tokens get more likely
            still, above 1 less.

        Returns
        -------
        codes : int64 array of shape (n_samples, n_columns)
            The samples.

        Raises
        ------
        ValueError
            If `n_samples` or `temperature` is not above 0, or `prefix` does not fit
            the fitted codes or `n_samples`.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be an integer above 0.")
        if not isinstance(temperature, Real) or not temperature > 0:
            raise ValueError(f"temperature={temperature!r} must be a number above 0.")
        given = check_prefix(prefix, self._column_sizes(), int(n_samples))
        n_rows, n_given = given.shape
        rng, n_free = check_random_state(random_state), self.n_features_in_ - n_given
        plan = np.hstack([given, rng.uniform(size=(n_rows, n_free))])
        return np.asarray(self._network().sample(plan, n_given, float(temperature)))

    def bits_per_dim(
        self,
        X: ArrayLike,
        tokenizer: Any,
        *,
        bin_width: float = 1 / 255,
        likelihood: str = "gaussian",
        scale: float | None = None,
    ) -> float:
        """Return the bits a feature that data take, when sent as codes and errors.

        It is an upper bound on ``-log2 p(X)`` per feature, by which models of data can
        be compared whatever their codes: ``p(x)`` is the sum over all codes z of
        ``p(z) p(x | z)``, and no less than its term of the codes that the tokenizer
        gives. ``p(z)`` is this prior. ``p(x | z)`` is the product over the features
        of the mass that a distribution, centered on the reconstruction from z, has in
        the bin ``[x - bin_width / 2, x + bin_width / 2]``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        tokenizer : fitted estimator
            With `transform`, to the codes that this prior knows, and
            `inverse_transform`; a `Pipeline` is one, too.
        bin_width : float, default=1/255
            Width of a bin: the step between the values that features take. The default
            is for pictures whose 256 grey values are scaled to lie in [0, 1]. Halving
            it costs about one bit a feature.
        likelihood : {"gaussian", "logistic"}, default="gaussian"
            The distribution of a feature around its reconstruction.
        scale : float, default=None
            Its scale, one for all features: the standard deviation, or the scale of
            the logistic distribution. None takes the scale of the largest likelihood
            on `X`, which strictly belongs to what has to be sent; to fit it to other
            rows, see `reconstruction_scale`.

        Returns
        -------
        bits : float
            The mean over rows and features; lower is better.

        Raises
        ------
        ValueError
            If a parameter is out of range, `X` is not finite, or codes or
            reconstructions are of another shape than they should be.

        References
        ----------
        L. Theis, A. van den Oord, M. Bethge, "A note on the evaluation of generative
        models", ICLR 2016, Section 3.1. arXiv:1511.01844.
        """
        check_is_fitted(self)
        check_bins(bin_width, likelihood)
        if scale is not None:
            check_width("scale", scale)
        codes = tokenizer.transform(X)
        errors = check_errors(X, tokenizer.inverse_transform(codes))
        if scale is None:
            scale = best_scale(errors, bin_width, likelihood)
        nats = -np.sum(self.score_samples(codes))
        nats -= np.sum(log_mass(errors, scale, bin_width, likelihood))
        return float(nats / (errors.size * np.log(2)))

    def _column_sizes(self) -> IntArray:
        """Return the number of codes of each column."""
        sizes = self.codebook_sizes_
        return np.repeat(sizes, self.n_features_in_ // len(sizes))

    def _new_network(self, found: Mapping[str, Any], dropout: float) -> Any:
        from skhyper._nn._sequence import CodeTransformer

        return CodeTransformer(
            found["codebook_sizes_"].tolist(),
            found["n_features_in_"],
            **found["_shape"],
            dropout=dropout,
        )
