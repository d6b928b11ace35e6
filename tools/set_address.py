"""Set the project's public address everywhere: `make address URL=https://github.com/owner/repo`.

The address stands in `_config.yml`, with that of the site that GitHub Pages makes of it. The
README, the citation, the package's metadata, the set-up page and the notebooks' first cell repeat
it, because each is read without the others.
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
FILES = ("_config.yml", "pyproject.toml", "CITATION.cff", "*.md", "book/*.md", "notebooks/*.ipynb")
HOST = "https://github.com/"


def configured_url(root: Path = ROOT) -> str:
    """Return the address in `_config.yml`, from which all others derive."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return config["repository"]["url"]


def set_address(url: str, root: Path = ROOT) -> None:
    """Put the address in the place of the present one, in every file that holds it.

    Raises:
        ValueError: the address isn't of the form https://github.com/owner/repo.
    """
    # A GitHub user name has letters, digits and single hyphens.
    if not re.fullmatch(rf"{HOST}[A-Za-z0-9]+(-[A-Za-z0-9]+)*/[\w.-]+", url, re.ASCII):
        raise ValueError(
            f"{url!r} is not the page of a repository. Expected its address as in "
            "make address URL=https://github.com/ada/pretrained-language-models"
        )
    old, new = configured_url(root), url
    for path in (path for pattern in FILES for path in root.glob(pattern)):
        content = path.read_bytes()  # so that line ends stay as they are
        # The repository's page, then its site; a site's links may begin at the host's root.
        for part in (lambda address: address.removeprefix(HOST), site, _site_path):
            mark = rb"(?![\w-])"
            content = re.sub(re.escape(part(old).encode()) + mark, part(new).encode(), content)
        path.write_bytes(content)


def site(url: str) -> str:
    """Where GitHub Pages shows a repository's book: "ada.github.io/book" for ".../Ada/book"."""
    owner, name = url.removeprefix(HOST).split("/")
    return f"{owner.lower()}.github.io/{name}"


def _site_path(url: str) -> str:
    return f"notfound_urls_prefix: /{url.rsplit('/', 1)[1]}"


if __name__ == "__main__":
    try:
        set_address("".join(sys.argv[1:]).removesuffix("/").removesuffix(".git"))
    except ValueError as error:
        sys.exit(f"{error}")
