#!/bin/sh
# Install the kit in its own folder, with what a class server needs. Dockerfile, Codespaces and Binder run this script.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v npm >/dev/null; then
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends nodejs npm
fi
python3 start.py install deploy/jupyterhub
# Learners cannot write here, so their Python could never store compiled files.
.venv/bin/python -m compileall -q src
