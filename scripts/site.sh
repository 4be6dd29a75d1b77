#!/usr/bin/env bash
# The documentation as a folder that opens without a server: build/site/index.html. Fails for a page that no menu has and
# for a link or an anchor that leads nowhere. PYTHON has the package whose docstrings are shown and gets what builds the
# site: build/python, which scripts/test.sh makes, unless set.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/quietly.sh

python=${PYTHON:-build/python/bin/python}
if ! "$python" -c "import voxshift._voxshift"; then
  echo "site.sh: $python has no voxshift; run scripts/test.sh first" >&2
  exit 1
fi
scripts/packages.sh site
quietly site_requirements "$python" -m pip install -r docs/site/requirements.txt

echo "Building the site in build/site"
rm -rf build/doxygen build/site
mkdir -p build/doxygen
{
  cat docs/site/Doxyfile
  echo "INPUT = docs/site/mainpage.dox c_api/c_api.h $(tr '\n' ' ' <cmake/public_headers.txt)"
} >build/doxygen/Doxyfile
quietly site_doxygen doxygen build/doxygen/Doxyfile
NO_MKDOCS_2_WARNING=1 PYTHONPATH="docs/site${PYTHONPATH:+:$PYTHONPATH}" quietly site_mkdocs "$python" -m mkdocs build
"$python" docs/site/check_links.py build/site
