"""Self-attention over the items of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper._utils._callbacks import with_callbacks
from skhyper.generative._estimator import COUNT, CodeEstimator
from skhyper.generative._recommender_base import FloatArray, Histories, IntArray
from skhyper.generative._scoring import ScoringRecommender, read_sequences

# columns of items, and how much each row counts
Rows = tuple[IntArray, FloatArray]


class SASRecRecommender(ScoringRecommender, CodeEstimator):
    """Recommend by self-attention over the items of a history, as SASRec does.

    A causal transformer reads the ids of the items, and predicts at each place which
    one comes next [1]_. It knows nothing else of them: with it, a recommender that
    writes codes can be compared.

    Parameters
    ----------
    max_history : int, default=50
        How many items before the next are looked at. Of a longer sequence only the last
        ``max_history + 1`` items are trained on.
    d_model : int, default=64
        Width of the transformer; a multiple of `n_heads`.
    n_layers : int, default=2
        Number of its blocks.
    n_heads : int, default=2
        Number of heads of each attention.
    dropout : float, default=0.5
        Share of the inputs, and of what each part of a block puts out, that is dropped
        in training.
    max_iter : int, default=200
        The most epochs.
    batch_size : int, default=128
        Sequences of a batch.
    learning_rate : float, default=1e-3
        Step size of AdamW.
    learning_rate_schedule : {"constant", "linear"}, default="constant"
        Whether the step size stays, or falls evenly to nothing over `max_iter` epochs,
        which leaves less of the noise of the last batches in the weights.
    early_stopping : bool, default=True
        Hold the last item of each sequence out, stop once the NDCG@10 of these items
        does not rise any more, and keep the weights of its maximum. If False, all items
        are trained on, and the training loss takes its place: `max_iter` should then be
        what an earlier fit has found to be enough.
    n_iter_no_change : int, default=10
        Epochs without an improvement of `tol` after which training stops.
    tol : float, default=1e-4
        What counts as an improvement: in NDCG@10, or without `early_stopping` in nats
        an item.
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
        The ids of all items, sorted.
    weights_ : dict of str to array
        Parameters of the network, float32.
    loss_curve_ : list of float
        Minus the mean log-likelihood of an item in training, in nats, of each epoch.
    validation_scores_ : list of float or None
        NDCG@10 of the items held out; None without `early_stopping`.
    n_iter_ : int
        Number of epochs.

    See Also
    --------
    MarkovRecommender : Looks at the last item alone.
    PopularityRecommender : Looks at none.

    Notes
    -----
    It differs from the publication in two things. The loss is the cross-entropy over
    all items instead of that of one target and one random item, and with it the method
    is much stronger [2]_. Blocks are those of the library's other transformers: the
    normalisation comes before each part, and the perceptron is four times as wide and
    has GELU. Items have one vector, by which they are read and predicted, and
    places are counted from the first item that is looked at.

    A batch takes memory for the scores of all items at each of its places, so that this
    is for up to some hundred thousand items.

    Items of equal scores are ranked by their ids, the lowest first.

    References
    ----------
    .. [1] W.-C. Kang, J. McAuley, "Self-Attentive Sequential Recommendation", ICDM
       2018. arXiv:1808.09781.
    .. [2] A. Klenitskiy, A. Vasilev, "Turning Dross Into Gold Loss: is BERT4Rec really
       better than SASRec?", RecSys 2023. arXiv:2309.07602.

    Examples
    --------
    >>> from skhyper.generative import SASRecRecommender
    >>> days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    >>> weeks = [days[i:] + days[:i] for i in range(7)]
    >>> recommender = SASRecRecommender(
    ...     d_model=16, dropout=0.0, learning_rate=0.01, max_iter=30, random_state=0
    ... )
    >>> recommender.fit(weeks).recommend([["fri"], ["sun", "mon"]], k=1)
    array([['sat'],
           ['tue']], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CodeEstimator._parameter_constraints,
        "max_history": [COUNT],
    }

    def __init__(
        self,
        *,
        max_history: int = 50,
        d_model: int = 64,
        n_layers: int = 2,
        n_heads: int = 2,
        dropout: float = 0.5,
        max_iter: int = 200,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        learning_rate_schedule: str = "constant",
        early_stopping: bool = True,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        device: str = "auto",
        precision: str = "auto",
        verbose: int | bool = 0,
    ) -> None:
        self.max_history = max_history
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dropout = dropout
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        sequences: Sequence[ArrayLike],
        y: None = None,
        *,
        items: ArrayLike | None = None,
    ) -> Self:
        """Learn which item comes next.

        Parameters
        ----------
        sequences : list of sequences of item ids
            What each user has had, oldest first, two items or more. Ids are all
            integers or all strings.
        y : None
            Ignored.
        items : array-like of shape (n_items,), default=None
            The ids of all items that there are; None takes those of the sequences.

        Returns
        -------
        self : object
            The fitted recommender. A KeyboardInterrupt ends training with a warning and
            keeps the best weights so far. An error leaves what was fitted before.

        Raises
        ------
        ValueError
            If there is no sequence, one is too short, ids are of mixed types, `items`
            has repeats or lacks one that occurs, `early_stopping` leaves nothing to
            train on, or a parameter is out of range.
        """
        self._check_parameters()
        ids, histories = read_sequences(sequences, items, min_length=2)
        # of each sequence the history and what comes next, and what is held out
        width = int(self.max_history) + 1 + bool(self.early_stopping)
        rows, weight = histories.tails(width), np.ones(len(histories.lengths))
        return self._learn(rows, weight, {"items_": ids}, X=sequences, y=y)

    def _split(
        self, codes: IntArray, weight: FloatArray, seed: int
    ) -> tuple[Rows, Rows | None]:
        """Return the rows to train on, each transition with equal weight, and all."""
        if not self.early_stopping:
            return _by_transitions(codes), None
        last = (codes >= 0).sum(axis=1) - 1
        training = codes.copy()
        training[np.arange(len(codes)), last] = -1
        training = training[last > 1, :-1]
        if not len(training):
            raise ValueError(
                "early_stopping=True holds out the last item of each sequence, and no "
                "sequence has two others to train on. Give longer sequences, or "
                "early_stopping=False."
            )
        held_out = np.where(codes[:, -1:] < 0, codes[:, :-1], codes[:, 1:])
        return _by_transitions(training), (held_out, weight)

    def _asked_shape(self) -> dict[str, int]:
        return {**super()._asked_shape(), "max_history": int(self.max_history)}

    def _new_network(self, found: Mapping[str, Any], dropout: float) -> Any:
        from skhyper._nn._sasrec import ItemTransformer

        return ItemTransformer(len(found["items_"]), **found["_shape"], dropout=dropout)

    def _trainer_class(self) -> Any:
        from skhyper._nn._sasrec import NextItemTrainer

        return NextItemTrainer

    def _scores(self, histories: Histories) -> NDArray[Any]:
        rows = histories.tails(self._shape["max_history"])
        return np.asarray(self._network().scores(rows))


def _by_transitions(rows: IntArray) -> Rows:
    """Return rows with their numbers of transitions as weights."""
    return rows, (rows >= 0).sum(axis=1) - 1.0
