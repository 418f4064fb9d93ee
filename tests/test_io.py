"""Saved and loaded estimators are the same, and no damaged file is loaded."""

import errno
import hashlib
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
from collections import OrderedDict
from http import HTTPStatus

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from contract import CODERS, INSTANCES, data, fitted, name
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import skhyper
from skhyper import io
from skhyper.callbacks import EpochLog
from skhyper.quantizers import (
    HyperbolicKMeans,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
)
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

# by tests of their own, as they need labels or codes
OTHERWISE_COVERED = {
    skhyper.HyperVQClassifier,
    skhyper.HyperbolicLogisticRegression,
    skhyper.TokenPrior,
    skhyper.CodeIndex,
    skhyper.GenerativeRecommender,
    skhyper.GenerativeRetriever,
    skhyper.ItemKNNRecommender,
    skhyper.MarkovRecommender,
    skhyper.PopularityRecommender,
    skhyper.SASRecRecommender,
    skhyper.PoincareEmbedding,
    skhyper.HierarchyTokenizer,
}

every_estimator = pytest.mark.parametrize("estimator", INSTANCES, ids=name)


def assert_identical(actual, expected, where=""):
    """Equal types, dtypes, shapes, memory orders, bytes and order of keys."""
    assert type(actual) is type(expected), where
    if isinstance(expected, dict):
        assert list(actual) == list(expected), where
        for key in expected:
            assert_identical(actual[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected), where
        for i, pair in enumerate(zip(actual, expected, strict=True)):
            assert_identical(*pair, f"{where}.{i}")
    elif isinstance(expected, np.ndarray) and expected.dtype == object:
        assert actual.dtype == object, where
        assert_identical(actual.tolist(), expected.tolist(), where)
    elif isinstance(expected, np.ndarray | np.generic):
        assert actual.dtype.str == expected.dtype.str, where
        assert actual.shape == expected.shape, where
        assert actual.flags.fnc == expected.flags.fnc, where
        assert actual.tobytes() == expected.tobytes(), where
    elif isinstance(expected, float):
        assert repr(actual) == repr(expected), where
    else:
        assert actual == expected, where


def round_trip(model, folder):
    path = folder / "model.safetensors"
    io.save(model, path)
    return io.load(path)


def small():
    """An estimator whose file is small."""
    X = np.arange(8.0).reshape(4, 2)
    return ResidualQuantizer(2, 2, n_init=1, random_state=0).fit(X)


def outputs(model, X):
    """What the methods give, by name."""
    found = {"transform": model.transform(X), "predict": model.predict(X)}
    found["score"] = model.score(X)
    for method in ("embed", "quantize"):
        if hasattr(model, method):
            found[method] = getattr(model, method)(X)
    if hasattr(model, "inverse_transform"):
        codes = found["transform"]
        found["inverse_transform"] = model.inverse_transform(codes)
        found["prefix"] = model.inverse_transform(codes[:, :1])
    return found


@every_estimator
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loaded_estimators_are_the_same(estimator, dtype, tmp_path):
    X = data().astype(dtype)
    model = fitted(estimator, X)
    expected, state = outputs(model, X), vars(model).copy()
    twin = round_trip(model, tmp_path)
    assert type(twin) is type(model)
    assert_identical(vars(twin), vars(model))
    assert_identical(outputs(twin, X), expected)
    assert_identical(vars(model), state)
    # it can be fitted again, and tells its output's names
    assert_identical(vars(twin.fit(X)), vars(model))
    names = model.get_feature_names_out()
    assert_identical(twin.get_feature_names_out(), names)


@pytest.mark.parametrize("cls", [RQVAETokenizer, HRQVAETokenizer])
def test_a_tokenizer_with_every_kind_of_state(cls, tmp_path):
    X = pd.DataFrame(data(), columns=[f"é {i}" for i in range(6)])
    model = cls(
        n_levels=np.int64(2),
        codebook_size=[4, 3],
        latent_dim=3,
        hidden_layer_sizes=(7, 5),
        max_iter=4,
        early_stopping=True,
        learning_rate=np.float32(1e-3),
        random_state=0,
    ).set_output(transform="pandas")
    twin = round_trip(model.fit(X), tmp_path)
    assert_identical(vars(twin), vars(model))
    assert type(twin.loss_curve_[0]) is type(twin.validation_scores_[0]) is float
    assert type(twin.feature_names_in_[0]) is str
    pd.testing.assert_frame_equal(twin.transform(X), model.transform(X))
    assert twin.score(X) == model.score(X)


@pytest.mark.parametrize("geometry", ["ball", "lorentz"])
def test_points_as_input_and_an_array_as_a_parameter(geometry, tmp_path):
    X = 0.1 * data()
    if geometry == "lorentz":
        X = np.column_stack([np.sqrt(1 + np.sum(X * X, axis=1)), X])
    init = np.asfortranarray(X[:3])
    for estimator in (
        HyperbolicKMeans(3, init=init, input_geometry=geometry),
        HyperbolicResidualQuantizer(2, 3, input_geometry=geometry),
    ):
        model = fitted(estimator, X)
        twin = round_trip(model, tmp_path)
        assert_identical(vars(twin), vars(model))
        assert_identical(outputs(twin, X), outputs(model, X))


VALUES = {
    "none": None,
    "bool": True,
    "int": -(2**70),
    "str": 'é\ud800"\\\n' + "0" * 64,
    "empty_str": "",
    "floats": [0.1, -0.0, 1e-320, np.inf, -np.inf, np.nan],
    "tuple": (1, (2.0, [None, ()]), {"a": (np.inf,)}),
    "dict": {"b": 1, "a": {}, "": [], "tuple": 1, "array": ["x", "<f8", "C"]},
    "colliding": {"a.b": np.zeros(1), "a": {"b": np.ones(1)}},
    "big_list": [0.5, 1, False] * 1000,
    "dtypes": [np.dtype(t) for t in ("<f8", ">f4", "bool", "uint16")],
    "arrays": [
        np.arange(6).astype(t).reshape(2, 3)
        for t in (
            *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16"),
            *("uint32", "uint64", "float16", "float32", "float64", ">f8", ">i2"),
        )
    ],
    "nan_bits": np.array([0x7FF8000000000123, 0xFFF0000000000001], "u8").view("f8"),
    "zero_dim": np.array(np.float32(2.5)),
    "empty_array": np.zeros((3, 0), np.float32),
    "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "scalars": [
        *(np.float64(0.1), np.float32(np.nan), np.float16(-0.0), np.int8(-3)),
        *(np.uint64(2**64 - 1), np.bool_(True), np.str_("é")),
    ],
    "strings": np.array(["a", "", "éé"], dtype=object),
    "string_table": np.array([["a", "bc"]], dtype="<U7"),
    "no_strings": np.array([], dtype=object),
}


