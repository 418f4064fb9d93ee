"""What estimators over the nodes of a hierarchy share: edges in, a point a node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._callbacks import (
    CallbackSupportMixin,
    EpochReports,
    with_callbacks,
)
from skhyper._utils._edges import check_acyclic, check_edges, closure
from skhyper._utils._params import Interval, StrOptions, check_params
from skhyper.hierarchy._labels import check_labels, label_rows
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics import hierarchy_ranking

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# standard deviation of the coordinates that points start with
START = 1e-3

# learning rate of codes beside "rsgd", whose own is of another scale
CODE_RATE = 0.1

# steps that an epoch has at least, and the largest batch, with batch_size "auto"
STEPS = 25
LARGEST_BATCH = 4096


class NodeEstimator(CallbackSupportMixin, BaseEstimator, ABC):
    """Learn a point of the ball, or of flat space, for each node of a hierarchy."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "geometry": [StrOptions({"hyperbolic", "euclidean"})],
        "curvature": [Interval(Real, 0, np.inf, closed="neither")],
        "closure": ["boolean"],
        "optimizer": [StrOptions({"adam", "rsgd"})],
        "n_negatives": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate": [Interval(Real, 0, np.inf, closed="neither")],
        "burn_in": [Interval(Integral, 0, None, closed="left")],
        "max_radius": [Interval(Real, 0, np.inf, closed="neither"), None],
        "random_state": ["random_state"],
        "device": [str],
        "verbose": ["verbose"],
    }

    geometry: str
    curvature: float
    closure: bool
    optimizer: str
    n_negatives: int
    max_iter: int
    batch_size: int | str
    learning_rate: float
    burn_in: int
    max_radius: float | None
    random_state: Any
    device: str
    verbose: int | bool

    classes_: NDArray[Any]
    embedding_: FloatArray
    curvature_: float
    loss_curve_: list[float]
    n_iter_: int

    @with_callbacks
    def fit(self, edges: Any, y: None = None) -> Self:
        """Learn from the edges of a hierarchy.

        Parameters
        ----------
        edges : array-like of shape (n_edges, 2), DataFrame or DiGraph
            Child and parent of each edge: labels that are all strings or all integers.
            A pandas DataFrame has two columns; the edges of a NetworkX DiGraph lead
            from children to parents. Edges that occur twice count once. There may be
            several roots, several parents of a node, and several components.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator. A KeyboardInterrupt ends training with a warning and
            keeps what was learnt so far. An error leaves what was fitted before.

        Raises
        ------
        ValueError
            If a parameter is out of range, or the edges are none, no pairs, of mixed or
            missing labels, or hold a self-loop or a cycle, which is named.
        """
        self._check_parameters()
        classes, index = check_edges(edges)
        check_acyclic(index, classes)
        pairs = closure(index, len(classes)) if self.closure else index
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        reports = EpochReports(
            self,
            self.max_iter,
            lambda history: self._learnt(trainer, classes, history),
            X=edges,
            y=y,
            metadata={},
        )
        trainer = self._trainer(pairs, len(classes), seed, reports)
        history = trainer.run(self.max_iter)
        self.__dict__.update(self._learnt(trainer, classes, history))
        reports.close(history)
        return self

    def score(self, edges: Any, y: None = None) -> float:
        """Return the mean average precision of ancestors among a node's neighbors.

        For each node of `edges` that has a parent, all nodes are ranked by their
        distance from it, and its ancestors are what should come first.

        Parameters
        ----------
        edges : array-like of shape (n_edges, 2), DataFrame or DiGraph
            Edges of a hierarchy of known nodes, as `fit` takes them; their closure is
            taken if `closure` is True.
        y : None
            Ignored.

        Returns
        -------
        score : float
            In (0, 1]; higher is better.

        Raises
        ------
        ValueError
            If the edges are not as `fit` needs them, or name a node unknown to it.
        """
        check_is_fitted(self)
        labels, index = check_edges(edges)
        check_acyclic(index, labels)
        pairs = closure(index, len(labels)) if self.closure else index
        pairs = label_rows(labels, self.classes_)[pairs]
        found = hierarchy_ranking(self.embedding_, pairs, manifold=self._manifold())
        return float(found.mean_average_precision)

    def neighbors(self, labels: ArrayLike, k: int = 10) -> NDArray[Any]:
        """Return the labels of the nearest other nodes.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes.
        k : int, default=10
            How many neighbors.

        Returns
        -------
        neighbors : array of shape (n, k)
            Labels, nearest first. Ties go to the label that sorts first.

        Raises
        ------
        ValueError
            If a label is unknown, or `k` is not from 1 to the number of other nodes.
        """
        check_is_fitted(self)
        rows, n_others = self._rows(labels), len(self.classes_) - 1
        if not isinstance(k, Integral) or not 1 <= k <= n_others:
            raise ValueError(
                f"k={k!r} must be an integer from 1 to {n_others}, the number of other "
                "nodes."
            )
        order = [self._by_distance(row)[:k] for row in rows]
        return self.classes_[np.array(order, dtype=np.int64).reshape(-1, k)]

    def ancestors(self, labels: ArrayLike, k: int = 10) -> list[NDArray[Any]]:
        """Return what the geometry takes for ancestors: nearest nodes further inside.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes.
        k : int, default=10
            The most nodes for each.

        Returns
        -------
        ancestors : list of n arrays of up to k labels
            The nearest of the nodes that are nearer to the origin than the node
            itself, nearest first. None, for the node nearest to it.

        Raises
        ------
        ValueError
            If a label is unknown, or `k` is less than 1.
        """
        check_is_fitted(self)
        if not isinstance(k, Integral) or k < 1:
            raise ValueError(f"k={k!r} must be an integer of at least 1.")
        inside = np.einsum("nd,nd->n", self.embedding_, self.embedding_)
        found = []
        for row in self._rows(labels):
            order = self._by_distance(row)
            found.append(self.classes_[order[inside[order] < inside[row]][:k]])
        return found

    def _by_distance(self, row: int) -> IntArray:
        """Return all other nodes, nearest first."""
        point = self.embedding_[row : row + 1]
        dist = self._manifold().pairwise_dist(point, self.embedding_)[0]
        order = np.argsort(dist, kind="stable")
        return order[order != row]

    def _rows(self, labels: ArrayLike) -> IntArray:
        return label_rows(check_labels(labels), self.classes_)

    def _check_parameters(self) -> None:
        check_params(self)
        if self.burn_in >= self.max_iter:
            raise ValueError(
                f"burn_in={self.burn_in} leaves no epoch at the full learning rate, "
                f"with max_iter={self.max_iter}. Lower burn_in or raise max_iter."
            )

    def _new_manifold(self) -> Any:
        flat = self.geometry == "euclidean"
        return Euclidean() if flat else PoincareBall(self.curvature)

    def _manifold(self) -> Any:
        return PoincareBall(self.curvature_) if self.curvature_ else Euclidean()

    @abstractmethod
    def _trainer(
        self, pairs: IntArray, n_nodes: int, seed: int, reports: EpochReports
    ) -> Any:
        """Return the training loop for pairs of nodes."""

    def _parts(
        self, pairs: IntArray, n_nodes: int, dim: int, seed: int
    ) -> tuple[Any, Any, Any]:
        """Return points to train, the pairs as a tensor, and the loop's settings."""
        from skhyper._nn._hierarchy import PairSettings
        from skhyper._nn._node_table import TABLES
        from skhyper._nn._runtime import resolve_device, resolve_dtype, to_tensor

        device = resolve_device(self.device)
        # points near the rim need all digits; MPS has no float64
        wide = "float32" if device.type == "mps" else "float64"
        dtype = resolve_dtype(wide, np.dtype(wide), device)
        start = START * np.random.RandomState(seed).normal(size=(n_nodes, dim))
        table = TABLES[self.optimizer](
            self._new_manifold(), to_tensor(start, dtype, device), self._reach()
        )
        settings = PairSettings(
            n_negatives=self.n_negatives,
            batch_size=self._resolve_batch_size(len(pairs)),
            learning_rate=self.learning_rate,
            burn_in=self.burn_in,
            seed=seed,
            # codes have steps of Adam's kind, whatever the points have
            code_rate=self.learning_rate if self.optimizer == "adam" else CODE_RATE,
        )
        return table, to_tensor(pairs, None, device), settings

    def _reach(self) -> float | None:
        """Return the length of the longest tangent vector."""
        flat = self.geometry == "euclidean"
        return None if flat or self.max_radius is None else self.max_radius / 2

    def _resolve_batch_size(self, n_pairs: int) -> int:
        if isinstance(self.batch_size, Integral):
            return int(self.batch_size)
        return min(LARGEST_BATCH, -(-n_pairs // STEPS))

    def _learnt(
        self, trainer: Any, classes: NDArray[Any], history: Any
    ) -> dict[str, Any]:
        """Return the fitted attributes of this moment of training."""
        points = trainer.table.points().cpu().numpy().astype(np.float64)
        return {
            "classes_": classes,
            "embedding_": points,
            "curvature_": trainer.table.manifold.c,
            "loss_curve_": list(history.loss_curve),
            "n_iter_": max(1, len(history.loss_curve)),
        }
