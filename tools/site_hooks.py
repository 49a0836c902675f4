"""Hooks of MkDocs: files beside docs/ become part of the site, and links to them lead there.

A page links to such a file as it lies in the repository, so that the link also works where the
repository is read: `../../examples/slurm.sh` in docs/running/clusters.md, `docs/tutorial.md` in
README.md.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
BESIDE = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "CITATION.cff",
    "benchmarks/RESULTS.md",
    "results/*.csv",
    "results/README.md",
    "benchmarks/*.py",
    "examples/*",
    "reports/example/**/*",
)
LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")


def site_path(path: str) -> str:
    """Where a file of the repository lies within the site: docs/ is its top, README.md the first page."""
    return {"README.md": "index.md"}.get(path, path.removeprefix("docs/"))


def on_files(files: Any, config: Any) -> Any:
    for pattern in BESIDE:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                name = site_path(path.relative_to(ROOT).as_posix())
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    source = Path(page.file.abs_src_path).relative_to(ROOT)
    if source.parts[0] in ("benchmarks", "reports"):  # long tables hide the manual in searches
        page.meta["search"] = {"exclude": True}

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(source.parent.as_posix(), match[2]))
        link = posixpath.relpath(site_path(target), posixpath.dirname(page.file.src_uri) or ".")
        return f"{match[1]}{link}{match[3] or ''}{match[4]}"

    return LINK.sub(moved, markdown)
