"""How Sphinx makes the site of these pages; `make docs` builds it, and any warning is an error.

The pages are plain Markdown, which a code host shows as well. So that they stay so, what only the site needs is added
here while it is built: the tables of contents (a new page is found by its place), links to files outside this folder,
the reference of the public names, and the notebooks.
"""

import fnmatch
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

DOCS: Final = Path(__file__).parent
ROOT: Final = DOCS.parent
sys.path.insert(0, str(ROOT / "src"))

import obliviate  # noqa: E402  # of this checkout, which need not be installed

# ------------------------------------------------------------------------------------------- Sphinx

project = "obliviate"
author = "the obliviate developers"
project_copyright = "the obliviate developers; Apache-2.0"
version = release = obliviate.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "results.schema.json"]
nitpicky = False  # types of numpy and torch are named in signatures, and have no page here
default_role = "code"  # docstrings are plain: what stands in single backquotes is code

myst_heading_anchors = 4  # as code hosts make them
myst_enable_extensions = ["deflist", "attrs_inline"]

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"obliviate {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "source_repository": "https://github.com/obliviate/obliviate/",
    "source_branch": "main",
    "source_directory": "docs/",
    "light_css_variables": {"color-brand-primary": "#1c5d99", "color-brand-content": "#1c5d99"},
    "dark_css_variables": {"color-brand-primary": "#7fb8ec", "color-brand-content": "#7fb8ec"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# ------------------------------------------------------------------------------------------- tables of contents

SECTIONS: Final = {
    "Start": ["first-result", "tutorials/your-own-model", "notebooks/*", "demo"],
    "Concepts": ["concepts/shown", "concepts/*", "evaluation", "metrics", "reliability"],
    "How to": [
        *("howto/serve-a-request", "howto/*", "tutorials/*", "forget", "sequences", "references", "data", "pandas"),
        *("models", "huggingface", "tasks", "notebooks", "plans", "ledger", "service", "certificate"),
    ],
    "Methods": ["methods/README", "methods/*", "comparison", "leaderboard", "oracles", "peers"],
    "Evidence": ["evidence/README", "evidence/*"],
    "Attacks": ["attacks", "attacks/*"],
    "Reference": ["cli", "api", "results-schema", "*"],
    "Project": ["architecture", "releasing", "deprecation", "lab-notes", "decisions/*"],
}
"""The parts of the site in their order. A page belongs to the first part that has a pattern like its name; those of a
folder come in the order of their names."""

LATE: Final = {"Reference"}
"""Parts that take what no other part asks for."""


def contents() -> dict[str, list[str]]:
    """The pages of each part; every page but the first is in exactly one."""
    pages = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
    rest = [page for page in pages if page != "index" and not page.startswith(("_", "api/"))]
    chosen: dict[str, list[str]] = {part: [] for part in SECTIONS}
    for part in sorted(SECTIONS, key=lambda part: part in LATE):
        for pattern in SECTIONS[part]:
            taken = [page for page in rest if fnmatch.fnmatch(page, pattern)]
            chosen[part] += taken
            rest = [page for page in rest if page not in taken]
    if rest:
        raise ExtensionError(f"expected a part of the site for every page, got none for {rest}; name it in SECTIONS")
    return chosen


def toctree(pages: list[str], *, caption: str = "") -> str:
    lines = ["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages, "```"]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------- pages as they are read

OUTSIDE: Final = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]+)(#[^)\s]*)?(?=\))")
FENCE: Final = re.compile(r"(^ *```.*?^ *```$)", re.M | re.S)


def outside(page: Path, text: str) -> str:
    """Let links to files outside this folder lead to the code host; a file that is not there is an error."""

    def link(match: re.Match[str]) -> str:
        target = (page.parent / match[1]).resolve()
        if target.is_relative_to(DOCS):
            return match[0]
        if not target.exists():
            raise ExtensionError(f"expected a file, got {match[1]} in {page.relative_to(ROOT)}; mend the link")
        kind = "tree" if target.is_dir() else "blob"
        base = f"{html_theme_options['source_repository']}{kind}/{html_theme_options['source_branch']}"
        return f"{base}/{target.relative_to(ROOT).as_posix()}{match[2] or ''}"

    parts = FENCE.split(text)
    return "".join(part if part.lstrip().startswith("```") else OUTSIDE.sub(link, part) for part in parts)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Add to a page what the site needs."""
    text = outside(Path(app.env.doc2path(page)), source[0])
    if page == "index":
        text += "\n" + "\n".join(toctree(pages, caption=part) for part, pages in contents().items())
    if page == "api":
        text += "\n" + toctree([f"api/{path.stem}" for path in sorted((DOCS / "api").glob("*.md"))])
    source[0] = text


# ------------------------------------------------------------------------------------------- pages that are made


def make_reference(_: Sphinx) -> None:
    """A page for each part of the public names, from their docstrings, beside the list that `docs/api.md` is."""
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "scripts" / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    folder = DOCS / "api"
    folder.mkdir(exist_ok=True)
    pages: dict[str, list[str]] = {}
    for name in obliviate.__all__:
        value = getattr(obliviate, name)
        part = make_api.ROOMS[value.__module__.split(".")[1]]
        kind = "autoclass" if isinstance(value, type) else "autofunction"
        members = [":members:", ":exclude-members: name, needs, exact, source"] if isinstance(value, type) else []
        lines = ["```{eval-rst}", f".. {kind}:: obliviate.{name}", *(f"   {member}" for member in members), "```"]
        pages.setdefault(part, []).append("\n".join([f"## {name}", "", *lines, ""]))
    wanted = {f"{part.lower().replace(' ', '-')}.md": "\n".join([f"# {part}\n", *rows]) for part, rows in pages.items()}
    write(folder, wanted)


def make_notebooks(_: Sphinx) -> None:
    """The notebooks as pages: what they say, and their code without outputs, as they are stored."""
    wanted: dict[str, str] = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells]
        parts = [
            text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
            for cell, text in zip(cells, texts, strict=True)
        ]
        link = f"[Open it as a notebook](../../notebooks/{path.name})."
        wanted[f"{path.stem}.md"] = "\n\n".join([parts[0], link, *parts[1:]]) + "\n"
    write(DOCS / "notebooks", wanted)


def write(folder: Path, pages: dict[str, str]) -> None:
    """Write pages that have changed, so that the others are not built again, and remove those of before."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def plain(_: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with code in backquotes: what reStructuredText would make more of is kept as it is."""
    for place, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`[^`]+`)", line)
            lines[place] = "".join(
                f"`{part}`" if part.startswith("`") else re.sub(r"([*|]|_(?=\W|$))", r"\\\1", part) for part in parts
            )


def short(_: Sphinx, kind: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None) -> Any:
    """Types of settings without the marks of what may be relative: `Annotated[int, 'length']` is `int`."""
    marked = re.compile(r"Annotated\[([^,\[\]]+), '\w+'\]")
    return tuple(text and marked.sub(r"\1", text) for text in (signature, returns))


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", make_reference)
    app.connect("builder-inited", make_notebooks)
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", plain)
    app.connect("autodoc-process-signature", short)
