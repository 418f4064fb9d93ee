"""HyperVQ as a classifier: every decision rests on a code."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from skhyper._utils._callbacks import with_callbacks
from skhyper._utils._params import Interval, StrOptions
from skhyper._utils._rows import Rows
from skhyper._utils._weights import check_sample_weight
from skhyper.base import check_X
from skhyper.classification._class_weight import class_weights
from skhyper.tokenizers._hyperplanes import HyperplaneCoder
from skhyper.tokenizers._network import apply_half

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class HyperVQClassifier(ClassifierMixin, HyperplaneCoder):
    """Classifier that sees each row as a code of `HyperVQTokenizer`.

    Encoder, codes, decoder and a linear head are trained together, so that the codes
    tell classes apart and rows can be decoded from them. What is predicted depends on
    the code of a row alone.

    Parameters
    ----------
    codebook_size : int or array-like of int, default=64
        Codes of a level; one number a level, or one for all.
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
        A network of your own from rows (n, n_features) to latents (n, latent_dim),
        to take the place of the layers named above; it is copied, and trained from the
        weights it has. With `input_shape` it gives those of all positions of
        `codes_shape_`, one after the other: (n, n_positions * latent_dim).
    decoder : torch.nn.Module or None, default=None
        A network of your own from latents, of all positions, back to rows; None
        mirrors the encoder.
    max_iter : int, default=50
        The most epochs. The first tenth trains without codes, so that the
        codebooks start, by k-means, on latents that mean something.
    batch_size : int, default=256
        Rows of a batch.
    learning_rate : float, default=1e-3
        Step size of AdamW.
    n_levels : int, default=1
        Number of levels, the length of a code.
    reconstruction_weight : float, default=0.1
        Weight of the mean squared reconstruction error, relative to the variance of
        the data, beside the cross-entropy in nats. 0 trains no decoder.
    entropy_weight : float, default=0.3
        Weight of the loss that makes the codes of a batch equally wanted: what their
        mean probabilities lack of the largest entropy, as a share of it.
    temperature : float or tuple of two floats, default=1.0
        Of the draw of codes in training, above 0; or one for the start and one for the
        end, with an exponential fall over `max_iter` epochs between them.
    gradient : {"auto", "exact", "reinmax", "gumbel"}, default="auto"
        How the gradient passes the draw of codes. "exact" does without a draw: the loss
        is the mean over all codes, by their probabilities, which takes rows with one
        code. "reinmax" is exact to second order [4]_; "gumbel" is the
        straight-through Gumbel-softmax of the paper [3]_. "auto" is "exact" where
        it can be, else "reinmax".
    curvature : float, default=1.0
        The ball has sectional curvature ``-curvature``. Latents start with a mean
        square length of 1 in the tangent space, so that 1 means about two radii of
        curvature, and a small value means nearly flat.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn's LogisticRegression. Rows of
        ``X_val`` count alike.
    early_stopping : bool, default=False
        Set rows aside, of each class in proportion, stop once their loss does not
        fall any more, and keep the weights of its minimum. If False, the loss of the
        training rows takes its place.
    validation_fraction : float, default=0.1
        Share of the rows set aside.
    n_iter_no_change : int, default=10
        Epochs without an improvement of `tol` after which training stops.
    tol : float, default=1e-4
        What counts as an improvement. The reconstruction error is relative to the
        variance of the data, so that this does not depend on their scale.
    warm_start : bool, default=False
        Let `fit` go on from the fitted network, codes and scale, without
        pretraining; the classes must be the same.
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
    classes_ : array of shape (n_classes,)
        The classes.
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
        Parameters of the encoder, the decoder and the head.
    loss_curve_ : list of float
        Training loss of each epoch after the pretraining.
    error_curve_ : list of float
        The same without the entropy term, for the codes of the largest logits and not
        for those drawn: what decides which weights are best.
    validation_scores_ : list of float or None
        Minus the same of the validation rows; None without `early_stopping` or
        ``X_val``.
    n_iter_ : int
        Number of epochs after the pretraining.
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
    HyperbolicLogisticRegression : Without network and codes.
    skhyper.tokenizers.HyperVQTokenizer : Without classes.

    Notes
    -----
    The loss is the cross-entropy of the head, which reads the tangent vectors of the
    codes, plus `reconstruction_weight` times the reconstruction error, plus
    `entropy_weight` times the entropy term. The pretraining has the first two, on
    latents that are not quantized.

    References
    ----------
    .. [1] N. Goswami, Y. Mukuta, T. Harada, "HyperVQ: MLR-based Vector Quantization in
       Hyperbolic Space", TMLR 2025. arXiv:2403.13015.
    .. [2] A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete
       Representation Learning", NeurIPS 2017. arXiv:1711.00937.
    .. [3] E. Jang, S. Gu, B. Poole, "Categorical Reparameterization with
       Gumbel-Softmax", ICLR 2017. arXiv:1611.01144.
    .. [4] L. Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and
       Beyond", NeurIPS 2023. arXiv:2304.08612.

    Examples
    --------
    >>> from skhyper.classification import HyperVQClassifier
    >>> from skhyper.datasets import load_naics
    >>> naics = load_naics()
    >>> X, y = naics.data, naics.target[:, 0]
    >>> classifier = HyperVQClassifier(32, hidden_layer_sizes=64, random_state=0)
    >>> classifier.fit(X, y).score(X, y) > 0.9
    True

    The codes behind the decisions, and what they stand for:

    >>> codes = classifier.transform(X[:3])
    >>> codes.shape, classifier.inverse_transform(codes).shape
    ((3, 1), (3, 384))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **HyperplaneCoder._parameter_constraints,
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    reconstruction_weight: float
    class_weight: dict[Any, float] | str | None
    classes_: NDArray[Any]

    _early: tuple[str, ...] = (*HyperplaneCoder._early, "classes_")

    def __init__(
        self,
        codebook_size: int | Sequence[int] = 64,
        *,
        latent_dim: int = 32,
        hidden_layer_sizes: int | Sequence[int] = (512, 256, 128),
        input_shape: Sequence[int] | None = None,
        n_channels: int = 64,
        encoder: Any = None,
        decoder: Any = None,
        max_iter: int = 50,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        n_levels: int = 1,
        reconstruction_weight: float = 0.1,
        entropy_weight: float = 0.3,
        temperature: float | Sequence[float] = 1.0,
        gradient: str = "auto",
        curvature: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
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
        self.n_levels = n_levels
        self.reconstruction_weight = reconstruction_weight
        self.entropy_weight = entropy_weight
        self.temperature = temperature
        self.gradient = gradient
        self.curvature = curvature
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train the encoder, the codebooks, the decoder and the head.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        y : array-like of shape (n_samples,)
            Their classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight 0 counts as absent.
        X_val : array-like of shape (n_validation, n_features), default=None
            Rows whose loss decides when to stop and which weights to keep, in place of
            rows that `early_stopping` would set aside.
        y_val : array-like of shape (n_validation,), default=None
            Their classes.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If there is one class only, or one in `y_val` that `y` lacks; if there are
            fewer samples than codes; with
            ``early_stopping=True``, if a class has a single distinct sample, or there
            are more classes than rows to set aside.
        """
        with self._features_kept():
            seen, y = y, _check_y(X, y)
            classes = np.unique(y[check_sample_weight(sample_weight, y) > 0])
            if self.warm_start and hasattr(self, "codebooks_"):
                _check_known("y", classes, self.classes_)
            else:
                if len(classes) < 2:
                    raise ValueError(
                        "HyperVQClassifier needs samples of at least 2 classes, but y "
                        "has one class only among the samples of positive weight: "
                        f"{classes.tolist()[0]!r}. Give samples of another class."
                    )
                self.classes_ = classes
            target_val = self._targets_of_validation(X_val, y_val)
            target = np.searchsorted(self.classes_, y)
            return self._fit(X, seen, sample_weight, X_val, target, target_val)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        y : array of shape (n_samples,)
            The class of the largest logit.
        """
        logits = self._logits(X)
        return np.asarray(self.classes_[logits.argmax(axis=1)])

    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Return the logits of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        logits : float64 array of shape (n_samples, n_classes)
            For two classes of shape (n_samples,): that of ``classes_[1]`` over that of
            ``classes_[0]``.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        proba : float64 array of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return np.asarray(softmax(self._logits(X), axis=1))

    def predict_log_proba(self, X: ArrayLike) -> FloatArray:
        """Return the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        log_proba : float64 array of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return np.asarray(log_softmax(self._logits(X), axis=1))

    def _logits(self, X: ArrayLike) -> FloatArray:
        check_is_fitted(self)
        points = self._prefix_points(self._encode(check_X(self, X, reset=False)))
        latents = np.asarray(self._manifold().logmap0(points))
        rows = latents.reshape(-1, self._n_positions * latents.shape[1])
        model = self._network()
        return apply_half(model, model.classify, rows).astype(np.float64, copy=False)

    def _targets_of_validation(self, X_val: Any, y_val: Any) -> IntArray | None:
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together: give both, or neither.")
        if y_val is None:
            return None
        y_val = _check_y(X_val, y_val)
        _check_known("y_val", y_val, self.classes_)
        return np.searchsorted(self.classes_, y_val)

    def _weights(
        self, sample_weight: Any, X: NDArray[Any], target: IntArray | None
    ) -> FloatArray:
        weight = super()._weights(sample_weight, X, target)
        if target is not None and self.class_weight is not None:
            present = weight > 0
            y, given = self.classes_[target[present]], weight[present]
            weight[present] *= class_weights(self.class_weight, y, given)
        return weight

    def _strata(self, rows: Rows) -> NDArray[Any]:
        return np.asarray(self.classes_[rows.target])

    def _assemble(self, *parts: Any, **sizes: Any) -> Any:
        from skhyper._nn._classifier import ClassifyingAutoencoder

        return ClassifyingAutoencoder(
            *parts,
            **sizes,
            n_classes=len(self.classes_),
            reconstruction_weight=self.reconstruction_weight,
        )


def _check_y(X: Any, y: Any) -> NDArray[Any]:
    """Return `y` as an array of classes, one for each row of `X`."""
    if y is None:
        raise ValueError(
            "HyperVQClassifier requires y to be passed, but the target y is None."
        )
    classes = column_or_1d(y, warn=True)
    if not len(classes):
        raise ValueError("y has 0 sample(s); at least 1 of each class is needed.")
    assert_all_finite(classes, input_name="y")
    check_classification_targets(classes)
    check_consistent_length(X, classes)
    return np.asarray(classes)


def _check_known(name: str, y: NDArray[Any], classes: NDArray[Any]) -> None:
    """Raise a ValueError for a class that is not among those fitted."""
    unseen = np.setdiff1d(y, classes)
    if len(unseen):
        raise ValueError(
            f"{name} has the class {unseen.tolist()[0]!r}, which is not among the "
            f"classes fitted: {classes.tolist()}. Leave it out, or fit anew, with "
            "warm_start=False, on samples that have it."
        )
