"""Public names are documented in numpydoc's form, and fitted attributes all named."""

import importlib
import inspect
import pkgutil

import pandas as pd
import pytest
from contract import INSTANCES, data, fitted, name
from numpydoc.docscrape import ClassDoc
from numpydoc.validate import validate

import skhyper
from skhyper.manifolds import Euclidean, PoincareBall

# Rules of form that scikit-learn does not follow either.
FORM = {
    "GL01",  # summary on the line after the opening quotes
    "RT02",  # no names for single return values
    "ES01",  # an extended summary
    "SA01",  # See Also
    "EX01",  # examples of every single method
}
ALLOWED = {
    # the first word of the summary, "Moebius", is taken for a verb
    "skhyper.manifolds.PoincareBall.add": {"SS05"},
}


def public_modules():
    """Every package of skhyper without an underscore."""
    walked = pkgutil.walk_packages(skhyper.__path__, "skhyper.")
    return [importlib.import_module(m.name) for m in walked if "._" not in m.name]


def own_methods(cls):
    """Names of public methods written in skhyper, inherited ones included."""
    return [
        method
        for method, value in inspect.getmembers(cls, inspect.isroutine)
        if not method.startswith("_") and value.__module__.startswith("skhyper")
    ]


def public_names():
    """Dotted names of public classes and functions, and of the methods they define."""
    for module in public_modules():
        for public in getattr(module, "__all__", ()):
            member = getattr(module, public)
            if callable(member):
                yield f"{module.__name__}.{public}"
            if inspect.isclass(member) and member is not Euclidean:
                for method in own_methods(member):
                    yield f"{module.__name__}.{public}.{method}"


NAMES = sorted(set(public_names()))


def test_there_are_names_to_check():
    assert "skhyper.quantizers.HyperbolicKMeans.fit" in NAMES
    assert "skhyper.quantizers.ResidualQuantizer.inverse_transform" in NAMES


@pytest.mark.parametrize("dotted", NAMES)
def test_numpydoc_is_satisfied(dotted):
    errors = validate(dotted)["errors"]
    assert not [e for e in errors if e[0] not in FORM | ALLOWED.get(dotted, set())]


@pytest.mark.parametrize("method", own_methods(Euclidean))
def test_flat_space_has_the_interface_documented_for_the_ball(method):
    flat, ball = (getattr(space, method) for space in (Euclidean, PoincareBall))
    assert flat.__doc__
    assert list(inspect.signature(flat).parameters) == list(
        inspect.signature(ball).parameters
    )


@pytest.mark.parametrize("estimator", INSTANCES, ids=name)
def test_fitted_attributes_are_those_documented(estimator):
    model = fitted(estimator, pd.DataFrame(data()).add_prefix("x"))
    attributes = {a for a in vars(model) if a.endswith("_") and not a.startswith("_")}
    documented = {entry.name for entry in ClassDoc(type(estimator))["Attributes"]}
    assert attributes == documented