@pytest.mark.parametrize("key", VALUES)
def test_values_of_every_type(key, tmp_path):
    model = small()
    model.extra_ = VALUES[key]
    assert_identical(vars(round_trip(model, tmp_path))["extra_"], VALUES[key])


def test_arrays_are_writable_copies_of_strided_and_mapped_ones(tmp_path):
    model = small()
    np.save(tmp_path / "x.npy", np.arange(12.0))
    model.mapped_ = np.load(tmp_path / "x.npy", mmap_mode="r")
    model.strided_ = np.arange(24.0)[::-2]
    twin = round_trip(model, tmp_path)
    assert_identical(twin.mapped_, np.arange(12.0))
    assert_identical(twin.strided_, model.strided_.copy())
    assert twin.mapped_.flags.writeable
    assert twin.mapped_.flags.aligned
    assert twin.mapped_.flags.owndata


class Other:
    """A type of no use in a file."""


REFUSED = {
    "object": Other(),
    "class": Other,
    "set": {1},
    "bytes": b"a",
    "complex": 1j,
    "array of objects": np.array([1, None], dtype=object),
    "array of complex": np.zeros(2, np.complex64),
    "array of long doubles": np.zeros(2, np.longdouble),
    "array of dates": np.zeros(2, "M8[s]"),
    "records": np.zeros(2, "i4,f8"),
    "date": np.datetime64("2020-01-01"),
    "bytes scalar": np.bytes_(b"a"),
    "complex scalar": np.complex64(1),
    "array of bytes": np.array([], dtype="S1"),
    "masked array": np.ma.masked_array([1.0]),
    "dict with int keys": {1: 2},
    "dtype of records": np.dtype("i4,f8"),
    "frame": pd.DataFrame({"a": [1]}),
    "generator": np.random.RandomState(0),
    "subclass of int": HTTPStatus.OK,
    "subclass of dict": OrderedDict(a=1),
}


