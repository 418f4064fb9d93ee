"""Sphinx settings of the skhyper documentation."""

import os

import matplotlib
from docutils import nodes

import skhyper

# figures are drawn to files, and runs are the same on every machine
matplotlib.use("Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "skhyper"
copyright = "the skhyper developers, BSD-3-Clause"
version = release = skhyper.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "py:obj"
root_doc = "index"

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings tell types in words
numpydoc_show_class_members = False  # the templates list them
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": r"^(?!plot_)",  # of file names
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skhyper",),
    "reference_url": {"skhyper": None},
    "image_scrapers": ("matplotlib",),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # they differ from machine to machine
    "min_reported_time": 1e9,
    "capture_repr": (),
    "remove_config_comments": True,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "skhyper"
html_static_path = ["_static"]
html_css_files = ["skhyper.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skhyper"},
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "pygments_light_style": "tango",
}
# pages without a section below them need no column for it
html_sidebars = {
    name: []
    for name in [
        "index",
        "install",
        "user_guide",
        "family",
        "generative",
        "geometry",
        "decisions",
        "datasets",
        "glossary",
        "auto_examples/*",
    ]
}


def name_the_accuracy(app, what, name, obj, options, lines):
    """Take a link to scikit-learn's pages out of a docstring that is inherited."""
    link = ":ref:`accuracy <accuracy_score>`"
    lines[:] = [line.replace(link, "accuracy") for line in lines]


def unlink_measures(app, doctree):
    """Keep docutils from taking Recall@10 for somebody's address."""
    for node in list(doctree.findall(nodes.reference)):
        if node.get("refuri", "").startswith("mailto:"):
            node.replace_self(nodes.Text(node.astext()))


def setup(app):
    """Register what Sphinx is to call."""
    app.connect("autodoc-process-docstring", name_the_accuracy)
    app.connect("doctree-read", unlink_measures)
