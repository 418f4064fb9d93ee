"""A code tree and its points in the unit disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skhyper.hierarchy import HierarchyTokenizer
from skhyper.manifolds import PoincareBall
from skhyper.plotting._checks import (
    check_coder,
    check_depth,
    check_edges,
    check_labels,
    check_matplotlib,
    check_scale,
)
from skhyper.plotting._colors import Colors, choose_colors
from skhyper.plotting._drawing import (
    INK,
    draw_disk,
    merge,
    name_labels,
    new_axes,
    point_size,
    room_for_names,
    scatter,
    write_caption,
)
from skhyper.plotting._geometry import DiskMap, FloatArray, geodesic


class PoincareDiskDisplay:
    """Points and the tree of their codes in the Poincare disk.

    A node of the tree is a prefix of the codes, drawn where its reconstruction lies
    in the space in which the estimator quantizes. An edge is the geodesic from a
    prefix to the one that is a token longer: an arc at right angles to the rim.

    It is recommended to use `from_estimator` or `from_points` to create the display.
    All parameters are stored as attributes.

    Parameters
    ----------
    points : array of shape (n_points, 2)
        Points of the unit disk.
    labels : array of shape (n_points,), default=None
        What colours the points. Floats that are not all whole numbers are
        measurements, everything else is a class.
    root : array of shape (1, 2), default=None
        The root of the tree; None leaves it out.
    codes : sequence of arrays of shape (n_codes, 2), default=()
        The nodes of each level of the tree, coarsest first.
    code_labels : sequence of arrays of shape (n_codes,), default=None
        What colours the nodes, from the same classes as `labels`.
    edges : sequence of arrays of shape (n_edges, 2, 2), default=()
        Both ends of the edges of each level, the one nearer to the root first.
    explained_variance_ratio : float, default=None
        Share of the variance of the points that the plane of the picture holds;
        None if the points have at most two dimensions and are shown as they are.
    scale : float, default=1.0
        Factor by which tangent vectors at the centre were magnified.
    flat : bool, default=False
        Whether the points come from flat space.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    rim_ : matplotlib Circle
        The unit circle.
    points_ : matplotlib PathCollection
        The points.
    root_ : matplotlib PathCollection or None
        The root, if it is drawn.
    codes_ : list of matplotlib PathCollection
        The nodes of each level.
    edges_ : list of matplotlib LineCollection
        The edges of each level.
    legend_ : matplotlib Legend or None
        The legend, if there is one.

    See Also
    --------
    skhyper.quantizers.HyperbolicResidualQuantizer : An estimator with such a tree.

    Notes
    -----
    The ball is shown at radius 1, whatever its curvature. Points of more than two
    dimensions go through tangent PCA: logarithms at the Frechet mean of the points,
    their two principal components, and the exponential map at the centre of the disk.
    It keeps distances from the mean of points in the plane of these components; of
    other points it shows the projection. The first two components of high-dimensional
    data are short, so that the tangent vectors are also magnified. The label below the
    disk says how much variance is left and by how much it was magnified.

    Flat points take the same way with their mean, differences and straight principal
    components, and the exponential map of the disk in the end, so that the two
    geometries can be compared by eye. The arcs are then no straight lines of the flat
    space.

    Examples
    --------
    >>> from skhyper.datasets import make_hyperbolic_blobs
    >>> from skhyper.plotting import PoincareDiskDisplay
    >>> from skhyper.quantizers import HyperbolicResidualQuantizer
    >>> X, y = make_hyperbolic_blobs(100, centers=4, random_state=0)
    >>> quantizer = HyperbolicResidualQuantizer(
    ...     n_levels=2, codebook_size=4, input_geometry="ball", random_state=0
    ... ).fit(X)
    >>> display = PoincareDiskDisplay.from_estimator(quantizer, X)
    >>> [len(codes) for codes in display.codes]
    [4, 16]
    """

    def __init__(
        self,
        *,
        points: FloatArray,
        labels: NDArray[Any] | None = None,
        root: FloatArray | None = None,
        codes: Sequence[FloatArray] = (),
        code_labels: Sequence[NDArray[Any]] | None = None,
        edges: Sequence[FloatArray] = (),
        explained_variance_ratio: float | None = None,
        scale: float = 1.0,
        flat: bool = False,
    ) -> None:
        self.points = points
        self.labels = labels
        self.root = root
        self.codes = codes
        self.code_labels = code_labels
        self.edges = edges
        self.explained_variance_ratio = explained_variance_ratio
        self.scale = scale
        self.flat = flat

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        depth: int | None = None,
        root: bool = False,
        scale: float | str = "auto",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw rows of `X` and the tree of their codes.

        Parameters
        ----------
        estimator : residual quantizer or tokenizer, or a Pipeline that ends in one
            A fitted estimator of skhyper.
        X : array-like of shape (n_samples, n_features)
            The rows to show; of a `HierarchyTokenizer`, the labels (n_samples,) of the
            nodes to show. Only prefixes that occur among their codes are drawn.
        y : array-like of shape (n_samples,), default=None
            What colours the rows. None takes the first token, and then colours the
            nodes too.
        depth : int, default=None
            Levels of the tree to draw; None draws them all.
        root : bool, default=False
            Whether to draw the root, the empty prefix: the origin of the space.
        scale : "auto" or float, default="auto"
            Factor for tangent vectors at the centre. "auto" is 1 for points of a disk,
            shown as they are; else the 95 % quantile of the rows' distances from the
            centre is put at 0.9 of the radius.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Further arguments of `plot`.

        Returns
        -------
        display : PoincareDiskDisplay
            The display, drawn.
        """
        check_matplotlib("PoincareDiskDisplay.from_estimator")
        check_scale(scale)
        if isinstance(estimator, HierarchyTokenizer):
            coder, rows = estimator, np.asarray(X)
        else:
            otherwise = "Points without a code tree are drawn by from_points."
            coder, rows = check_coder(estimator, X, otherwise)
        depth = check_depth(depth, len(coder.codebooks_))
        tokens = coder._encode(rows)
        Z = coder._points(rows)
        to_disk = DiskMap(coder._manifold(), Z, scale)

        prefixes = [np.unique(tokens[:, :m], axis=0) for m in range(1, depth + 1)]
        codes = [to_disk(coder._prefix_points(prefix)) for prefix in prefixes]
        edges = [
            np.stack([codes[m - 1][_parents(prefixes[m])], codes[m]], axis=1)
            for m in range(1, depth)
        ]
        origin = None
        if root:
            origin = to_disk(np.zeros((1, Z.shape[1])))
            from_root = np.broadcast_to(origin, codes[0].shape)
            edges.insert(0, np.stack([from_root, codes[0]], axis=1))
        labels = tokens[:, 0]
        if y is not None:
            labels = check_labels(y, len(rows), coder._n_positions)
        display = cls(
            points=to_disk(Z),
            labels=labels,
            root=origin,
            codes=codes,
            code_labels=[prefix[:, 0] for prefix in prefixes] if y is None else None,
            edges=edges,
            explained_variance_ratio=to_disk.explained_variance_ratio,
            scale=to_disk.scale,
            flat=to_disk.flat,
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_points(
        cls,
        points: ArrayLike,
        y: ArrayLike | None = None,
        *,
        edges: ArrayLike | None = None,
        curvature: float = 1.0,
        scale: float | str = "auto",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw points of the ball, and edges between them.

        Parameters
        ----------
        points : array-like of shape (n_points, n_features)
            Points of the ball.
        y : array-like of shape (n_points,), default=None
            What colours the points; None leaves them in one colour.
        edges : array-like of int, shape (n_edges, 2), default=None
            Rows of `points` to join by geodesics, such as the edges of a taxonomy.
        curvature : float, default=1.0
            The ball has sectional curvature ``-curvature``.
        scale : "auto" or float, default="auto"
            As in `from_estimator`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Further arguments of `plot`.

        Returns
        -------
        display : PoincareDiskDisplay
            The display, drawn.

        Examples
        --------
        >>> from skhyper.plotting import PoincareDiskDisplay
        >>> points = [[0.0, 0.0], [0.6, 0.0], [0.8, 0.3], [0.8, -0.3]]
        >>> edges = [[0, 1], [1, 2], [1, 3]]
        >>> display = PoincareDiskDisplay.from_points(points, edges=edges)
        >>> display.edges[0].shape
        (3, 2, 2)
        """
        check_matplotlib("PoincareDiskDisplay.from_points")
        check_scale(scale)
        Z = check_array(points, dtype=np.float64, input_name="points")
        ball = PoincareBall(curvature)
        ball.check_points(Z, "points")
        to_disk = DiskMap(ball, Z, scale)
        shown = to_disk(Z)
        display = cls(
            points=shown,
            labels=None if y is None else check_labels(y, len(Z)),
            edges=[] if edges is None else [shown[check_edges(edges, len(Z))]],
            explained_variance_ratio=to_disk.explained_variance_ratio,
            scale=to_disk.scale,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        cmap: Any = None,
        legend: bool = False,
        point_kwargs: dict[str, Any] | None = None,
        code_kwargs: dict[str, Any] | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        cmap : str or matplotlib Colormap, default=None
            Colours of the labels. None takes Petroff's accessible colours for up to
            ten classes, "gist_rainbow" for more, and "viridis" for measurements.
        legend : bool, default=False
            Whether to name the classes beside the disk, or to draw the scale of
            measurements there.
        point_kwargs : dict, default=None
            For ``matplotlib.axes.Axes.scatter``, which draws the points.
        code_kwargs : dict, default=None
            For ``matplotlib.axes.Axes.scatter``, which draws the nodes of each level.
        line_kwargs : dict, default=None
            For ``matplotlib.collections.LineCollection``, the edges of each level.

        Returns
        -------
        display : PoincareDiskDisplay
            Itself.
        """
        check_matplotlib("PoincareDiskDisplay.plot")
        colors = None
        if self.labels is not None:
            colors = choose_colors(self.labels, cmap)
        if ax is None:
            ax = new_axes(5.6 + room_for_names(colors if legend else None), 5.6)
        self.ax_, self.figure_ = ax, ax.figure
        self.rim_ = draw_disk(self.ax_)
        write_caption(self.ax_, self.explained_variance_ratio, self.scale, self.flat)
        self._draw_edges(line_kwargs or {})
        self._draw_points(colors, point_kwargs or {})
        self._draw_codes(colors, code_kwargs or {})
        self._draw_legend(colors if legend else None)
        return self

    def _draw_edges(self, kwargs: dict[str, Any]) -> None:
        from matplotlib.collections import LineCollection

        self.edges_ = []
        for level, ends in enumerate(self.edges):
            style = {
                "color": INK,
                "linewidth": 1.0 * 0.7**level,
                "alpha": 0.6 * 0.75**level,
                "zorder": 1.5,
            }
            arcs = LineCollection(
                list(geodesic(ends[:, 0], ends[:, 1])),
                **merge(style, kwargs, LineCollection),
            )
            # the limits of the axes are those of the disk already
            self.edges_.append(self.ax_.add_collection(arcs, autolim=False))

    def _draw_points(self, colors: Colors | None, kwargs: dict[str, Any]) -> None:
        style = {
            "s": point_size(len(self.points)),
            "alpha": 0.5,
            "linewidth": 0.0,
            "zorder": 1.0,
        }
        self.points_ = scatter(
            self.ax_, self.points, colors, self.labels, style, kwargs
        )

    def _draw_codes(self, colors: Colors | None, kwargs: dict[str, Any]) -> None:
        self.root_ = None
        if self.root is not None:
            self.root_ = self.ax_.scatter(*self.root.T, s=40.0, c=INK, zorder=2.0)
        self.codes_ = []
        for level, nodes in enumerate(self.codes):
            labels = None if self.code_labels is None else self.code_labels[level]
            style = {
                "s": 90.0 * 0.33**level,
                "edgecolor": "white",
                "linewidth": 1.0 * 0.7**level,
                "zorder": 3.0 - 0.1 * level,
            }
            self.codes_.append(scatter(self.ax_, nodes, colors, labels, style, kwargs))

    def _draw_legend(self, colors: Colors | None) -> None:
        self.legend_ = None
        if colors is not None:
            self.legend_, _ = name_labels(self.ax_, colors, self.points_)


def _parents(prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of each prefix's parent among the distinct shorter prefixes.

    Both are in lexicographic order, so that a new parent is a change of all columns
    but the last.
    """
    changes = np.any(prefixes[1:, :-1] != prefixes[:-1, :-1], axis=1)
    return np.concatenate([[0], np.cumsum(changes)])