@pytest.mark.parametrize("key", REFUSED)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"a": [v]}], ids=["", "deep"])
def test_other_types_are_refused_by_name(key, wrap, tmp_path):
    model = small()
    model.extra_ = wrap(REFUSED[key])
    with pytest.raises(TypeError, match=r"ResidualQuantizer.* extra_"):
        io.save(model, tmp_path / "model")
    assert not os.listdir(tmp_path)


def test_a_generator_as_random_state_is_refused_with_the_remedy(tmp_path):
    model = ResidualQuantizer(1, 2, random_state=np.random.RandomState(0)).fit(data())
    with pytest.raises(TypeError, match=r"random_state.*set_params\(random_state=0\)"):
        io.save(model, tmp_path / "model")
    assert not os.listdir(tmp_path)
    assert round_trip(model.set_params(random_state=0), tmp_path).random_state == 0


@every_estimator
def test_unfitted_estimators_are_refused(estimator, tmp_path):
    with pytest.raises(NotFittedError):
        io.save(clone(estimator), tmp_path / "model")
    assert not os.listdir(tmp_path)


class Mine(ResidualQuantizer):
    """A user's subclass."""


@pytest.mark.parametrize(
    "estimator",
    [
        Mine(),
        make_pipeline(ResidualQuantizer()),
        BaseEstimator(),
        ResidualQuantizer,
        None,
        type("ResidualQuantizer", (ResidualQuantizer,), {})(),
    ],
    ids=["subclass", "pipeline", "base", "class", "None", "namesake"],
)
def test_other_classes_are_refused(estimator, tmp_path):
    with pytest.raises(TypeError, match=r"must be one of .*HRQVAETokenizer.*got a"):
        io.save(estimator, tmp_path / "model")
    assert not os.listdir(tmp_path)


def test_every_public_estimator_is_registered():
    assert set(io.ESTIMATORS) == set(skhyper._NAMES)
    for name_, cls in io.ESTIMATORS.items():
        assert cls is getattr(skhyper, name_)
    covered = {type(e) for e in INSTANCES} | OTHERWISE_COVERED
    assert covered == set(io.ESTIMATORS.values())


def test_what_load_would_refuse_save_refuses(tmp_path):
    model = fitted(CODERS[-1]).set_params(latent_dim=5)
    with pytest.raises(ValueError, match=r"codebooks_\[0\] has shape \(4, 3\)"):
        io.save(model, tmp_path / "model")
    model = small().set_params(beam_size=0)
    with pytest.raises(ValueError, match="beam_size"):
        io.save(model, tmp_path / "model")
    assert not os.listdir(tmp_path)


# --- bytes ---------------------------------------------------------------------------


@every_estimator
def test_equal_estimators_give_equal_files(estimator, tmp_path):
    paths = [tmp_path / str(i) for i in range(4)]
    model = fitted(estimator)
    io.save(model, paths[0])
    io.save(model, paths[1])
    io.save(fitted(estimator), paths[2])
    io.save(io.load(paths[0]), paths[3])
    assert len({path.read_bytes() for path in paths}) == 1


def test_the_file_is_what_the_module_says(tmp_path):
    model = fitted(HRQVAETokenizer(2, 4, latent_dim=3, max_iter=2))
    path = tmp_path / "model"
    io.save(model, path)
    with safetensors.safe_open(path, framework="np") as file:
        (text,) = file.metadata().values()
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    document = json.loads(text)
    assert list(document) == ["sha256", "format", "skhyper", "class", "params", "state"]
    assert document["format"] == 1
    assert document["skhyper"] == skhyper.__version__
    assert document["class"] == "HRQVAETokenizer"
    assert set(document["params"]) == set(model.get_params())
    raw = path.read_bytes()
    assert raw.count(document["sha256"].encode()) == 1
    blank = raw.replace(document["sha256"].encode(), b"0" * 64)
    assert hashlib.sha256(blank).hexdigest() == document["sha256"]
    names = {f"weights_.{key}" for key in model.weights_}
    names |= {f"codebooks_.{i}" for i in range(2)}
    assert names | {"labels_", "codebook_usage_", "offset_"} == set(arrays)
    for key, value in model.weights_.items():
        assert_identical(arrays[f"weights_.{key}"], value)


