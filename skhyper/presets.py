"""Settings of published tokenizers, as keywords: ``HRQVAETokenizer(**HRQ_PAPER)``.

A preset says what its paper says, in the words of the estimators here. It is a plain
mapping, so that a value is changed by naming it again::

    RQVAETokenizer(**{**TIGER, "max_iter": 200})

Two translations apply to all of them. Papers sum the squared error over features and
the quantization losses over levels; here both are means, the error relative to the
variance of the data. For rows of length about 1, such as sentence embeddings, a paper's
weight beta of a sum over L levels is ``commitment_weight = L * beta``. And every preset
trains with AdamW (or RiemannianAdam), starts its codes by k-means after a short
pretraining, and keeps the best weights, whatever the paper did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "GENERATIVE_RECOMMENDER_HRQ",
    "GENERATIVE_RETRIEVER_HRQ",
    "GHRQ",
    "HG_REC",
    "HRQ_PAPER",
    "HRQ_WORDNET",
    "HYPERVQ",
    "SOFT_VQ",
    "TIGER",
    "VQVAE_2017",
    "Preset",
]


class Preset(Mapping[str, Any]):
    """Keywords for an estimator, with their source.

    Parameters
    ----------
    name : str
        What it is called here.
    estimator : str
        The estimator that takes the keywords.
    source : str
        The publication.
    stated : dict
        What the publication states.
    unstated : dict
        What it leaves open, or what could not be read: our choice.
    notes : str, default=""
        What else differs from the publication.

    Attributes
    ----------
    unstated : tuple of str
        The keywords that the publication leaves open.
    estimator, source, notes : str
        As given.

    Examples
    --------
    >>> from skhyper import RQVAETokenizer
    >>> from skhyper.presets import TIGER
    >>> RQVAETokenizer(**{**TIGER, "max_iter": 100}).codebook_size
    256
    >>> TIGER.unstated
    ('learning_rate',)
    """

    def __init__(
        self,
        name: str,
        estimator: str,
        source: str,
        stated: dict[str, Any],
        unstated: dict[str, Any],
        notes: str = "",
    ) -> None:
        self.name, self.estimator, self.source = name, estimator, source
        self.notes = notes
        self.unstated = tuple(unstated)
        self._values = {**stated, **unstated}

    def __getitem__(self, key: str) -> Any:
        """Return the value of a keyword."""
        try:
            return self._values[key]
        except KeyError:
            raise KeyError(
                f"{self.name} has no {key!r}; it has {sorted(self._values)}."
            ) from None

    def __iter__(self) -> Iterator[str]:
        """Go through the keywords."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return the number of keywords."""
        return len(self._values)

    def __repr__(self) -> str:
        """Return the call that the preset stands for, open choices marked."""
        lines = [
            f"    {key}={value!r},{'  # open' if key in self.unstated else ''}"
            for key, value in self._values.items()
        ]
        return "\n".join([f"{self.estimator}(", *lines, ")"])


TIGER = Preset(
    "TIGER",
    "RQVAETokenizer",
    "S. Rajput et al., Recommender Systems with Generative Retrieval, NeurIPS 2023, "
    "arXiv:2305.05065",
    stated={
        "n_levels": 3,
        "codebook_size": 256,
        "latent_dim": 32,
        "hidden_layer_sizes": (512, 256, 128),
        "commitment_weight": 3 * 0.25,
        "batch_size": 1024,
        "max_iter": 20_000,
    },
    unstated={"learning_rate": 1e-3},
    notes="The paper trains with Adagrad at a learning rate of 0.4, which says nothing "
    "about AdamW.",
)

HRQ_PAPER = Preset(
    "HRQ_PAPER",
    "HRQVAETokenizer",
    "P. Piekos, S. Kayal, A. Karatzoglou, Hyperbolic Residual Quantization, 2025, "
    "arXiv:2505.12404",
    stated={
        "codebook_size": 256,
        "latent_dim": 32,
        "hidden_layer_sizes": (512, 256, 128),
        "encoder": "hyperbolic",
        "residual": "paper",
        "gradient": "identity",
        "codebook_update": "riemannian",
        "batch_size": 128,
        "max_iter": 5000,
    },
    unstated={
        "n_levels": 3,
        "learning_rate": 1e-3,
        "commitment_weight": 3 * 0.25,
        "curvature": 1.0,
    },
    notes="The paper picks the learning rate on the downstream task, out of a set that "
    "it does not print. Its biases are points of the ball, trained by a Riemannian "
    "optimizer; here they are tangent vectors.",
)

