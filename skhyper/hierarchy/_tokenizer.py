"""Codes for the nodes of a hierarchy, learnt together with their points."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._codes import check_codes, resolve_sizes, warn_if_collapsed
from skhyper._utils._params import Interval, StrOptions
from skhyper.hierarchy._base import NodeEstimator
from skhyper.metrics import codebook_usage
from skhyper.quantizers._levels import fit_levels, warn_if_short
from skhyper.quantizers._stack import ResidualStack

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Share of the epochs that train the points before the codes start on them. On the
# mammals of WordNet, in 32 dimensions, fewer codes collided after half of them than
# after a fifth (2.9 % of the nodes and 4.6); in 8 dimensions nothing changed.
ALONE = 0.5


class HierarchyTokenizer(NodeEstimator):
    """Codes of a hierarchy's nodes, by residual codebooks in the ball.

    Points of the nodes are learnt as `PoincareEmbedding` learns them, and at the same
    time residual codebooks of these points, which the points are pulled to. A node's
    code has one token a level, the coarsest first, and nodes that are near one another
    share the first ones.

    Parameters
    ----------
    n_levels : int, default=3
        Number of levels.
    codebook_size : int or array-like of int, default=64
        Number of codes, one number a level or one for all.
    latent_dim : int, default=8
        Dimensions of the space.
    geometry : {"hyperbolic", "euclidean"}, default="hyperbolic"
        The ball, or flat space: hyperbolic residual quantization, or residual
        quantization.
    curvature : float, default=1.0
        The ball has sectional curvature ``-curvature``; not used in flat space.
    residual : {"exact", "paper", "tangent"}, default="exact"
        How a level's code is taken from what is left, see
        `HyperbolicResidualQuantizer`. The three are one in flat space.
    closure : bool, default=True
        Learn all pairs of a node and an ancestor, and not only the edges given.
    optimizer : {"adam", "rsgd"}, default="adam"
        Of the points: "adam" steps on tangent vectors at the origin, "rsgd" is
        Riemannian stochastic gradient descent.
    codebook_update : {"gradient", "riemannian", "ema"}, default="gradient"
        How codes are trained: AdamW on tangent vectors, geoopt's Riemannian Adam, or
        fading sums of the points that took a code.
    commitment_weight : float, default=0.2
        Weight of the loss that pulls points to their codes.
    n_negatives : int, default=50
        Nodes drawn for each pair.
    max_iter : int, default=60
        Epochs. The first half trains the points alone.
    batch_size : int or "auto", default="auto"
        Pairs of a batch. "auto" makes at least 25 batches an epoch, of at most 4096.
    learning_rate : float, default=0.1
        Step size, which falls linearly to nothing.
    burn_in : int, default=0
        First epochs, at a hundredth of the learning rate, which "rsgd" needs.
    max_radius : float or None, default=6.0
        The largest distance from the origin, in the ball. Without it the points move
        on outwards, and codes cannot keep them apart.
    random_state : int, RandomState instance or None, default=None
        Seeds the start, the batches, the negatives and the codebooks. The global
        generators of NumPy and torch are left alone.
    device : str, default="auto"
        Where to train: "cpu", "cuda", "mps", ... "auto" takes CUDA, then MPS, then the
        CPU.
    verbose : int, default=0
        1 logs a line an epoch to the logger "skhyper".

    Attributes
    ----------
    classes_ : array of shape (n_nodes,)
        The labels, sorted.
    codes_ : int64 array of shape (n_nodes, n_levels)
        Their codes.
    embedding_ : float64 array of shape (n_nodes, latent_dim)
        Their points, in the ball or in flat space.
    codebooks_ : list of float64 arrays (n_codes, latent_dim)
        The codes of each level, in ball coordinates.
    codebook_usage_ : array of shape (n_levels,)
        Share of each codebook that the nodes use.
    curvature_ : float
        The curvature used; 0 in flat space.
    loss_curve_ : list of float
        Loss of each epoch.
    n_iter_ : int
        Number of epochs.

    See Also
    --------
    PoincareEmbedding : The points alone.
    skhyper.generative.GenerativeRetriever : Learns to say a node's ancestors in codes.
    skhyper.presets.HRQ_WORDNET : The published settings.

    Notes
    -----
    For each pair, `PoincareEmbedding`'s loss of the points is added to the residual
    quantizer's losses of both nodes (the mean over levels of squared half distances, as
    in `HRQVAETokenizer`). Different nodes may get one code:
    ``skhyper.metrics.collision_rate(tokenizer.codes_)`` tells how many.

    References
    ----------
    .. [1] P. Piekos, S. Kayal, A. Karatzoglou, "Hyperbolic Residual Quantization:
       Discrete Representations for Data with Latent Hierarchies", 2025,
       Section 4.1. arXiv:2505.12404.

    Examples
    --------
    >>> from skhyper.datasets import load_wordnet_mammals
    >>> from skhyper.hierarchy import HierarchyTokenizer
    >>> edges = load_wordnet_mammals().edges
    >>> tokenizer = HierarchyTokenizer(max_iter=5, random_state=0).fit(edges)
    >>> tokenizer.transform(["dog.n.01", "wolf.n.01"]).shape
    (2, 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "residual": [StrOptions({"exact", "paper", "tangent"})],
        "codebook_update": [StrOptions({"gradient", "riemannian", "ema"})],
        "commitment_weight": [Interval(Real, 0, np.inf, closed="left")],
        **NodeEstimator._parameter_constraints,
    }

    codes_: IntArray
    codebooks_: list[FloatArray]
    codebook_usage_: FloatArray

    def __init__(
        self,
        n_levels: int = 3,
        codebook_size: int | Sequence[int] = 64,
        *,
        latent_dim: int = 8,
        geometry: str = "hyperbolic",
        curvature: float = 1.0,
        residual: str = "exact",
        closure: bool = True,
        optimizer: str = "adam",
        codebook_update: str = "gradient",
        commitment_weight: float = 0.2,
        n_negatives: int = 50,
        max_iter: int = 60,
        batch_size: int | str = "auto",
        learning_rate: float = 0.1,
        burn_in: int = 0,
        max_radius: float | None = 6.0,
        random_state: Any = None,
        device: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.n_levels = n_levels
        self.codebook_size = codebook_size
        self.latent_dim = latent_dim
        self.geometry = geometry
        self.curvature = curvature
        self.residual = residual
        self.closure = closure
        self.optimizer = optimizer
        self.codebook_update = codebook_update
        self.commitment_weight = commitment_weight
        self.n_negatives = n_negatives
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.burn_in = burn_in
        self.max_radius = max_radius
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, edges: Any, y: None = None) -> HierarchyTokenizer:
        """Learn points and codes from the edges of a hierarchy.

        Parameters
        ----------
        edges : array-like of shape (n_edges, 2), DataFrame or DiGraph
            Child and parent of each edge, as for `PoincareEmbedding`.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator. A level that uses less than half of its codes is said
            in a warning, and so is a codebook that has fewer codes than asked for.
        """
        super().fit(edges)
        sizes = [len(book) for book in self.codebooks_]
        wanted = resolve_sizes(self.codebook_size, self.n_levels)
        warn_if_short(self.codebook_size, wanted, sizes)
        remedy = "Lower codebook_size or commitment_weight, or raise max_iter"
        warn_if_collapsed(self.codebook_usage_, sizes, remedy)
        return self

    def transform(self, labels: ArrayLike) -> IntArray:
        """Return the codes of nodes.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes that `fit` has seen.

        Returns
        -------
        codes : int64 array of shape (n, n_levels)
            Their rows of `codes_`.

        Raises
        ------
        ValueError
            If a label is unknown; it is named.
        """
        check_is_fitted(self)
        return self.codes_[self._rows(labels)]

    def inverse_transform(self, codes: ArrayLike) -> NDArray[Any]:
        """Return the nodes that lie nearest to codes.

        Parameters
        ----------
        codes : array-like of int, shape (n, m) with 1 <= m <= n_levels
            Codes, or their first m tokens.

        Returns
        -------
        labels : array of shape (n,)
            Of the nodes with this very code, or these first tokens, the nearest to its
            point; of all nodes, where none has it.

        Raises
        ------
        ValueError
            If `codes` are no integers, too wide or out of range.
        """
        check_is_fitted(self)
        checked = check_codes(codes, [len(book) for book in self.codebooks_])
        width = checked.shape[1]
        distinct, back = np.unique(checked, axis=0, return_inverse=True)
        points = self._prefix_points(distinct)
        dist = self._manifold().pairwise_dist(points, self.embedding_)
        # nodes with the code come before all others
        other = (distinct[:, None, :] != self.codes_[None, :, :width]).any(axis=2)
        nearest = np.where(other, dist + dist.max() + 1.0, dist).argmin(axis=1)
        return self.classes_[nearest][back.reshape(-1)]

    def embed(self, labels: ArrayLike) -> FloatArray:
        """Return the points of nodes before quantization.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes that `fit` has seen.

        Returns
        -------
        latents : float64 array of shape (n, latent_dim)
            Tangent coordinates at the origin; `embedding_` has the points themselves.
        """
        check_is_fitted(self)
        return np.asarray(self._manifold().logmap0(self._points(np.asarray(labels))))

    def quantize(self, labels: ArrayLike) -> FloatArray:
        """Return the points of nodes after quantization.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes that `fit` has seen.

        Returns
        -------
        latents : float64 array of shape (n, latent_dim)
            Tangent coordinates at the origin.
        """
        points = self._prefix_points(self.transform(labels))
        return np.asarray(self._manifold().logmap0(points))

    # what a display of the code tree needs, as of `BaseCoder`
    _n_positions = 1

    def _encode(self, labels: NDArray[Any]) -> IntArray:
        return self.transform(labels)

    def _points(self, labels: NDArray[Any]) -> FloatArray:
        return self.embedding_[self._rows(labels)]

    def _prefix_points(self, codes: IntArray) -> FloatArray:
        return np.asarray(self._stack().decode(codes))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        resolve_sizes(self.codebook_size, self.n_levels)

    def _stack(self) -> ResidualStack:
        return ResidualStack(self._manifold(), self.codebooks_, self.residual)

    def _trainer(self, pairs: Any, n_nodes: int, seed: int, reports: Any) -> Any:
        from skhyper._nn._hierarchy import CodedTrainer
        from skhyper._nn._nearest import NearestCodes

        table, tensor, settings = self._parts(pairs, n_nodes, self.latent_dim, seed)
        bottleneck = NearestCodes(
            table.manifold,
            residual=self.residual,
            codebook_update=self.codebook_update,
            commitment_weight=self.commitment_weight,
        )
        bottleneck.codebooks.reach = table.reach
        return CodedTrainer(
            table,
            tensor,
            settings,
            reports,
            bottleneck=bottleneck,
            first_codes=self._starter(table.manifold, seed),
            n_alone=int(ALONE * self.max_iter),
        )

    def _starter(self, manifold: Any, seed: int) -> Any:
        """Return what gives the first codebooks for the tangent vectors of nodes."""
        sizes = resolve_sizes(self.codebook_size, self.n_levels)

        def first_codes(tangents: FloatArray) -> list[FloatArray]:
            levels = fit_levels(
                manifold,
                np.asarray(manifold.expmap0(tangents.astype(np.float64))),
                np.ones(len(tangents)),
                sizes,
                residual=self.residual,
                rng=np.random.RandomState(seed),
                n_init=1,
                max_iter=50,
                tol=1e-4,
            )
            return [np.asarray(manifold.logmap0(codes)) for codes in levels.codebooks]

        return first_codes

    def _learnt(self, trainer: Any, classes: Any, history: Any) -> dict[str, Any]:
        learnt = super()._learnt(trainer, classes, history)
        manifold = trainer.table.manifold
        tangents = trainer.codebooks.tangents()
        books = [np.asarray(manifold.expmap0(tangent)) for tangent in tangents]
        stack = ResidualStack(manifold, books, self.residual)
        codes = stack.encode(learnt["embedding_"])
        return {
            **learnt,
            "codebooks_": books,
            "codes_": codes,
            "codebook_usage_": codebook_usage(codes, [len(b) for b in books]),
        }
