"""A store to recommend in: real items in a tree, and generated users who walk on it."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state, check_scalar

from skhyper.datasets._naics import load_naics

IntArray = NDArray[np.int64]

# The weight of the industry at rank r is r to this power.
SKEW = -0.7
# How often a user goes on to the group that follows; else browses.
FOLLOW = 0.5
# How often one who browses starts from the home, not from where the last step led.
HOMING = 0.5
# Where one who browses looks: anywhere, in the same sector, subsector or group.
LOOKS = (0.1, 0.2, 0.3, 0.4)
GROUP = len(LOOKS) - 1
LONGEST = 100


def make_store(
    n_users: int = 1000,
    *,
    sequence_length: int = 12,
    random_state: int | RandomState | None = None,
) -> Bunch:
    """Generate users who walk from item to item of a tree, the NAICS industries.

    The items are the 1012 industries of `load_naics` with their text embeddings, and
    the walks keep to its tree, so that codes of the embeddings tell something of what
    comes next. The store itself is drawn first:

    - Popularity: the industries are ranked at random, and the one at rank r has weight
      ``r ** -0.7``.
    - Order: the industry groups of each sector are put on a circle at random. The
      group after a group on the circle follows it; a single group follows itself.

    Then each user takes a home, any industry by its weight, which is the first item of
    the sequence. For each further item, the user looks in a part of the tree:

    - with probability 0.5, in the group that follows the one of the last item;
    - else about the home or about the last item, as likely as each other: in its group
      (0.4), its subsector (0.3), its sector (0.2) or anywhere (0.1).

    There, an industry is drawn by its weight. If the user has it already, the look
    widens by one level, from group to subsector to sector to everything, until there is
    a new one. No item comes twice in a sequence.

    Popularity therefore tells something, what users have in common more, and the order
    most; it is the same for all items of a group.

    Parameters
    ----------
    n_users : int, default=1000
        Number of users.
    sequence_length : int, default=12
        Mean number of items in a sequence, from 2 to 100. The number is drawn uniformly
        from half to one and a half of it.
    random_state : int, RandomState instance or None, default=None
        Determines the store and its users. Pass an int for the same output at every
        call. See :term:`Glossary <random_state>`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        sequences : list of n_users ndarrays, str objects
            Ids of the items of each user, in order.
        item_ids : ndarray of shape (1012,), str objects
            The items: codes of NAICS, sorted.
        data : ndarray of shape (1012, 384), float32
            Embedding of each item.
        target : ndarray of shape (1012, 4), int64
            Sector, subsector, industry group and industry of each item.
        titles : ndarray of shape (1012,), str objects
            Title of each item.
        popularity : ndarray of shape (1012,), float64
            Weight of each item; they add up to 1.
        next_group : ndarray of shape (308,), int64
            The industry group that follows each, numbered as in ``target[:, 2]``.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    TypeError
        If a parameter is not an integer.

    See Also
    --------
    load_naics : The items.
    leave_one_out : Split the sequences.
    fetch_amazon_reviews_2014 : Sequences of real users.

    Examples
    --------
    >>> from skhyper.datasets import leave_one_out, make_store
    >>> store = make_store(n_users=200, random_state=0)
    >>> title_of = dict(zip(store.item_ids, store.titles))
    >>> for item in store.sequences[1][:3]:
    ...     print(title_of[item])
    Beauty Salons
    Other Personal Care Services
    Home and Garden Equipment Repair and Maintenance
    >>> split = leave_one_out(store.sequences)
    >>> len(split.train), len(split.test_targets)
    (200, 200)
    """
    check_scalar(n_users, "n_users", Integral, min_val=1)
    check_scalar(
        sequence_length, "sequence_length", Integral, min_val=2, max_val=LONGEST
    )
    random = check_random_state(random_state)
    naics = load_naics()
    weight = random.permutation(np.arange(1.0, len(naics.codes) + 1) ** SKEW)
    next_group = _circles(naics.target, random)
    store = _Store.of(naics.target, weight, next_group)

    shortest, longest = -(-sequence_length // 2), 3 * sequence_length // 2
    lengths = random.randint(shortest, longest + 1, size=n_users)
    walks = store.walk(n_users, longest, random)
    rows = [walk[:length] for walk, length in zip(walks, lengths, strict=True)]
    return Bunch(
        sequences=[naics.codes[row] for row in rows],
        item_ids=naics.codes,
        data=naics.data,
        target=naics.target,
        titles=naics.titles,
        popularity=weight / weight.sum(),
        next_group=next_group,
    )


class _Store(NamedTuple):
    """A tree of items, their weights, and which part follows which.

    The part about an item at level 0, 1, 2, 3 is everything, its sector, its subsector
    and its group: the rows from `first` to before `last`, since items are in the order
    of the tree.
    """

    first: IntArray
    last: IntArray
    # The weight of all rows before each.
    cumulated: NDArray[np.float64]
    # An item of the group that follows that of each item.
    follower: IntArray

    @classmethod
    def of(
        cls, target: IntArray, weight: NDArray[np.float64], next_group: IntArray
    ) -> _Store:
        """Return the store of items with these labels at each level."""
        labels = np.column_stack([np.zeros_like(target[:, 0]), target[:, :GROUP]])
        first, last = (
            np.column_stack([np.searchsorted(part, part, side) for part in labels.T])
            for side in ("left", "right")
        )
        follower = np.searchsorted(target[:, 2], next_group[target[:, 2]])
        return cls(first, last, np.append(0.0, np.cumsum(weight)), follower)

    def walk(self, n_users: int, length: int, random: RandomState) -> IntArray:
        """Return the rows of the items of each user."""
        items = np.empty((n_users, length), dtype=np.int64)
        taken = np.zeros((n_users, len(self.first)), dtype=bool)
        about = np.zeros(n_users, dtype=np.int64)
        level = np.zeros(n_users, dtype=np.int64)
        for step in range(length):
            if step:
                about, level = self._look(items[:, 0], items[:, step - 1], random)
            items[:, step] = self._draw(about, level, taken, random)
            taken[np.arange(n_users), items[:, step]] = True
        return items

    def _look(
        self, home: IntArray, here: IntArray, random: RandomState
    ) -> tuple[IntArray, IntArray]:
        """Return about which item each user looks next, and at which level."""
        follow = random.uniform(size=len(home)) < FOLLOW
        browse = np.where(random.uniform(size=len(home)) < HOMING, home, here)
        level = random.choice(len(LOOKS), size=len(home), p=LOOKS)
        about = np.where(follow, self.follower[here], browse)
        return about, np.where(follow, GROUP, level)

    def _draw(
        self,
        about: IntArray,
        level: IntArray,
        taken: NDArray[np.bool_],
        random: RandomState,
    ) -> IntArray:
        """Return an item for each user that the user has not taken yet."""
        item, level = np.empty_like(about), level.copy()
        waiting = np.arange(len(about))
        while waiting.size:
            part = (about[waiting], level[waiting])
            first, last = self.first[part], self.last[part]
            point = random.uniform(self.cumulated[first], self.cumulated[last])
            drawn = np.searchsorted(self.cumulated, point, side="right") - 1
            # Rounding may put the point on the end of the part.
            item[waiting] = drawn = np.clip(drawn, first, last - 1)
            waiting = waiting[taken[waiting, drawn]]
            level[waiting] = np.maximum(level[waiting] - 1, 0)
        return item


def _circles(target: IntArray, random: RandomState) -> IntArray:
    """Return the group after each, on a random circle of the groups of its sector."""
    _, rows = np.unique(target[:, 2], return_index=True)
    sectors = target[rows, 0]
    next_group = np.empty(len(rows), dtype=np.int64)
    for sector in np.unique(sectors):
        circle = random.permutation(np.flatnonzero(sectors == sector))
        next_group[circle] = np.roll(circle, -1)
    return next_group