GHRQ = Preset(
    "GHRQ",
    "HRQVAETokenizer",
    "Colombo, Ayoughi, Geometry-Aware Hyperbolic Residual Quantization, 2026, "
    "arXiv:2609.26342",
    stated={
        "n_levels": 4,
        "codebook_size": 128,
        "latent_dim": 32,
        "hidden_layer_sizes": (512, 256, 128),
        "residual": "exact",
        "gradient": "transport",
        "codebook_update": "riemannian",
        "commitment_weight": 0.01,
        "curvature": 1.0,
        "learning_rate": 1e-4,
        "batch_size": 2048,
        "max_iter": 5000,
    },
    unstated={},
    notes="The settings of its recommendation experiment. There the mean squared error "
    "is weighed by 1000, which for rows of length 1 is about its sum over the "
    "features, and only the first level's commitment reaches the encoder; here the "
    "mean over the levels does.",
)

HG_REC = Preset(
    "HG_REC",
    "HRQVAETokenizer",
    "HG-Rec, ICML 2026, openreview BpVBWp3PZx",
    stated={
        "n_levels": 3,
        "codebook_size": (64, 128, 256),
        "latent_dim": 64,
        "hidden_layer_sizes": (512, 256, 128),
        "residual": "tangent",
        "commitment_weight": 3 * 1.0,
        "curvature": 1.0,
        "learning_rate": 1e-3,
        "max_iter": 1000,
    },
    unstated={"batch_size": 1024, "gradient": "tangent"},
    notes="The commitment weight is the paper's best for Beauty; 0.5 and 0.25 were for "
    "its two other data sets. It measures the reconstruction by hyperbolic distance, "
    "too; here it is the squared error.",
)


VQVAE_2017 = Preset(
    "VQVAE_2017",
    "VQVAETokenizer",
    "A. van den Oord, O. Vinyals, K. Kavukcuoglu, Neural Discrete Representation "
    "Learning, NeurIPS 2017, arXiv:1711.00937",
    stated={
        "codebook_size": 512,
        "n_channels": 256,
        "commitment_weight": 0.25,
        "codebook_update": "gradient",
        "gradient": "straight-through",
        "learning_rate": 2e-4,
        "batch_size": 128,
        "max_iter": 640,
    },
    unstated={"latent_dim": 64},
    notes="The settings of its CIFAR-10 experiment, whose 250,000 steps are 640 epochs "
    "of 50,000 pictures; name input_shape=(3, 32, 32) beside it. The paper finds its "
    "results insensitive to commitment weights from 0.1 to 2. Its appendix has the "
    "codebook update that is 'ema' here.",
)

SOFT_VQ = Preset(
    "SOFT_VQ",
    "SoftVQTokenizer",
    "H. Wu, M. Flierl, Quantization-Based Regularization for Autoencoders, AAAI 2020, "
    "arXiv:1905.11062",
    stated={
        "codebook_size": 128,
        "latent_dim": 64,
        "hidden_layer_sizes": (500, 500, 2000),
        "commitment_weight": 3.0 * 2.5 / 64,
        "posterior": "reference",
        "geometry": "euclidean",
        "learning_rate": 3e-4,
        "batch_size": 64,
        "max_iter": 43,
    },
    unstated={},
    notes="The settings of its MNIST experiment, from the authors' code, whose 40,000 "
    "steps are 43 epochs of 60,000 pictures. There the commitment loss is a mean over "
    "the 64 dimensions, weighed by 2.5, and with the codebook loss by 3. Latents are "
    "not brought to a length there, and their decoder ends in a sigmoid.",
)

