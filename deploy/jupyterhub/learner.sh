#!/bin/sh
# Copy the course to the learner's home, or update the copy, then run the command there: the learner's server.
set -eu
kit=$(cd "$(dirname "$0")/../.." && pwd)
course=$HOME/workshop
export PATH="$kit/.venv/bin:$PATH" FCLOCAL_STATE="${FCLOCAL_STATE:-$course/.fclocal}"
workshop copy "$course"
cd "$course"
exec "$@"
