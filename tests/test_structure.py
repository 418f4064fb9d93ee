"""How the package hangs together: imports, laziness, and what ships."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import skhyper

ROOT = Path(skhyper.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# what each part of the package may import of the others
ALLOWED = {
    "_utils": {"_utils"},
    "manifolds": {"manifolds"},
    "metrics": {"metrics", "manifolds", "plotting", "_utils"},
    "datasets": {"datasets", "manifolds", "_utils"},
    "_nn": {"_nn", "manifolds", "_utils"},
    "base": {"_utils", "manifolds"},
    "quantizers": {"quantizers", "base", "manifolds", "_utils"},
    "tokenizers": {"tokenizers", "quantizers", "base", "manifolds", "_nn", "_utils"},
    "classification": {
        *("classification", "tokenizers", "quantizers", "base", "manifolds", "_nn"),
        "_utils",
    },
    "generative": {"generative", "metrics", "_nn", "_utils"},
    "hierarchy": {"hierarchy", "quantizers", "metrics", "manifolds", "_nn", "_utils"},
    "callbacks": {"metrics"},
    "presets": set(),
    "io": {"_consistency"},
    "_consistency": {"base", "generative", "hierarchy", "_utils"},
}


def part_of(path):
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports(path):
    """Yield (module, whether at the top level) for every import of a file."""
    tree = ast.parse(path.read_text())
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for module in names:
            yield module, node in top


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_keep_their_direction(path):
    part = part_of(path)
    for module, top in imports(path):
        library, _, rest = module.partition(".")
        if library in {"torch", "geoopt"}:
            assert part == "_nn", f"{path} imports {module}"
        if library == "sklearn":
            assert part not in {"_nn", "manifolds"}, f"{path} imports {module}"
        if module.startswith("sklearn.callback"):
            assert path.stem in {"_callbacks", "callbacks"}, f"{path} imports {module}"
        if library == "skhyper" and part in ALLOWED and rest:
            target = rest.split(".")[0]
            assert target in ALLOWED[part], f"{path} imports {module}"
            if target == "_nn" and part != "_nn":
                assert not top, f"{path} imports torch's folder at import time"
            if target == "plotting" and part != "plotting":
                assert not top, f"{path} imports plotting at import time"


def test_importing_everything_is_quiet_and_leaves_torch_alone():
    code = (
        "import sys, skhyper\n"
        "for name in skhyper.__all__: getattr(skhyper, name)\n"
        "loaded = {'torch', 'geoopt', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = skhyper.nonsense
    assert "HRQVAETokenizer" in dir(skhyper)


def test_the_wheel_holds_every_package_and_the_data(tmp_path):
    project = ROOT.parent
    if not (project / "pyproject.toml").exists():
        pytest.skip("not a source checkout")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in ROOT.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(project).as_posix() in names
    assert "skhyper/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
