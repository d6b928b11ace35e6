#!/usr/bin/env bash
# Renew requirements.txt: install what pyproject.toml asks for into a fresh environment, and
# freeze it. Then run the notebooks again (make execute) and look at what changed.
set -euo pipefail
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check ".[book,chat,serve,test]"
{
  echo "# The one environment that the notebooks' stored outputs come from (Python 3.11, Linux)."
  echo "# A full freeze of what pyproject.toml and its extras ask for; \`make lock\` renews it."
  echo "# No hashes: they would refuse PyTorch's CPU build, which has this version and other files."
  echo "# The index never lets a version's files change, and the assets carry hashes of their own."
  # A local build's version ("2.13.0+cpu") is not on the index.
  "$folder/venv/bin/python" -m pip freeze --exclude plm-book-helpers | sed 's/+cpu$//'
} > requirements.txt
echo "requirements.txt holds $(grep -c == requirements.txt) packages."