def resealed(raw, change):
    """`raw` with `change` made to its document and tensors, and a hash that fits."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    document = json.loads(header["__metadata__"]["skhyper"])
    tensors = safetensors.numpy.load(raw)
    text = change(document, tensors)
    if text is None:
        text = json.dumps(document)
    raw = safetensors.numpy.save(tensors, {"skhyper": text})
    return sealed(raw, document["sha256"]) if "sha256" in document else raw


def sealed(raw, digest):
    """`raw` with a hash that fits in the place of `digest`."""
    blank = raw.replace(digest.encode(), b"0" * 64, 1)
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)


@pytest.fixture
def path(tmp_path):
    """The file of a small estimator."""
    io.save(small(), tmp_path / "model")
    return tmp_path / "model"


def assert_refused(path, raw, match=""):
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot.*{match}"):
        io.load(path)


def test_every_flipped_byte_is_found(path):
    raw = path.read_bytes()
    assert len(raw) < 4000
    for i in range(len(raw)):
        for mask in (1, 0x20, 0xFF):
            assert_refused(path, raw[:i] + bytes([raw[i] ^ mask]) + raw[i + 1 :])


def test_every_truncation_is_found(path):
    raw = path.read_bytes()
    for n in range(len(raw)):
        assert_refused(path, raw[:n])
    assert_refused(path, raw + b"\0", "damaged")


def test_damage_that_keeps_the_json_valid_is_found(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    assert raw[8 + size - 1] == ord(" ")  # padding, and a tab would do as well
    assert_refused(path, raw[: 8 + size - 1] + b"\t" + raw[8 + size :], "SHA-256")
    assert_refused(path, raw.replace(b'n_iter_\\":', b'n_iter_\\":1'), "SHA-256")
    document = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"]["skhyper"])
    digest = document["sha256"].encode()
    assert_refused(path, raw.replace(digest, digest.upper()), "SHA-256")
    assert_refused(path, raw.replace(digest, b"0" * 64), "SHA-256")


def test_damage_in_a_large_file_is_found(tmp_path):
    X = data()
    path = tmp_path / "model"
    io.save(fitted(HRQVAETokenizer(2, 8, latent_dim=4, max_iter=2), X), path)
    raw = path.read_bytes()
    for i in np.linspace(0, len(raw) - 1, 101).astype(int):
        assert_refused(path, raw[:i] + bytes([raw[i] ^ 4]) + raw[i + 1 :])
        assert_refused(path, raw[:i])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"\0" * 8,
        b"\xff" * 8,
        b"\xff" * 100,
        b"\x80\x04\x95a pickle",
        b"\x02" + b"\0" * 7 + b"{}",
        b"\x02" + b"\0" * 7 + b"[]",
        b"\x04" + b"\0" * 7 + b"null",
        (10**6).to_bytes(8, "little") + b"[" * 10**6,
        safetensors.numpy.save({"a": np.zeros(3)}),
        safetensors.numpy.save({"a": np.zeros(3)}, {"format": "pt"}),
        safetensors.numpy.save({}, {"skhyper": "{}"}),
        safetensors.numpy.save({}, {"skhyper": "[1]"}),
        safetensors.numpy.save({}, {"skhyper": "["}),
    ],
)
def test_foreign_files_are_refused(raw, tmp_path):
    assert_refused(tmp_path / "model", raw, "not a file that skhyper.io.save wrote")


def test_resealing_alone_changes_nothing(path):
    path.write_bytes(resealed(path.read_bytes(), lambda document, tensors: None))
    assert_identical(vars(io.load(path)), vars(small()))


def put(*keys, value):
    """A change that puts `value` at a place of the document."""

    def change(document, tensors):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def drop(*keys):
    """A change that takes a key away from the document."""

    def change(document, tensors):
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return change


def tensor(key, value):
    """A change that puts another tensor in the place of one."""
    return lambda document, tensors: tensors.update({key: value})


FORGED = {
    "newer": (put("format", value=2), "format is 2.*Upgrade"),
    "older": (put("format", value=0), "format is 0"),
    "no number": (put("format", value="1"), "format is '1'"),
    "no format": (drop("format"), "not a file"),
    "no hash": (drop("sha256"), "not a file"),
    "no class": (drop("class"), "lacks 'class'"),
    "no params": (drop("params"), "lacks 'params'"),
    "no state": (drop("state"), "lacks 'state'"),
    "foreign class": (put("class", value="Pipeline"), "'Pipeline' is unknown"),
    "dotted class": (put("class", value="os.system"), "'os.system' is unknown"),
    "class of no type": (put("class", value=[]), ""),
    "another class": (put("class", value="HyperbolicKMeans"), "unexpected keyword"),
    "foreign parameter": (put("params", "x", value=1), "unexpected keyword"),
    "bad parameter": (put("params", "n_levels", value=0), "n_levels"),
    "params of no type": (put("params", value=3), ""),
    "unfitted": (put("state", value={}), "not fitted"),
    "no codebooks": (drop("state", "codebooks_"), "not fitted"),
    "codebooks of no type": (put("state", "codebooks_", value=3), ""),
    "codebooks of str": (
        put("state", "codebooks_", value=["a", "b"]),
        r"codebooks_\[0\]",
    ),
    "no n_features_in_": (drop("state", "n_features_in_"), "n_features_in_"),
    "other n_features_in_": (put("state", "n_features_in_", value=3), "codebooks_"),
    "no usage": (drop("state", "codebook_usage_"), "codebook_usage_"),
    "unknown tag": (put("state", "x_", value={"pickle": "x"}), "type 'pickle'"),
    "two tags": (put("state", "x_", value={"tuple": [], "dict": {}}), ""),
    "no tensor": (put("state", "x_", value={"array": ["x", "<f8", "C"]}), "lacks 'x'"),
    "bad order": (put("state", "x_", value={"array": ["labels_", "<i8", "?"]}), ""),
    "bad dtype": (put("state", "x_", value={"dtype": "nonsense"}), "nonsense"),
    "bad strings": (put("state", "x_", value={"strings": ["|O", [2], ["a"]]}), ""),
    "bad float": (put("state", "x_", value={"float": "1,5"}), "1,5"),
    "deep": (
        lambda document, tensors: (
            json.dumps(document)[:-1] + ', "x": ' + "[" * 10**5 + "]" * 10**5 + "}"
        ),
        "",
    ),
    "wide codebook": (tensor("codebooks_.1", np.zeros((2, 3))), r"codebooks_\[1\]"),
    "narrow codebook": (tensor("codebooks_.1", np.zeros((2, 1))), r"expected .*, 2"),
    "flat codebook": (tensor("codebooks_.0", np.zeros(4)), r"codebooks_\[0\]"),
    "empty codebook": (tensor("codebooks_.0", np.zeros((0, 2))), r"codebooks_\[0\]"),
    "short usage": (tensor("codebook_usage_", np.zeros(1)), "codebook_usage_"),
    "other dtype": (tensor("codebooks_.0", np.zeros((2, 2), "f4")), "is float32"),
}


@pytest.mark.parametrize("key", FORGED)
def test_well_sealed_nonsense_is_refused(key, path):
    change, match = FORGED[key]
    assert_refused(path, resealed(path.read_bytes(), change), match)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"[32,48]", b"[24,40]"),
        (b'"dtype":"F64"', b'"dtype":"XYZ"'),
        (b'"dtype":"F64"', b'"dtype":"I16"'),
        (b'"dtype":"F64"', b'"dtype":"C64"'),
        (b'"shape":[2,2]', b'"shape":[2,3]'),
    ],
)
def test_well_sealed_headers_that_safetensors_refuses(old, new, path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    document = json.loads(json.loads(raw[8 : 8 + size])["__metadata__"]["skhyper"])
    assert old in raw
    assert_refused(path, sealed(raw.replace(old, new, 1), document["sha256"]))


FORGED_TOKENIZER = {
    "offset_": np.zeros(5),
    "codebooks_.0": np.zeros((4, 2)),
    "weights_.shift": np.zeros(2),
    "weights_.encoder.0.weight": np.zeros((8, 5)),
    "weights_.encoder.0.bias": np.zeros(7),
    "weights_.encoder.2.weight": np.zeros((3, 7)),
    "weights_.encoder.2.bias": np.zeros((3, 1)),
    "weights_.decoder.0.weight": np.zeros((8, 2)),
    "weights_.decoder.2.weight": np.zeros((6, 9)),
    "weights_.decoder.2.bias": np.zeros(5),
}


@pytest.mark.parametrize("estimator", CODERS[-2:], ids=name)
def test_networks_of_the_wrong_shape_are_refused(estimator, tmp_path):
    path = tmp_path / "model"
    io.save(fitted(estimator), path)
    raw = path.read_bytes()
    for key, value in FORGED_TOKENIZER.items():
        where = key.removeprefix("weights_.").split(".")[0]
        forged = resealed(raw, tensor(key, value))
        assert_refused(path, forged, rf"{where}.*has shape")
    # layers that fit each other, but neither the codes nor the features
    latents = {"encoder.2.weight": (2, 8), "encoder.2.bias": (2,)}
    latents["decoder.0.weight"] = (8, 2)
    features = {"decoder.2.weight": (5, 8), "decoder.2.bias": (5,)}
    for shapes in (latents, features):
        change = {f"weights_.{key}": np.zeros(shapes[key]) for key in shapes}
        forged = resealed(
            raw, lambda document, tensors, new=change: tensors.update(new)
        )
        assert_refused(path, forged, "coder.*has shape")
    for key in ("weights_", "offset_"):
        assert_refused(path, resealed(raw, drop("state", key)), key)
    short = drop("state", "weights_", "dict", "shift")
    assert_refused(path, resealed(raw, short), "lacks 'shift'")


def without(*parts):
    """A change that takes away all weights whose names have one of the parts."""

    def change(document, tensors):
        weights = document["state"]["weights_"]["dict"]
        for key in list(weights):
            if any(part in key for part in parts):
                del weights[key], tensors[f"weights_.{key}"]

    return change


def renamed(old, new):
    """A change of the name of a weight."""

    def change(document, tensors):
        weights = document["state"]["weights_"]["dict"]
        document["state"]["weights_"]["dict"] = {
            key.replace(old, new): value for key, value in weights.items()
        }

    return change


def assert_refused_with(model, change, match, folder):
    io.save(model, folder / "whole")
    raw = resealed((folder / "whole").read_bytes(), change)
    assert_refused(folder / "changed", raw, match)


LAYERS = {"codebook_size": 4, "latent_dim": 3, "max_iter": 2}


@pytest.mark.parametrize("input_shape", [(1, 2, 3), (2, 3)], ids=["picture", "sound"])
def test_networks_that_lack_a_block_are_refused(input_shape, tmp_path):
    n_strides = {3: 2, 2: 6}[len(input_shape)]
    model = skhyper.VQVAETokenizer(**LAYERS, input_shape=input_shape, n_channels=2)
    model = fitted(model)
    for half, block in (("encoder", 2 * n_strides), ("decoder", 2)):
        layers = f"{half}.layers.{block}.layers"
        for part in (layers, f"{layers}.1", f"{layers}.3.bias"):
            assert part + "." in "".join(f"{key}." for key in model.weights_)
            match = rf"lacks '{layers}"
            assert_refused_with(model, without(part), match, tmp_path)
    change = renamed("encoder.layers.0.", "encoder.layers.99.")
    assert_refused_with(model, change, r"lacks 'encoder\.layers\.0\.", tmp_path)


def test_networks_that_lack_a_layer_are_refused(tmp_path):
    model = fitted(RQVAETokenizer(2, **LAYERS, hidden_layer_sizes=(5, 5, 5)))
    for part in ("encoder", "encoder.2", "encoder.2.bias", "decoder.4", "scale"):
        assert_refused_with(model, without(part), f"lacks '{part}", tmp_path)


def spoilt(key, value):
    """A change of the last number of an array."""

    def change(document, tensors):
        array = tensors[key].copy()
        array.flat[-1] = value
        tensors[key] = array

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(value, tmp_path):
    model = fitted(skhyper.HyperVQTokenizer(1, **LAYERS))
    for key in (
        *("codebooks_.0", "offset_", "gains_.0", "weights_.shift", "weights_.scale"),
        *("weights_.encoder.0.weight", "weights_.decoder.2.bias"),
    ):
        where = rf"{key.split('.')[0]}.* NaN or infinity"
        assert_refused_with(model, spoilt(key, value), where, tmp_path)
    scale = put("state", "scale_", value={"float": repr(value)})
    assert_refused_with(model, scale, "scale_.* NaN or infinity", tmp_path)
    centers = spoilt("cluster_centers_", value)
    match = "cluster_centers_.* NaN or infinity"
    assert_refused_with(fitted(HyperbolicKMeans(3)), centers, match, tmp_path)
    model.weights_["encoder.0.bias"][0] = value
    with pytest.raises(ValueError, match=r"weights_\.encoder\.0\.bias has NaN"):
        io.save(model, tmp_path / "model")


class Masked(torch.nn.Linear):
    """A network of a user's own with infinity in a buffer."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.register_buffer("mask", torch.tensor(-np.inf))


