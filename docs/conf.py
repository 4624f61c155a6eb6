"""How the documentation is built: `make docs`. Nothing here, and nothing in the pages, asks the network for anything."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parents[1]

project = "transference"
author = "The transference developers"
release = version = version_of("transference")
html_title = f"transference {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
highlight_language = "none"  # of blocks that name none: commands, and what they print
html_theme = "furo"
html_copy_source = False
html_show_copyright = False  # the licence is in the repository
html_static_path = ["_static"]
html_css_files = ["wide.css"]
templates_path: list[str] = []

# Markdown. Pages are read on the web as they are, too: directives stay in pages that are only read here.
myst_enable_extensions = ["colon_fence", "html_image"]
myst_heading_anchors = 3

# Docstrings: Google's sections, and a single backtick is a name of ours.
default_role = "py:obj"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True

nitpicky = True
# Names of other libraries would need their inventories, which are on the network. Names with an underscore are no part of the interface,
# yet stand in a signature here and there.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|numpy|np|pandas|pd|matplotlib|pyarrow|pa|pathlib|collections|contextlib|typing|types)\..*"),
    ("py:.*", r"(Path|Tensor|NDArray|ArrayLike|Figure|Axes|RcKeyType|Client|nn\.Module)"),
    ("py:.*", r"(.*\.)?_\w+(\..*)?"),
    ("py:.*", r"transference\.episodes\.Inputs"),  # a type variable
]

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "meta_models/README.md": "learners.md",
}
"""Files of the repository that are pages of this site."""


def to_pages(text: str, folder: Path, shown: Path) -> str:
    """Return a text, written in ``folder`` and shown in ``shown``, whose links lead to pages of this site where there are."""

    def here(link: re.Match[str]) -> str:
        before, target, anchor, after = link.groups()
        if not target:
            return link[0]
        file = Path(os.path.normpath(folder / target))
        page = PAGES.get(file.relative_to(ROOT).as_posix())
        place = ROOT / "docs" / page if page else file
        return f"{before}{Path(os.path.relpath(place, shown)).as_posix()}{anchor or ''}{after}"

    return re.sub(r"(\]\(|src=\")(?!\w+:)([^)#\"\s]*)(#[^)\s]*)?(\)|\")", here, text)


def links_of_included_files(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    """Let the links of a file that a page includes, relative to ``docs/``, point to pages of this site."""
    content[0] = to_pages(content[0], Path(os.path.normpath(Path(app.srcdir) / path)).parent, ROOT / "docs")


def links_of_pages(app: Sphinx, docname: str, content: list[str]) -> None:
    """Let a page's links to files of the repository point to the pages that show them."""
    folder = (Path(app.srcdir) / docname).parent
    content[0] = to_pages(content[0], folder, folder)


def returns_are_told_not_typed(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Write a section ``Returns:`` as a field: napoleon would take what stands before its first colon for a type."""
    if "Returns:" not in lines:
        return
    start = lines.index("Returns:")
    end = next((k for k, line in enumerate(lines) if k > start and line and not line.startswith(" ")), len(lines))
    lines[start:end] = [f":returns: {lines[start + 1].strip()}", *lines[start + 2 : end]]


def constants_are_told_where_they_are_set(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Give a constant, which a package has from one of its files, the text below it there, instead of that of its type."""
    if what != "data":
        return
    package, _, constant = name.rpartition(".")
    files = [
        module
        for module in sys.modules.values()
        if module.__name__.startswith(f"{package}.") and vars(module).get(constant) is obj
    ]
    found = [ModuleAnalyzer.for_module(module.__name__).find_attr_docs().get(("", constant)) for module in files]
    lines[:] = next((text for text in found if text), [])


def protocols_have_no_constructor(
    app: Sphinx, what: str, name: str, obj: object, *rest: object
) -> tuple[str, None] | None:
    """Leave out ``(*args, **kwargs)`` after the name of a protocol."""
    return ("", None) if what == "class" and getattr(obj, "_is_protocol", False) else None


def names_of_other_rooms(app: Sphinx, env: BuildEnvironment, node: Element, shown: TextElement) -> Element | None:
    """Find what a docstring names without its module, or a signature in the private file where it is written, if one public name fits."""
    if node.get("refdomain") != "py":
        return None
    domain, last = env.domains.python_domain, node["reftarget"].rpartition(".")[2]
    found = [name for name in domain.objects if name.rpartition(".")[2] == last and "._" not in name]
    if len(found) != 1:
        return None
    entry = domain.objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, shown, found[0])


def setup(app: Sphinx) -> None:
    """Connect the above."""
    app.connect("include-read", links_of_included_files)
    app.connect("source-read", links_of_pages)
    app.connect("autodoc-process-docstring", returns_are_told_not_typed, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", constants_are_told_where_they_are_set, priority=300)
    app.connect("autodoc-process-signature", protocols_have_no_constructor)
    app.connect("missing-reference", names_of_other_rooms)
