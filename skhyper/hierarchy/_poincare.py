"""Poincare embeddings: a point of the ball for each node of a hierarchy."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._params import Interval
from skhyper.hierarchy._base import NodeEstimator


class PoincareEmbedding(NodeEstimator):
    """Embedding of a hierarchy's nodes such that distances tell what is above what.

    Each node is pulled to its ancestors and pushed away from nodes drawn at random.
    In the ball there is room for exponentially many nodes at each distance, and roots
    come to lie near the origin.

    Parameters
    ----------
    n_components : int, default=10
        Dimensions of the space.
    geometry : {"hyperbolic", "euclidean"}, default="hyperbolic"
        The ball, or flat space, by which to see what the ball is worth.
    curvature : float, default=1.0
        The ball has sectional curvature ``-curvature``; not used in flat space.
    closure : bool, default=True
        Learn all pairs of a node and an ancestor, and not only the edges given. It
        makes no difference where those are the pairs already.
    optimizer : {"adam", "rsgd"}, default="adam"
        "adam" steps on tangent vectors at the origin; "rsgd" is Riemannian stochastic
        gradient descent on the points, as in [1]_, which needs a far larger
        `learning_rate` and many more epochs.
    n_negatives : int, default=50
        Nodes drawn for each pair. Those that the pair's node is known to be below do
        not count.
    max_iter : int, default=100
        Epochs.
    batch_size : int or "auto", default="auto"
        Pairs of a batch. "auto" makes at least 25 batches an epoch, of at most 4096.
    learning_rate : float, default=0.1
        Step size, which falls linearly to nothing.
    burn_in : int, default=0
        First epochs, at a hundredth of the learning rate, in which points find their
        angles near the origin. "rsgd" needs them.
    max_radius : float or None, default=24.0
        The largest distance from the origin, in the ball. Float64 coordinates tell
        distances up to 36 apart at curvature 1.
    random_state : int, RandomState instance or None, default=None
        Seeds the start, the batches and the negatives. The global generators of NumPy
        and torch are left alone.
    device : str, default="auto"
        Where to train: "cpu", "cuda", "mps", ... "auto" takes CUDA, then MPS, then the
        CPU.
    verbose : int, default=0
        1 logs a line an epoch to the logger "skhyper".

    Attributes
    ----------
    classes_ : array of shape (n_nodes,)
        The labels, sorted.
    embedding_ : float64 array of shape (n_nodes, n_components)
        Points of the ball, or of flat space, in the order of `classes_`.
    curvature_ : float
        The curvature used; 0 in flat space.
    loss_curve_ : list of float
        Loss of each epoch.
    n_iter_ : int
        Number of epochs.

    See Also
    --------
    HierarchyTokenizer : Learns codes together with the points.
    skhyper.metrics.hierarchy_ranking : How well distances tell ancestors.

    Notes
    -----
    For a pair (u, v), and nodes w that are drawn, the loss is
    ``-log(exp(-d(u, v)) / (exp(-d(u, v)) + sum_w exp(-d(u, w))))``, Equation 6 of
    [1]_. In flat space d is twice the Euclidean distance, the limit of that of the ball
    as its curvature falls to 0. Points are computed in float64 wherever the device has
    it.

    References
    ----------
    .. [1] M. Nickel, D. Kiela, "Poincare Embeddings for Learning Hierarchical
       Representations", NeurIPS 2017. arXiv:1705.08039.

    Examples
    --------
    >>> from skhyper.hierarchy import PoincareEmbedding
    >>> edges = [("dog", "animal"), ("cat", "animal"), ("poodle", "dog")]
    >>> embedding = PoincareEmbedding(2, random_state=0).fit(edges)
    >>> embedding.transform(["poodle", "dog"]).shape
    (2, 2)
    >>> sorted(embedding.ancestors(["poodle"], k=2)[0].tolist())
    ['animal', 'dog']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        **NodeEstimator._parameter_constraints,
    }

    def __init__(
        self,
        n_components: int = 10,
        *,
        geometry: str = "hyperbolic",
        curvature: float = 1.0,
        closure: bool = True,
        optimizer: str = "adam",
        n_negatives: int = 50,
        max_iter: int = 100,
        batch_size: int | str = "auto",
        learning_rate: float = 0.1,
        burn_in: int = 0,
        max_radius: float | None = 24.0,
        random_state: Any = None,
        device: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.n_components = n_components
        self.geometry = geometry
        self.curvature = curvature
        self.closure = closure
        self.optimizer = optimizer
        self.n_negatives = n_negatives
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.burn_in = burn_in
        self.max_radius = max_radius
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def transform(self, labels: ArrayLike) -> NDArray[np.float64]:
        """Return the points of nodes.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes that `fit` has seen.

        Returns
        -------
        points : float64 array of shape (n, n_components)
            Their rows of `embedding_`.

        Raises
        ------
        ValueError
            If a label is unknown; it is named.
        """
        check_is_fitted(self)
        return self.embedding_[self._rows(labels)]

    def _trainer(self, pairs: Any, n_nodes: int, seed: int, reports: Any) -> Any:
        from skhyper._nn._hierarchy import PairTrainer

        table, tensor, settings = self._parts(pairs, n_nodes, self.n_components, seed)
        return PairTrainer(table, tensor, settings, reports)
