"""Slow and plain versions of the algorithms, written from their definitions."""

import numpy as np


def chord(ball, x, y):
    """``(cosh(sqrt(c) d) - 1) / (2 c)`` of two points, from the definition."""
    c = ball.c
    gaps = (1.0 - c * (x @ x)) * (1.0 - c * (y @ y))
    return (x - y) @ (x - y) / gaps


def lorentz_sum(ball, points, weights):
    """The weighted sum of Lorentz vectors, on the sheet of curvature -1."""
    total = np.zeros(points.shape[1] + 1)
    for x, w in zip(points * ball.c**0.5, weights, strict=True):
        total += w * np.r_[1.0 + x @ x, 2.0 * x] / (1.0 - x @ x)
    return total


def on_the_sheet(ball, total):
    """The point of the ball for a sum of Lorentz vectors, once normalised."""
    total = total / np.sqrt(total[0] ** 2 - total[1:] @ total[1:])
    return total[1:] / (1.0 + total[0]) / ball.c**0.5


def centroid(ball, points, weights):
    """The normalised sum of Lorentz vectors."""
    return on_the_sheet(ball, lorentz_sum(ball, points, weights))


def cluster_sums(ball, Z, weights, labels, n_clusters):
    """The Lorentz sum of each cluster."""
    members = [labels == k for k in range(n_clusters)]
    return np.array([lorentz_sum(ball, Z[own], weights[own]) for own in members])


def assign(ball, Z, centers):
    """The nearest center of each point and its cost; the first of equals."""
    costs = np.array([[chord(ball, z, q) for q in centers] for z in Z])
    return costs.argmin(axis=1), costs.min(axis=1)


def lloyd(ball, Z, weights, centers, max_iter):
    """Lloyd's algorithm without shortcuts; no cluster may run empty."""
    for _ in range(max_iter):
        labels, _ = assign(ball, Z, centers)
        centers = np.array(
            [
                centroid(ball, Z[labels == k], weights[labels == k])
                for k in range(len(centers))
            ]
        )
    labels, costs = assign(ball, Z, centers)
    return centers, labels, costs @ weights


def beam_code(rule, manifold, codebooks, z, beam_size):
    """The best code among the survivors of a beam search and the greedy code."""
    live = [((), z)]
    for codebook in codebooks:
        grown = [
            (float(manifold.dist(r, q)), (*code, k), rule.subtract(manifold, r, q))
            for code, r in live
            for k, q in enumerate(codebook)
        ]
        grown.sort(key=lambda prefix: prefix[0])
        live = [(code, r) for _, code, r in grown[:beam_size]]

    def error(code):
        chosen = [book[k] for book, k in zip(codebooks, code, strict=True)]
        return float(manifold.dist(rule.fold(manifold, chosen), z))

    greedy = tuple(greedy_codes(rule, manifold, codebooks, z[None])[0].tolist())
    best = min((code for code, _ in live), key=error)
    return best if error(best) < error(greedy) else greedy


def greedy_codes(rule, manifold, codebooks, Z):
    """Encode row by row, level by level, by distances."""
    codes = np.empty((len(Z), len(codebooks)), dtype=np.int64)
    for i, r in enumerate(Z):
        for level, codebook in enumerate(codebooks):
            distances = [float(manifold.dist(r, q)) for q in codebook]
            codes[i, level] = np.argmin(distances)
            r = rule.subtract(manifold, r, codebook[codes[i, level]])
    return codes
