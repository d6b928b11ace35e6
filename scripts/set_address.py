"""Set the project's public address everywhere: `make address URL=https://github.com/owner/repo`.

The address stands in `_config.yml`. The README, the citation, the package's metadata, the
set-up page and the notebooks' first cell repeat it, because each is read without the others.
"""

import argparse
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent

# A GitHub user name has letters, digits and single hyphens.
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*/[A-Za-z0-9_.-]+)")

# What stands before the book's own `owner/repo`. Links to other projects have none of these.
BEFORE = r"""
    git\ clone\ -q\ --depth\ 1\ https://github\.com/  # the notebooks' set-up cell
  | git\ clone\ https://github\.com/            # README, set-up page
  | colab\.research\.google\.com/github/        # README
  | repository-code:\ "https://github\.com/     # CITATION.cff
  | Source\ =\ "https://github\.com/            # pyproject.toml
  | ^\ \ url:\ https://github\.com/             # _config.yml
"""
PLACE = re.compile(rf"(?P<before>{BEFORE})(?P<slug>[\w.-]+/[\w.-]+)", re.VERBOSE | re.MULTILINE)


def slug_of(url: str) -> str:
    """Return `owner/repo` of a GitHub address.

    Raises:
        ValueError: the address isn't of the form https://github.com/owner/repo.
    """
    trimmed = url.strip().removesuffix("/").removesuffix(".git")
    match = ADDRESS.fullmatch(trimmed)
    if not match:
        raise ValueError(
            f"{url!r} is not an address of the form https://github.com/owner/repo. "
            "Give the repository's page, for example: "
            "make address URL=https://github.com/ada/pretrained-language-models"
        )
    return match[1]


def configured_url(root: Path = ROOT) -> str:
    """Return the address in `_config.yml`, from which all others derive."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return config["repository"]["url"]


def files_with_address(root: Path = ROOT) -> list[Path]:
    """Return the project's files that may hold the address."""
    patterns = ("_config.yml", "pyproject.toml", "CITATION.cff", "*.md", "book/*.md")
    return [p for pattern in (*patterns, "notebooks/*.ipynb") for p in sorted(root.glob(pattern))]


def slugs_in(text: str) -> list[str]:
    """Return each `owner/repo` at a place where the book's own address belongs."""
    return [match["slug"] for match in PLACE.finditer(text)]


def replace(text: str, slug: str) -> str:
    """Return the text with the book's own address set to `slug`, all else as it was."""
    return PLACE.sub(lambda match: match["before"] + slug, text)


def set_address(url: str, root: Path = ROOT) -> list[Path]:
    """Write the address into every file that holds it; return the files that changed.

    Raises:
        ValueError: the address isn't of the form https://github.com/owner/repo.
    """
    slug = slug_of(url)
    changed = []
    for path in files_with_address(root):
        # Bytes, so that line ends stay as they are.
        old = path.read_bytes().decode("utf-8")
        new = replace(old, slug)
        if new != old:
            path.write_bytes(new.encode("utf-8"))
            changed.append(path)
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description="Set the project's public address everywhere.")
    parser.add_argument("url", help="https://github.com/owner/repo")
    url = parser.parse_args().url
    try:
        changed = set_address(url)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path in changed:
        print(f"set in {path.relative_to(ROOT)}")
    if not changed:
        print("Every place has this address already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
