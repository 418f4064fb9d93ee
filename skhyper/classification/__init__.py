"""Classifiers in the Poincare ball, with codes and without."""

from skhyper.classification._hypervq import HyperVQClassifier
from skhyper.classification._logistic import HyperbolicLogisticRegression

__all__ = ["HyperVQClassifier", "HyperbolicLogisticRegression"]
