"""Presets are keywords that their estimators take."""

import pytest

import skhyper
from skhyper import presets
from skhyper.datasets import make_tree

ALL = [getattr(presets, name) for name in presets.__all__ if name.isupper()]
OF_EDGES_OR_CODES = {
    "HierarchyTokenizer",
    "GenerativeRetriever",
    "GenerativeRecommender",
}
OF_ROWS = [preset for preset in ALL if preset.estimator not in OF_EDGES_OR_CODES]


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.name)
def test_the_estimator_takes_it(preset):
    params = getattr(skhyper, preset.estimator)(**preset).get_params()
    for key, value in preset.items():
        assert params[key] == value
    assert getattr(presets, preset.name) is preset
    assert set(preset.unstated) <= set(preset)


@pytest.mark.parametrize("preset", OF_ROWS, ids=lambda preset: preset.name)
def test_the_estimator_learns_from_rows(preset):
    cls = getattr(skhyper, preset.estimator)
    estimator = cls(**preset)
    smaller = {
        "codebook_size": 4,
        "max_iter": 4,
        "hidden_layer_sizes": 8,
        "latent_dim": 3,
        "random_state": 0,
    }
    if "n_levels" in estimator.get_params():
        smaller["n_levels"] = 2
    X, _ = make_tree(100, 6, random_state=0)
    codes = cls(**{**preset, **smaller}).fit_transform(X)
    assert codes.shape == (100, smaller.get("n_levels", 1))


def test_the_experiment_on_wordnet_runs_from_its_presets():
    edges = [("b", "a"), ("c", "a"), ("d", "b"), ("e", "b"), ("f", "c")]
    smaller = {"codebook_size": 3, "max_iter": 40, "random_state": 0}
    tokenizer = skhyper.HierarchyTokenizer(**{**presets.HRQ_WORDNET, **smaller})
    codes = tokenizer.fit(edges).transform(list("bcdef"))
    smaller = {"max_iter": 2, "d_model": 8, "random_state": 0}
    preset = presets.GENERATIVE_RETRIEVER_HRQ
    retriever = skhyper.GenerativeRetriever(**{**preset, **smaller})
    parents = tokenizer.transform(list("aabbc"))
    assert retriever.fit(codes, parents).predict(codes, k=1).shape == (5, 1, 3)


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.name)
def test_it_reads_like_a_call_and_says_what_is_open(preset):
    text = repr(preset)
    assert text.startswith(f"{preset.estimator}(")
    opened = [line for line in text.splitlines() if line.endswith("# open")]
    assert len(opened) == len(preset.unstated)
    assert preset.source


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        presets.TIGER["n_levels"] = 4
    with pytest.raises(AttributeError):
        presets.TIGER.update(n_levels=4)


def test_unknown_presets_and_keys_are_named():
    with pytest.raises(AttributeError, match=r"no preset 'TIGRE'.*'TIGER'"):
        _ = presets.TIGRE
    with pytest.raises(KeyError, match=r"TIGER has no 'curvature'.*n_levels"):
        presets.TIGER["curvature"]
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        skhyper.RQVAETokenizer(**presets.GHRQ)
