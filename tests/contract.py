"""The estimators that every contract test runs on; to cover another, add a line."""

from sklearn.base import clone

from skhyper.base import BaseCoder
from skhyper.datasets import make_tree
from skhyper.quantizers import (
    HyperbolicKMeans,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
)
from skhyper.tokenizers import (
    HRQVAETokenizer,
    HyperVQTokenizer,
    RQVAETokenizer,
    SoftVQTokenizer,
    VQVAETokenizer,
)

SHALLOW = {"n_levels": 2, "codebook_size": 4}
NETWORK = {"latent_dim": 3, "hidden_layer_sizes": (8,), "max_iter": 3}
TRAINED = {**SHALLOW, **NETWORK}
# the formula of the authors leaves more to the network than to distances
LONGER = {**NETWORK, "max_iter": 20, "learning_rate": 0.02}

INSTANCES = [
    HyperbolicKMeans(n_clusters=4),
    ResidualQuantizer(**SHALLOW),
    ResidualQuantizer(**SHALLOW, refit=True, beam_size=3),
    HyperbolicResidualQuantizer(**SHALLOW),
    HyperbolicResidualQuantizer(**SHALLOW, residual="tangent", refit=True),
    HyperbolicResidualQuantizer(**SHALLOW, residual="paper", beam_size=2),
    RQVAETokenizer(**TRAINED),
    RQVAETokenizer(**TRAINED, codebook_update="ema", beam_size=2),
    HRQVAETokenizer(**TRAINED),
    HRQVAETokenizer(
        **TRAINED,
        encoder="hyperbolic",
        codebook_update="riemannian",
        assignment="balanced",
        gradient="transport",
        residual="paper",
    ),
    VQVAETokenizer(4, **NETWORK, gradient="rotation"),
    SoftVQTokenizer(4, **NETWORK),
    SoftVQTokenizer(4, **LONGER, geometry="hyperbolic", posterior="reference"),
    HyperVQTokenizer(**TRAINED),
    HyperVQTokenizer(1, 4, **NETWORK),
]
CODERS = [e for e in INSTANCES if isinstance(e, BaseCoder)]


def name(estimator):
    """Test id: the constructor call in one line."""
    return " ".join(str(estimator).split())


def data(n_samples=150, n_features=6):
    """Rows with a hierarchy, float64."""
    X, _ = make_tree(n_samples, n_features, branching=4, depth=2, random_state=0)
    return X


def fitted(estimator, X=None):
    """A fitted copy with random_state=0."""
    X = data() if X is None else X
    return clone(estimator).set_params(random_state=0).fit(X)


def size_parameter(estimator):
    """The name of the parameter that sets the number of codes."""
    return "codebook_size" if isinstance(estimator, BaseCoder) else "n_clusters"
