"""Textbook formulas of the Poincare ball of curvature -1, in 60 digits.

Nothing cancels at this precision, and none of the rearrangements of the library is
used, so that these are an independent reference for rounded inputs.
"""

from mpmath.ctx_mp import MPContext

mp = MPContext()
mp.dps = 60


def vector(x):
    return [mp.mpf(float(value)) for value in x]


def combine(a, x, b, y):
    """Return ``a x + b y``."""
    return [a * p + b * q for p, q in zip(x, y, strict=True)]


def dot(x, y):
    return mp.fsum(p * q for p, q in zip(x, y, strict=True))


def norm(x):
    return mp.sqrt(dot(x, x))


def gap(x):
    return 1 - dot(x, x)


def add(x, y):
    xy, x2, y2 = dot(x, y), dot(x, x), dot(y, y)
    total = combine(1 + 2 * xy + y2, x, 1 - x2, y)
    return [value / (1 + 2 * xy + x2 * y2) for value in total]


def negative(x):
    return [-value for value in x]


def scaled(a, x):
    return [a * value for value in x]


def dist(x, y):
    return mp.acosh(
        1 + 2 * dot(difference := combine(1, x, -1, y), difference) / (gap(x) * gap(y))
    )


def expmap0(v):
    return scaled(mp.tanh(norm(v)) / norm(v), v)


def logmap0(x):
    return scaled(mp.atanh(norm(x)) / norm(x), x)


def logmap(x, y):
    return scaled(gap(x), logmap0(add(negative(x), y)))


def expmap(x, v):
    return add(x, expmap0(scaled(1 / gap(x), v)))


def gyration(x, y, v):
    """By its definition, ``-(x + y) + (x + (y + v))``, for `v` inside the ball."""
    return add(negative(add(x, y)), add(x, add(y, v)))


def transport(x, y, v):
    return scaled(gap(y) / gap(x), gyration(y, negative(x), v))


def midpoint(X, weights):
    """Normalised sum of the Lorentz vectors."""
    lifted = [[(2 - gap(x)) / gap(x), *scaled(2 / gap(x), x)] for x in X]
    total = [
        mp.fsum(w * p for w, p in zip(weights, column, strict=True))
        for column in zip(*lifted, strict=True)
    ]
    time, space = total[0], total[1:]
    return scaled(1 / (time + mp.sqrt(time**2 - dot(space, space))), space)


def relative_error(result, expected):
    """Length of the error of a vector (or number) over the length of what is right."""
    if not isinstance(expected, list):
        result, expected = [result], [expected]
    return float(norm(combine(1, vector(result), -1, expected)) / norm(expected))
