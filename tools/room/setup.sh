#!/bin/sh
# Linux and macOS: find a Python that the wheels are for; start.py does the rest.
cd "$(dirname "$0")" || exit 1
for version in @PYTHONS@; do
  for python in "python$version" python3 python; do
    if "$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
      exec "$python" start.py "$@"
    fi
  done
done
echo "This folder needs Python @PYTHONS_OR@, and this machine has none. Install it (python.org, or" >&2
echo "your teacher's stick), then start setup.sh again. Another version of Python doesn't fit." >&2
exit 1
