"""From the items that a user has had to the code of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from skhyper._utils._callbacks import with_callbacks
from skhyper._utils._params import Interval
from skhyper._utils._trie import CodeTrie
from skhyper.generative._estimator import COUNT, CodeEstimator, _learnt, _networks
from skhyper.generative._ids import find_ids
from skhyper.generative._next_items import NextItems
from skhyper.generative._recommender_base import (
    Histories,
    NextItemRecommender,
    check_sequences,
)

IntArray = NDArray[np.int64]

# Of each fitted recommender its items in the order of their codes: soon made again, so
# that pickles and files do without.
_orders: WeakKeyDictionary[Any, IntArray] = WeakKeyDictionary()


# Histories are padded to a multiple of so many items: by their own length alone, so
# that a user's result does not depend on the others, and in few ways, for full blocks.
LENGTH_STEP = 4


class GenerativeRecommender(NextItemRecommender, CodeEstimator):
    """Recommendation that writes the code of the next item, a token at a time.

    A transformer reads the codes of the items that a user has had and gives the
    probability of each token of the next item's code, given the tokens before it. A
    beam search then follows the likeliest prefixes that items of the catalogue have.

    Parameters
    ----------
    index : CodeIndex
        The fitted catalogue, in which each item has a code of its own: that of a
        `CodeIndex` with ``unique="counter"`` or ``"reassign"``. Clones keep it.
    max_history : int, default=20
        How many items before the next are read; older ones do not count.
    d_model : int, default=64
        Width of the transformer; a multiple of `n_heads`.
    n_layers : int, default=2
        Number of blocks of the encoder, which reads histories, and of the decoder.
    n_heads : int, default=4
        Number of heads of each attention.
    dim_feedforward : int or None, default=None
        Width inside the perceptron of each block; None takes ``4 * d_model``.
    dropout : float, default=0.1
        Share of what each part of the network puts out that is dropped in training.
    prefix_embeddings : bool, default=True
        Whether each prefix that items have, up to the whole code, has a vector of its
        own, beside those of its tokens. With them the network can remember single
        items. Without, it knows the tokens alone, as in the paper: its size does not
        grow with the catalogue, and items added later are as well known as others.
    item_dropout : float, default=0.0
        Share of the items of histories that are hidden in training, so that none of
        them is relied on; more than 0 takes more epochs.
    max_iter : int, default=20
        The most epochs.
    batch_size : int, default=256
        About how many items of a batch are learnt from; a batch has whole sequences.
    learning_rate : float, default=4e-3
        Step size of the optimizers.
    learning_rate_schedule : {"constant", "linear"}, default="constant"
        Whether the step size stays, or falls evenly to nothing over `max_iter` epochs,
        which leaves less of the noise of the last batches in the weights.
    beam_size : int, default=20
        How many prefixes the search follows; `recommend` follows no fewer than it is to
        return. More find likelier items, in a time that grows with them. It counts
        when `recommend` is called, whatever it was in `fit`.
    early_stopping : bool, default=False
        Keep the last item of each sequence out of training, stop once its
        log-likelihood does not rise any more, and keep the weights of its maximum. If
        False, the items that are trained on take their place.
    n_iter_no_change : int, default=10
        Epochs without an improvement of `tol` after which training stops.
    tol : float, default=1e-4
        What counts as an improvement, in nats a token.
    random_state : int, RandomState instance or None, default=None
        Seeds the network, the batches and the dropout. The global generators of NumPy
        and torch are left alone.
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
    items_ : array of shape (n_items,)
        Ids of the items that can be recommended, in rising order.
    codes_ : int64 array of shape (n_items, n_levels)
        The code of each.
    codebook_sizes_ : int64 array of shape (n_levels,)
        Number of tokens of each column of codes.
    weights_ : dict of str to array
        Parameters of the network, float32.
    loss_curve_ : list of float
        Minus the mean log-likelihood of a token in training, in nats, of each epoch.
    validation_scores_ : list of float or None
        Mean log-likelihood of a token of the items kept out; None without
        `early_stopping`.
    n_iter_ : int
        Number of epochs.

    See Also
    --------
    CodeIndex : The catalogue, with codes that are unique.
    GenerativeRetriever : One code in, one code out.

    Notes
    -----
    Every item of a sequence but the first is learnt from, given those before it: the
    last `max_history` of them, or in longer sequences at least half as many. The
    network is an encoder of the codes of the items and a decoder of the next code that
    share their embeddings, as in T5 [3]_. It differs in what follows.

    - A token competes with those alone that some item has after the same prefix, in
      training as in the search. So the probabilities of all items add up to 1, and
      nothing has to be learnt of which codes there are; it is a softmax over a tree,
      whose leaves are the items [4]_.
    - Each prefix that items have has a vector of its own, which is added to those of
      its tokens: of a group of items, and in the end of a single one. They start at 0,
      and so do those of items that the index gets later.
    - An item is read as the sum of its tokens' and prefixes' vectors, with the items
      before it and not with later ones, so that a sequence is read once for all of its
      items that are learnt from. How many items ago an item was shifts the attention
      that it gets, by learnt numbers.
    - Matrices inside the blocks take the steps of Muon, whose directions are orthogonal
      [5]_, and all else those of AdamW, as long at one learning rate.

    Batches are of sequences of like lengths. What is recommended to a user does not
    depend on the others.

    Since each item has a code of its own, a right code is the right item, and the
    figures are those of items. The paper's last token is a counter, too [1]_; codes
    that are unique without one, by ``CodeIndex(unique="reassign")``, have a token less
    to write.

    References
    ----------
    .. [1] S. Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS
       2023, Section 3. arXiv:2305.05065.
    .. [2] P. Piekos, S. Kayal, A. Karatzoglou, "Hyperbolic Residual Quantization",
       2025, Section 4: next items by codes of their texts. arXiv:2505.12404.
    .. [3] C. Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
       Text-to-Text Transformer", JMLR 21, 2020.
    .. [4] F. Morin, Y. Bengio, "Hierarchical Probabilistic Neural Network Language
       Model", AISTATS 2005.
    .. [5] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks",
       2024, with steps as long as AdamW's: J. Liu et al., "Muon is Scalable for LLM
       Training", 2025. arXiv:2502.16982.

    Examples
    --------
    >>> from skhyper.generative import CodeIndex, GenerativeRecommender
    >>> index = CodeIndex().fit([[0], [0], [1], [1]], ["cup", "mug", "ink", "pen"])
    >>> recommender = GenerativeRecommender(
    ...     index,
    ...     d_model=32,
    ...     n_layers=1,
    ...     learning_rate=0.01,
    ...     max_iter=60,
    ...     random_state=0,
    ... )
    >>> cycle = ["cup", "ink", "mug", "pen"] * 2
    >>> sequences = [cycle[at : at + 3] for at in range(4)]
    >>> recommender.fit(sequences).recommend([["pen"], ["ink", "mug"]], k=1).tolist()
    [['cup'], ['pen']]
    >>> recommender.score(sequences, k=1)
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CodeEstimator._parameter_constraints,
        "max_history": [COUNT],
        "dim_feedforward": [COUNT, None],
        "prefix_embeddings": ["boolean"],
        "item_dropout": [Interval(Real, 0, 1, closed="left")],
        "beam_size": [COUNT],
    }

    codes_: IntArray
    codebook_sizes_: IntArray
    _max_history: int
    _shape: dict[str, int]

    def __init__(
        self,
        index: Any = None,
        *,
        max_history: int = 20,
        d_model: int = 64,
        n_layers: int = 2,
        n_heads: int = 4,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        prefix_embeddings: bool = True,
        item_dropout: float = 0.0,
        max_iter: int = 20,
        batch_size: int = 256,
        learning_rate: float = 4e-3,
        learning_rate_schedule: str = "constant",
        beam_size: int = 20,
        early_stopping: bool = False,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        device: str = "auto",
        precision: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.index = index
        self.max_history = max_history
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dim_feedforward = dim_feedforward
        self.dropout = dropout
        self.prefix_embeddings = prefix_embeddings
        self.item_dropout = item_dropout
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.beam_size = beam_size
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy with the same index, of which a clone is empty."""
        twin: Self = super().__sklearn_clone__()
        twin.index = self.index
        return twin

    @with_callbacks
    def fit(self, sequences: Sequence[ArrayLike], y: None = None) -> Self:
        """Learn which item follows which.

        Parameters
        ----------
        sequences : list of sequences of item ids
            What each user has had, oldest first, at least two items.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator. A KeyboardInterrupt ends training with a warning and
            keeps the best weights so far. An error leaves what was fitted before.

        Raises
        ------
        ValueError
            If a sequence has fewer than two items or one that is not in the index,
            items of the index share codes, or a parameter is out of range.
        sklearn.exceptions.NotFittedError
            If the index is not fitted.
        """
        self._check_parameters()
        catalogue = _read_index(self.index)
        histories = check_sequences(sequences, catalogue["items_"], min_length=2)
        max_history = int(self.max_history)
        examples: Any = NextItems(histories, catalogue["codes_"], max_history)
        self._learn(
            examples,
            examples.n_targets,
            {**catalogue, "_max_history": max_history},
            X=sequences,
            y=y,
            metadata={},
        )
        self._forget()
        return self

    def partial_fit(self, sequences: Sequence[ArrayLike], y: None = None) -> Self:
        """Train for one pass over more sequences.

        After `fit`, it goes on from the fitted weights. Items that were added to the
        index since can be recommended from then on, if their tokens are not new. No
        callback is called.

        Parameters
        ----------
        sequences : list of sequences of item ids
            As `fit` takes them; of users that were there before, too.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator, whose `loss_curve_` has one more entry.

        Raises
        ------
        ValueError
            With ``early_stopping=True``, for which no item is kept out here; if the
            index is not that of the fit, or parameters that shape the network were set
            to other values; and as `fit` does.
        sklearn.exceptions.NotFittedError
            If the index is not fitted.
        """
        self._check_parameters()
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True keeps items out of training, and partial_fit "
                "trains on all; use early_stopping=False, or fit."
            )
        known, found = hasattr(self, "weights_"), _read_index(self.index)
        found["_shape"] = self._asked_shape()
        found["_max_history"] = int(self.max_history)
        if known:
            self._check_grown(found)
            found["codebook_sizes_"] = self.codebook_sizes_
        histories = check_sequences(sequences, found["items_"], min_length=2)
        examples = NextItems(histories, found["codes_"], found["_max_history"])
        self._one_pass(examples, found, known)
        return self

    def _one_pass(
        self, examples: NextItems, found: dict[str, Any], known: bool
    ) -> None:
        """Train once on all examples, and become what that gives."""
        from skhyper._nn._train import History

        rng = check_random_state(self.random_state)
        online = getattr(self, "_online", None) or {
            "seed": int(rng.randint(np.iinfo(np.int32).max)),
            "passes": 0,
            "state": {},
        }
        seed = (online["seed"] + online["passes"]) % 2**31
        model = self._build(found, seed, float(self.dropout))
        state = online["state"]
        if known:
            model.load_weights(model.taken_over(self.weights_, self.codes_))
            if len(self.codes_) < len(found["codes_"]):  # steps are taken afresh
                state = {}
        trainer = self._trainer(model, (examples, examples.n_targets), seed)
        trainer.load_state(state)
        history = History([*self.loss_curve_] if known else [])
        n_before = len(history.loss_curve)
        trainer.one_pass(history)
        self._forget()
        self.__dict__.update({**_learnt(model, history), **found})
        _networks[self] = model
        # a pass that diverged leaves no state worth going on from
        diverged = len(history.loss_curve) == n_before
        self._online = {
            "seed": online["seed"],
            "passes": online["passes"] + 1,
            "state": {} if diverged else trainer.state(),
        }

    def _forget(self) -> None:
        """Drop what belongs to the fit before."""
        self.__dict__.pop("_online", None)
        _orders.pop(self, None)

    def _check_grown(self, found: Mapping[str, Any]) -> None:
        """Raise a ValueError unless training can go on from what was fitted."""
        if (found["_shape"], found["_max_history"]) != (self._shape, self._max_history):
            raise ValueError(
                "max_history, d_model, n_layers, n_heads, dim_feedforward or "
                "prefix_embeddings is another than it was in fit. Set it back, or call "
                "fit."
            )
        items, codes = found["items_"], found["codes_"]
        kinds = items.dtype.kind, codes.shape[1]
        if kinds != (self.items_.dtype.kind, self.codes_.shape[1]):
            raise ValueError(
                "index has ids of another type than the fitted one, or codes of "
                "another width. Set it back, or call fit."
            )
        at, lost = find_ids(items, self.items_)
        moved = self.items_[(codes[at] != self.codes_).any(axis=1)]
        if lost.size or moved.size:
            name = [*lost, *moved][0].item()
            raise ValueError(
                f"index is not that of fit: the item {name!r} has another code in it, "
                "or none. Set it back, or call fit."
            )
        large = np.flatnonzero((codes >= self.codebook_sizes_).any(axis=1))
        if large.size:
            raise ValueError(
                f"index has {len(large)} new items with tokens that the network lacks: "
                f"{items[large[0]].item()!r} has {codes[large[0]].tolist()}, and there "
                f"are {self.codebook_sizes_.tolist()}. Call fit."
            )

    def _ranked(self, histories: Histories, k: int) -> IntArray:
        """Return the likeliest items, of equally likely ones the lowest code first."""
        items, network = self._by_code(), self._network()
        beam_size = max(k, int(self.beam_size))
        codes = np.vstack([self.codes_, np.full(self.codes_.shape[1], -1)])
        seen = histories.tails(self._max_history)
        steps = -(-histories.lengths // LENGTH_STEP) * LENGTH_STEP
        widths = np.minimum(steps, self._max_history)
        ranked = np.empty((len(widths), k), dtype=np.int64)
        for width in np.unique(widths):
            which = np.flatnonzero(widths == width)
            source = codes[seen[which, :width]].reshape(len(which), -1)
            found, _ = network.beam(source, network.trie, k, beam_size)
            ranked[which] = items[found]
        return ranked

    def _by_code(self) -> IntArray:
        """Return the item of each leaf of the network's trie."""
        if self not in _orders:
            _orders[self] = np.lexsort(self.codes_.T[::-1])
        return _orders[self]

    def _asked_shape(self) -> dict[str, int]:
        hidden = self.dim_feedforward or 4 * self.d_model
        prefixes = bool(self.prefix_embeddings)
        return {**super()._asked_shape(), "hidden": int(hidden), "prefixes": prefixes}

    def _split(self, examples: Any, weight: Any, seed: int) -> Any:
        """Return the examples to train on, and those that decide when to stop."""
        if not self.early_stopping:
            return (examples, weight), None
        train, held_out = examples.split_last()
        if not len(train):
            raise ValueError(
                "early_stopping=True keeps the last item of each sequence out, which "
                "leaves none to train on: no sequence has 3 items. Give longer ones or "
                "early_stopping=False."
            )
        return tuple((part, part.n_targets) for part in (train, held_out))

    def _rows_of_batch(self, rows: NextItems) -> int:
        return max(1, round(self.batch_size / float(rows.n_targets.mean())))

    def _new_network(self, found: Mapping[str, Any], dropout: float) -> Any:
        from skhyper._nn._histories import HistoryTranslator

        return HistoryTranslator(
            found["codebook_sizes_"].tolist(),
            found["_max_history"],
            CodeTrie(found["codes_"]),
            **found["_shape"],
            dropout=dropout,
            item_dropout=float(self.item_dropout),
        )


def _read_index(index: Any) -> dict[str, Any]:
    """Return what an index says as fitted attributes, or raise an error."""
    if not hasattr(index, "lookup"):
        raise ValueError(
            f"index is a {type(index).__name__}; it must be a fitted CodeIndex, such "
            "as CodeIndex(unique='counter').fit(codes, ids)."
        )
    if not hasattr(index, "codes_"):
        raise NotFittedError(
            f"index={index!r} is not fitted. Call its fit(codes, ids) before."
        )
    codes = index.codes_
    order = np.lexsort(codes.T[::-1])
    equal = np.flatnonzero((codes[order][1:] == codes[order][:-1]).all(axis=1))
    if equal.size:
        pair = index.ids_[order[equal[0] : equal[0] + 2]].tolist()
        raise ValueError(
            f"index has items that share codes: {pair[0]!r} and {pair[1]!r} have "
            f"{codes[order[equal[0]]].tolist()}. Settle collisions first: "
            "CodeIndex(unique='counter')."
        )
    return {
        "items_": index.ids_,
        "codes_": codes,
        "codebook_sizes_": index.codebook_sizes_,
    }