HYPERVQ = Preset(
    "HYPERVQ",
    "HyperVQTokenizer",
    "N. Goswami, Y. Mukuta, T. Harada, HyperVQ: MLR-based Vector Quantization in "
    "Hyperbolic Space, TMLR 2025, arXiv:2403.13015",
    stated={"n_levels": 1, "curvature": 1.0, "gradient": "gumbel"},
    unstated={
        "codebook_size": 512,
        "latent_dim": 64,
        "n_channels": 128,
        "temperature": (1.0, 0.5),
        "entropy_weight": 0.0,
        "learning_rate": 3e-4,
        "batch_size": 128,
    },
    notes="Code of the authors is not public, and settings could not be read: beside "
    "the form of the method all is our choice. An entropy term is not known of the "
    "paper; the estimator's default has one, against collapse.",
)


HRQ_WORDNET = Preset(
    "HRQ_WORDNET",
    "HierarchyTokenizer",
    "P. Piekos, S. Kayal, A. Karatzoglou, Hyperbolic Residual Quantization, 2025, "
    "arXiv:2505.12404, Section 4.1 and Appendix C.1",
    stated={
        "geometry": "hyperbolic",
        "closure": False,
        "optimizer": "rsgd",
        "n_negatives": 50,
        "learning_rate": 1.0,
        "max_iter": 1500,
        "burn_in": 20,
    },
    unstated={
        "n_levels": 3,
        "codebook_size": 128,
        "latent_dim": 16,
        "residual": "paper",
        "curvature": 1.0,
        "codebook_update": "riemannian",
        "commitment_weight": 0.25,
        "batch_size": 1024,
        "max_radius": None,
    },
    notes="Levels, codes and dimensions are one cell of its Table 1. The learning "
    "rate and the epochs are as a later publication quotes them, and those of Nickel & "
    "Kiela. There a node is among its own negatives, the learning rate does not fall, "
    "codes are trained by Riemannian SGD too, and start at random. Fit the training "
    "part of the transitive closure; `HierarchyTokenizer` by itself learns in 60 "
    "epochs.",
)

GENERATIVE_RETRIEVER_HRQ = Preset(
    "GENERATIVE_RETRIEVER_HRQ",
    "GenerativeRetriever",
    "P. Piekos, S. Kayal, A. Karatzoglou, Hyperbolic Residual Quantization, 2025, "
    "arXiv:2505.12404, Appendix C.1",
    stated={
        "d_model": 256,
        "n_layers": 4,
        "n_heads": 8,
        "dim_feedforward": 1024,
        "max_iter": 100,
        "learning_rate": 1e-3,
    },
    unstated={"dropout": 0.1, "batch_size": 256, "beam_size": 20},
    notes="The paper trains with Adam, and its output layer shares the embeddings. "
    "Here it is AdamW, with gradients cut to length 1: without that the loss did not "
    "fall at this learning rate.",
)

GENERATIVE_RECOMMENDER_HRQ = Preset(
    "GENERATIVE_RECOMMENDER_HRQ",
    "GenerativeRecommender",
    "P. Piekos, S. Kayal, A. Karatzoglou, Hyperbolic Residual Quantization, 2025, "
    "arXiv:2505.12404, Section 4",
    stated={
        "max_history": 20,
        "d_model": 384,
        "n_heads": 6,
        "dim_feedforward": 1024,
        "prefix_embeddings": False,
    },
    unstated={
        "n_layers": 4,
        "dropout": 0.1,
        "batch_size": 256,
        "learning_rate": 1e-3,
        "max_iter": 100,
        "early_stopping": True,
        "beam_size": 20,
    },
    notes="The paper names T5 and its widths. Layers, dropout and batches are those of "
    "TIGER, arXiv:2305.05065, whose rate is 0.01 for 10,000 steps and falls with the "
    "root of the step; its 200,000 steps are 390 epochs of Beauty. Here the rate "
    "stays, gradients are cut to length 1, matrices take the steps of Muon, tokens "
    "compete with those that codes have, the encoder reads an item as one place and "
    "without those that come later, and no token tells the user. The paper keeps "
    "the weights that rank best in validation, and early_stopping the likeliest. Name "
    "the index.",
)


def __getattr__(name: str) -> Any:
    """Say which presets there are."""
    presets = [key for key in __all__ if key.isupper()]
    raise AttributeError(f"there is no preset {name!r}; there are {presets}.")
