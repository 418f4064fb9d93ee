"""Presets are keywords that their estimators take."""

import pytest

import skhyper
from skhyper import presets
from skhyper.datasets import make_tree

ALL = [getattr(presets, name) for name in presets.__all__ if name.isupper()]


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.name)
def test_the_estimator_takes_it_and_learns(preset):
    cls = getattr(skhyper, preset.estimator)
    estimator = cls(**preset)
    for key, value in preset.items():
        assert estimator.get_params()[key] == value
    assert getattr(presets, preset.name) is preset
    assert set(preset.unstated) <= set(preset)
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
