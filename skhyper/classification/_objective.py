"""What hyperbolic logistic regression minimises, with its gradient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from skhyper.manifolds import PoincareBall
from skhyper.manifolds._hyperplanes import turn_limit

FloatArray = NDArray[np.float64]

# Coefficient of every plane along a spare dimension, over 2 sqrt(c). Logits have a
# kink where all the coefficients of a plane are 0, and some optima lie there: those of
# classes all around the others, which no plane cuts off. With the spare one no gain is
# 0, and logits are smooth; those of a plane without others vary by no more than this
# from one radius of curvature to the next.
SPARE = 1e-3

# Penalty on what the intercepts of all classes share, in radii of curvature. In flat
# space that part changes nothing, and in the ball the best may lie at infinity: a small
# weight brings it back, a weight of 1 costs much of what is gained by bending.
SHARED = 1e-3


class Objective:
    """Mean cross-entropy plus penalty, and its gradient.

    Its parameters are a row for each plane: the coefficients times the typical length
    of a point, then the intercept. So the units of the data do not matter to the
    optimizer, and all parameters are of one size.

    Parameters
    ----------
    ball : PoincareBall
        The space.
    Z : float64 array of shape (n_samples, n_dims)
        Points.
    labels : int64 array of shape (n_samples,)
        Their classes, from 0.
    weight : float64 array of shape (n_samples,)
        Their weights.
    C : float
        What the sum of the losses is multiplied by, over half the squared length of
        the coefficients.
    """

    def __init__(
        self,
        ball: PoincareBall,
        Z: FloatArray,
        labels: NDArray[np.int64],
        weight: FloatArray,
        C: float,
    ) -> None:
        gap = ball.gap(Z)
        self.unit = 2.0 * ball.c**0.5
        # Lorentz coordinates, those of space over `unit`
        self.space, self.time = Z / gap, (2.0 - gap) / gap
        self.labels = labels
        self.weight = weight / weight.sum()
        self.penalty = 1.0 / (C * weight.sum())
        self.length = _typical_length(ball.logmap0(Z), self.weight)
        n_classes = int(labels.max()) + 1
        self.n_planes = 1 if n_classes == 2 else n_classes
        self.shared = 0.0 if n_classes == 2 else SHARED * self.unit**2

    def start(self) -> FloatArray:
        """Return parameters of 0."""
        return np.zeros(self.n_planes * (self.space.shape[1] + 1))

    def planes(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the coefficients and the intercept of each plane."""
        table = parameters.reshape(self.n_planes, -1)
        return table[:, :-1] / self.length, table[:, -1].copy()

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        """Return the value and the gradient."""
        coef, intercept = self.planes(parameters)
        gains = gains_of(coef, self.unit)
        logits, slopes = self._logits(coef, intercept, gains)
        loss, pull = self._cross_entropy(logits)
        # the gain grows with the coefficients along their direction
        radial = np.sum(pull * slopes.gain, axis=0) / gains + self.penalty
        by_coef = (pull * slopes.along).T @ self.space + radial[:, None] * coef
        shared = self.shared * intercept.mean()
        by_intercept = np.sum(pull * slopes.intercept, axis=0) + self.penalty * shared
        gradient = np.column_stack([by_coef / self.length, by_intercept])
        square = float(np.sum(coef * coef) + shared * intercept.sum())
        return loss + 0.5 * self.penalty * square, gradient.ravel()

    def _logits(
        self, coef: FloatArray, intercept: FloatArray, gains: FloatArray
    ) -> tuple[FloatArray, Slopes]:
        """Return what `hyperplane_logits` does, and its slopes.

        With ``t`` the intercept in radii of curvature, a logit is ``g / unit`` times
        the distance ``asinh(p cosh t + time sinh t)``, ``p`` the Lorentz coordinate of
        the point along the normal.
        """
        turn = self.unit * intercept / gains
        limit = turn_limit(np, turn)
        near = np.clip(turn, -limit, limit)
        cosh, sinh = np.cosh(near), np.sinh(near)
        p = self.unit * (self.space @ coef.T) / gains
        sine = p * cosh + self.time * sinh
        cosine = np.sqrt(1.0 + sine * sine)
        distance = np.arcsinh(sine) + (turn - near)
        along = cosh / cosine
        by_turn = (p * sinh + self.time * cosh) / cosine
        by_gain = (distance - p * along - turn * by_turn) / self.unit
        return gains / self.unit * distance, Slopes(along, by_turn, by_gain)

    def _cross_entropy(self, logits: FloatArray) -> tuple[float, FloatArray]:
        """Return the mean cross-entropy, and its gradient by the logits."""
        rows = np.arange(len(logits))
        log_probability = log_softmax(with_first(logits), axis=1)
        loss = -float(self.weight @ log_probability[rows, self.labels])
        pull = np.exp(log_probability)
        pull[rows, self.labels] -= 1.0
        pull *= self.weight[:, None]
        return loss, pull[:, -logits.shape[1] :]


def _typical_length(tangents: FloatArray, weight: FloatArray) -> float:
    """Return the root of the mean squared length, 1 if it is 0."""
    square = float(weight @ np.sum(tangents * tangents, axis=1))
    return square**0.5 or 1.0


class Slopes(NamedTuple):
    """Derivatives of logits, each (n_samples, n_planes)."""

    along: FloatArray  # by the product of the coefficients and the space coordinates
    intercept: FloatArray
    gain: FloatArray  # that product and the intercept being fixed


def gains_of(coef: FloatArray, unit: float) -> FloatArray:
    """Return the length of each row of coefficients, the spare one included."""
    return np.asarray(np.hypot(np.linalg.norm(coef, axis=1), SPARE * unit))


def with_first(logits: FloatArray) -> FloatArray:
    """Return a column of logits for each class: of two, the first has 0."""
    if logits.shape[1] > 1:
        return logits
    return np.column_stack([np.zeros(len(logits)), logits])
