"""From the code of a query to the codes of what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._callbacks import with_callbacks
from skhyper._utils._trie import CodeTrie
from skhyper._utils._weights import check_sample_weight
from skhyper.generative._estimator import COUNT, SHARE, CodeEstimator
from skhyper.generative._tokens import check_named

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# the catalogues of fitted retrievers, as trees: large, and soon made again
_tries: WeakKeyDictionary[Any, CodeTrie] = WeakKeyDictionary()


class GenerativeRetriever(CodeEstimator):
    """Retrieval that writes the codes of its answers, a token at a time.

    A transformer reads the code of a query and gives the probability of each token of
    the target's code, given the tokens before it. A beam search then follows the
    likeliest prefixes that codes of the catalogue begin with, so that every answer is
    one of them.

    Parameters
    ----------
    d_model : int, default=128
        Width of the transformer; a multiple of `n_heads`.
    n_layers : int, default=2
        Number of blocks of the encoder, which reads queries, and of the decoder.
    n_heads : int, default=4
        Number of heads of each attention.
    dim_feedforward : int or None, default=None
        Width inside the perceptron of each block; None takes ``4 * d_model``.
    dropout : float, default=0.1
        Share of what each part of the network puts out that is dropped in training.
    max_iter : int, default=20
        The most epochs. The default was enough for 5,000 pairs; fewer take more.
    batch_size : int, default=256
        Pairs of a batch.
    learning_rate : float, default=1e-3
        Step size of AdamW.
    learning_rate_schedule : {"constant", "linear"}, default="constant"
        Whether the step size stays, or falls evenly to nothing over `max_iter` epochs,
        which leaves less of the noise of the last batches in the weights.
    beam_size : int, default=20
        How many prefixes the search follows; `predict` follows no fewer than it is to
        return. More find likelier codes, in a time that grows with them. It counts
        when `predict` is called, whatever it was in `fit`.
    early_stopping : bool, default=False
        Set pairs aside, stop once their log-likelihood does not rise any more, and keep
        the weights of its maximum. If False, the training pairs take their place.
    validation_fraction : float, default=0.1
        Share of the pairs set aside.
    n_iter_no_change : int, default=10
        Epochs without an improvement of `tol` after which training stops.
    tol : float, default=1e-4
        What counts as an improvement, in nats a token.
    random_state : int, RandomState instance or None, default=None
        Seeds the network, the pairs set aside, the batches and the dropout. The global
        generators of NumPy and torch are left alone.
    device : str, default="auto"
        Where to train and run the network: "cpu", "cuda", "mps", ... "auto" takes
        CUDA, then MPS, then the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What training multiplies matrices in; weights are float32, and so is the network
        in use. "auto" takes bfloat16 where the processor has instructions for it, which
        take less time.
    verbose : int, default=0
        1 logs a line an epoch to the logger "skhyper".

    Attributes
    ----------
    weights_ : dict of str to array
        Parameters of the network, float32.
    catalogue_ : int64 array of shape (n_codes, n_target_columns)
        The distinct codes that `predict` may return, in lexicographic order.
    codebook_sizes_ : int64 array of shape (n_target_columns,)
        Number of tokens of each column of targets: the largest in `fit`, plus 1.
    query_codebook_sizes_ : int64 array of shape (n_query_columns,)
        The same of queries.
    loss_curve_ : list of float
        Minus the mean log-likelihood of a token in training, in nats, of each epoch.
    validation_scores_ : list of float or None
        Mean log-likelihood of a token in the pairs set aside; None without
        `early_stopping`.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of columns of query codes.

    See Also
    --------
    TokenPrior : The distribution of codes, given nothing.

    Notes
    -----
    Queries and targets with the same number of columns are taken for codes of one kind:
    they share the embeddings of tokens, and queries can be answers, unless a
    catalogue says what can.

    The network is that of [1]_ with learnt positions and normalisation before each part
    of a block; a block of the decoder reads the query first, and attends to its own
    tokens then. Gradients longer than 1 are cut. A query with several targets is read
    once for all of them, which are shuffled together.

    A right code is a right answer only where no two things share the code: append a
    token that tells them apart, or look at `skhyper.metrics.collision_rate` beside
    `score`.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
       arXiv:1706.03762.
    .. [2] Y. Tay et al., "Transformer Memory as a Differentiable Search Index", NeurIPS
       2022: to write the identifier of an answer. arXiv:2202.06991.
    .. [3] P. Piekos, S. Kayal, A. Karatzoglou, "Hyperbolic Residual Quantization",
       2025, Section 4.1: hypernyms of nouns by their codes. arXiv:2505.12404.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.generative import GenerativeRetriever
    >>> child = np.array([[i, j] for i in range(4) for j in range(1, 4)])
    >>> parent = child * [1, 0]
    >>> retriever = GenerativeRetriever(
    ...     d_model=16, learning_rate=0.01, max_iter=30, random_state=0
    ... )
    >>> retriever.fit(child, parent).predict([[2, 3]], k=1)
    array([[[2, 0]]])
    >>> retriever.score(child, parent, k=1)
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CodeEstimator._parameter_constraints,
        "validation_fraction": [SHARE],
        "dim_feedforward": [COUNT, None],
        "beam_size": [COUNT],
    }

    catalogue_: IntArray
    codebook_sizes_: IntArray
    query_codebook_sizes_: IntArray
    n_features_in_: int

    def __init__(
        self,
        *,
        d_model: int = 128,
        n_layers: int = 2,
        n_heads: int = 4,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        max_iter: int = 20,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        learning_rate_schedule: str = "constant",
        beam_size: int = 20,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        device: str = "auto",
        precision: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dim_feedforward = dim_feedforward
        self.dropout = dropout
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.beam_size = beam_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        query_codes: ArrayLike,
        target_codes: ArrayLike,
        *,
        catalogue: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn which targets go with which queries.

        Parameters
        ----------
        query_codes : array-like of int, shape (n_pairs, n_query_columns)
            Codes of queries. One that has several targets is given with each of them.
        target_codes : array-like of int, shape (n_pairs, n_target_columns)
            The code of a target of each.
        catalogue : array-like of int, shape (n_codes, n_target_columns), default=None
            The codes that there are, repeats allowed: all targets, and whatever else
            can be an answer. None takes the targets, and the queries too if their codes
            have as many columns.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of the pairs; a pair of weight 0 counts as absent.

        Returns
        -------
        self : object
            The fitted estimator. A KeyboardInterrupt ends training with a warning and
            keeps the best weights so far. An error leaves what was fitted before.

        Raises
        ------
        ValueError
            If codes are not 2-D arrays of integers from 0, there is not a target to
            each query, the catalogue lacks a target, or a parameter or a weight is out
            of range.
        """
        self._check_parameters()
        queries, targets = _check_pairs(query_codes, target_codes)
        weight = check_sample_weight(sample_weight, queries)
        used = weight > 0
        queries, targets, weight = queries[used], targets[used], weight[used]
        alike = queries.shape[1] == targets.shape[1]
        if catalogue is None:
            items = np.vstack([queries, targets]) if alike else targets
        else:
            items = check_named(catalogue, "catalogue")
            _check_within(targets, items)
        trie = CodeTrie(items)
        sizes = items.max(axis=0) + 1
        query_sizes = queries.max(axis=0) + 1
        if alike:
            sizes = query_sizes = np.maximum(sizes, query_sizes)
        self._learn(
            np.hstack([queries, targets]),
            weight,
            {
                "catalogue_": trie.rows,
                "codebook_sizes_": sizes,
                "query_codebook_sizes_": query_sizes,
                "n_features_in_": queries.shape[1],
            },
            X=query_codes,
            y=target_codes,
            metadata={} if sample_weight is None else {"sample_weight": sample_weight},
        )
        _tries[self] = trie
        return self

    def predict(self, query_codes: ArrayLike, k: int = 10) -> IntArray:
        """Return the codes of the catalogue that most likely are targets.

        Parameters
        ----------
        query_codes : array-like of int, shape (n_queries, n_query_columns)
            Codes of queries.
        k : int, default=10
            How many codes of each to return.

        Returns
        -------
        codes : int64 array of shape (n_queries, k, n_target_columns)
            The likeliest that the beam search has found, best first; of equally likely
            ones the first in lexicographic order. Where the catalogue has fewer than
            `k`, rows of -1 follow. With `beam_size` at least the size of the catalogue
            none is missed.

        Raises
        ------
        ValueError
            If `k` is below 1, or `query_codes` are not of the kind that `fit` had.
        """
        check_is_fitted(self)
        _check_k(k)
        found, which = self._find(query_codes, int(k))
        return found[which]

    def score_samples(
        self, query_codes: ArrayLike, target_codes: ArrayLike
    ) -> FloatArray:
        """Return the log-likelihood of each target, given its query.

        Parameters
        ----------
        query_codes : array-like of int, shape (n_pairs, n_query_columns)
            Codes of queries.
        target_codes : array-like of int, shape (n_pairs, n_target_columns)
            The code of a target of each, in the catalogue or not.

        Returns
        -------
        log_likelihood : float64 array of shape (n_pairs,)
            In nats: the sum over the columns. The probabilities of all codes that
            tokens can form sum to 1, those of the catalogue to less.

        Raises
        ------
        ValueError
            If the codes are not of the kind that `fit` had, or there is not a target to
            each query.
        """
        check_is_fitted(self)
        pairs = _check_pairs(
            query_codes, target_codes, self.query_codebook_sizes_, self.codebook_sizes_
        )
        return np.asarray(self._network().log_likelihood(np.hstack(pairs)))

    def score(
        self, query_codes: ArrayLike, target_codes: ArrayLike, k: int = 10
    ) -> float:
        """Return Recall@k: the share of targets that are among the `k` predicted codes.

        Parameters
        ----------
        query_codes : array-like of int, shape (n_pairs, n_query_columns)
            Codes of queries.
        target_codes : array-like of int, shape (n_pairs, n_target_columns)
            The code of a target of each.
        k : int, default=10
            How many codes are predicted for each query.

        Returns
        -------
        score : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            As `predict` does, or if there is not a target to each query.
        """
        check_is_fitted(self)
        _check_k(k)
        _, targets = _check_pairs(
            query_codes, target_codes, self.query_codebook_sizes_, self.codebook_sizes_
        )
        found, which = self._find(query_codes, int(k))
        hit = np.zeros(len(targets), dtype=bool)
        for rank in range(int(k)):
            hit |= np.all(found[which, rank] == targets, axis=1)
        return float(np.mean(hit))

    def _find(self, query_codes: ArrayLike, k: int) -> tuple[IntArray, IntArray]:
        """Return the codes for each distinct query, and which of these each row is."""
        queries = check_named(query_codes, "query_codes", self.query_codebook_sizes_)
        distinct, which = np.unique(queries, axis=0, return_inverse=True)
        n_found = min(k, len(self.catalogue_))
        beam_size = max(n_found, int(self.beam_size))
        trie = self._trie()
        rows, _ = self._network().beam(distinct, trie, n_found, beam_size)
        shape = (len(distinct), k, self.catalogue_.shape[1])
        found: IntArray = np.full(shape, -1, dtype=np.int64)
        found[:, :n_found] = trie.rows[rows]
        return found, which

    def _trie(self) -> CodeTrie:
        """Return the catalogue as a tree, which pickles and files do not hold."""
        trie = _tries.get(self)
        if trie is None:
            trie = _tries[self] = CodeTrie(self.catalogue_)
        return trie

    def _asked_shape(self) -> dict[str, int]:
        hidden = self.dim_feedforward or 4 * self.d_model
        return {**super()._asked_shape(), "hidden": int(hidden)}

    def _new_network(self, found: Mapping[str, Any], dropout: float) -> Any:
        from skhyper._nn._translator import CodeTranslator

        sizes = found["codebook_sizes_"].tolist()
        query_sizes = found["query_codebook_sizes_"].tolist()
        return CodeTranslator(
            sizes,
            None if len(query_sizes) == len(sizes) else query_sizes,
            len(query_sizes),
            **found["_shape"],
            dropout=dropout,
        )


def _check_pairs(
    query_codes: ArrayLike,
    target_codes: ArrayLike,
    query_sizes: IntArray | None = None,
    sizes: IntArray | None = None,
) -> tuple[IntArray, IntArray]:
    """Return queries and targets, as many of each."""
    queries = check_named(query_codes, "query_codes", query_sizes)
    targets = check_named(target_codes, "target_codes", sizes)
    if len(queries) != len(targets):
        raise ValueError(
            f"query_codes has {len(queries)} rows and target_codes has {len(targets)}; "
            "give the query of each target again, so that the rows are pairs."
        )
    return queries, targets


def _check_within(targets: IntArray, catalogue: IntArray) -> None:
    """Raise a ValueError if a catalogue lacks a target, or has other columns."""
    if catalogue.shape[1] != targets.shape[1]:
        raise ValueError(
            f"catalogue has {catalogue.shape[1]} columns, but target_codes has "
            f"{targets.shape[1]}; both hold codes of the same kind."
        )
    both = np.vstack([catalogue, targets])
    number = np.unique(both, axis=0, return_inverse=True)[1]
    lacking = np.flatnonzero(
        ~np.isin(number[len(catalogue) :], number[: len(catalogue)])
    )
    if len(lacking):
        raise ValueError(
            f"catalogue lacks {targets[lacking[0]].tolist()}, which is row "
            f"{lacking[0]} of the target_codes that count; add it, or leave that pair "
            "out."
        )


def _check_k(k: Any) -> None:
    if not isinstance(k, Integral) or k < 1:
        raise ValueError(f"k={k!r} must be an integer above 0.")