def test_own_networks_may_hold_infinity(tmp_path):
    model = RQVAETokenizer(2, **LAYERS, encoder=Masked(6, 3), decoder=Masked(3, 6))
    model = fitted(model)
    io.save(model, tmp_path / "model")
    twin = io.load(tmp_path / "model", encoder=Masked(6, 3), decoder=Masked(3, 6))
    assert_array_equal(twin.transform(data()), model.transform(data()))


def test_centers_of_the_wrong_shape_are_refused(tmp_path):
    path = tmp_path / "model"
    io.save(fitted(HyperbolicKMeans(3)), path)
    for shape in ((3, 5), (3,), (0, 6)):
        forged = resealed(path.read_bytes(), tensor("cluster_centers_", np.ones(shape)))
        path_ = tmp_path / "forged"
        assert_refused(path_, forged, "cluster_centers_ has shape")


def test_a_parameter_that_the_file_does_not_name_has_its_default(path):
    path.write_bytes(resealed(path.read_bytes(), drop("params", "n_init")))
    assert io.load(path).n_init == ResidualQuantizer().n_init != small().n_init


# --- files ---------------------------------------------------------------------------


def test_kinds_of_paths(tmp_path, monkeypatch):
    model = small()
    monkeypatch.chdir(tmp_path)
    long = "x" * 255  # the longest name that file systems take
    for path in ("é.safetensors", pathlib.Path("a b"), str(tmp_path / "abs"), long):
        io.save(model, path)
        assert_identical(vars(io.load(path)), vars(model))
    assert len(os.listdir(tmp_path)) == 4


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        io.save(small(), tmp_path / "nowhere" / "model")
    with pytest.raises(IsADirectoryError):
        io.load(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        io.save(small(), tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_leaves_nothing_behind(call, error, exists, tmp_path, monkeypatch):
    path = tmp_path / "model"
    if exists:
        io.save(small(), path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    seen = []

    def fail(*args):
        seen.extend(os.listdir(tmp_path))
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        io.save(small().set_params(tol=0.5), path)
    assert len(seen) == 1 + exists  # the temporary file was in the same folder
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_interrupt_after_the_last_step_is_not_hidden(tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(*args):
        replace(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        io.save(small(), tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]
    assert_identical(vars(io.load(tmp_path / "model")), vars(small()))


def test_an_existing_file_is_replaced_and_not_written_into(tmp_path):
    path, link, other = (tmp_path / name for name in ("model", "link", "other"))
    io.save(small(), path)
    link.symlink_to(path)
    os.link(path, other)
    before = path.read_bytes()
    path.chmod(0o640)
    io.save(small().set_params(tol=0.5), link)
    assert link.is_symlink()
    assert io.load(path).tol == 0.5
    assert other.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o026)
    try:
        io.save(small(), tmp_path / "model")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o640


def test_loading_imports_neither_torch_nor_pickled_code(tmp_path):
    path = tmp_path / "model"
    model = fitted(HRQVAETokenizer(2, 4, latent_dim=3, max_iter=2))
    io.save(model, path)
    code = (
        "import pickle, sys\n"
        "def fail(*args, **kwargs): raise AssertionError('unpickled')\n"
        "from skhyper import io\n"
        "pickle.load = pickle.loads = pickle.Unpickler = fail\n"
        "model = io.load(sys.argv[1])\n"
        "io.save(model, sys.argv[1] + '2')\n"
        "assert 'torch' not in sys.modules\n"
        "from skhyper.datasets import make_tree\n"
        "X, _ = make_tree(150, 6, branching=4, depth=2, random_state=0)\n"
        "sys.stdout.write(model.transform(X).tobytes().hex())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], check=True, capture_output=True, text=True
    )
    assert (tmp_path / "model2").read_bytes() == path.read_bytes()
    assert bytes.fromhex(done.stdout) == model.transform(data()).tobytes()


class Own(torch.nn.Sequential):
    """A network that a user wrote."""

    def __init__(self, n_in, n_out, width=5):
        super().__init__(
            torch.nn.Linear(n_in, width),
            torch.nn.BatchNorm1d(width),
            torch.nn.Tanh(),
            torch.nn.Linear(width, n_out),
        )


@pytest.fixture
def with_own_networks():
    tokenizer = HRQVAETokenizer(
        2, 4, latent_dim=3, encoder=Own(6, 3), decoder=Own(3, 6), max_iter=3
    )
    return fitted(tokenizer)


def test_own_networks_are_given_again(with_own_networks, tmp_path):
    path, X = tmp_path / "model", data()
    io.save(with_own_networks, path)
    twin = io.load(path, encoder=Own(6, 3), decoder=Own(3, 6))
    assert_array_equal(twin.transform(X), with_own_networks.transform(X))
    codes = twin.transform(X)
    assert_array_equal(
        twin.inverse_transform(codes), with_own_networks.inverse_transform(codes)
    )
    io.save(twin, tmp_path / "twin")
    assert (tmp_path / "twin").read_bytes() == path.read_bytes()


def test_networks_that_are_missing_foreign_or_not_needed(with_own_networks, tmp_path):
    path = tmp_path / "model"
    io.save(with_own_networks, path)
    with pytest.raises(ValueError, match=r"load\(path, encoder=\.\.\.\)"):
        io.load(path)
    with pytest.raises(ValueError, match=r"load\(path, decoder=\.\.\.\)"):
        io.load(path, encoder=Own(6, 3))
    with pytest.raises(ValueError, match="not of the encoder and decoder given"):
        io.load(path, encoder=Own(6, 3, width=7), decoder=Own(3, 6))
    with pytest.raises(ValueError, match=r"torch\.nn\.Module"):
        io.load(path, encoder=print, decoder=Own(3, 6))
    io.save(fitted(RQVAETokenizer(2, 4, hidden_layer_sizes=4, max_iter=2)), path)
    with pytest.raises(ValueError, match="Leave encoder out"):
        io.load(path, encoder=Own(6, 3))


def test_callbacks_and_requests_are_not_part_of_a_file(tmp_path):
    plain = fitted(RQVAETokenizer(2, 4, hidden_layer_sizes=4, max_iter=2))
    io.save(plain, tmp_path / "plain")
    plain.set_callbacks(EpochLog(print))
    with config_context(enable_metadata_routing=True):
        plain.set_fit_request(X_val=True)
    io.save(plain, tmp_path / "dressed")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "dressed").read_bytes()


def test_a_loaded_estimator_goes_on_by_chunks_as_the_original(tmp_path):
    X = data()
    tokenizer = RQVAETokenizer(2, 4, hidden_layer_sizes=4, random_state=0)
    tokenizer.partial_fit(X[:80])
    io.save(tokenizer, tmp_path / "model")
    twin = io.load(tmp_path / "model").partial_fit(X[80:])
    tokenizer.partial_fit(X[80:])
    assert_identical(vars(twin), vars(tokenizer))
