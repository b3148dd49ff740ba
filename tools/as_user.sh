#!/usr/bin/env bash
# Runs part of the suite as the user `nobody`, whose HOME does not exist, in a path with a space and with misleading
# environment variables: shows what fails only for users other than root. Must be run as root.
set -euo pipefail
cd "$(dirname "$0")/.."

# Python may be in root's home: if the container allows it, `nobody` may read everything, but still writes nothing.
user=(--reuid=nobody --regid="$(id -g nobody)" --clear-groups)
# shellcheck disable=SC2054  # commas are part of setpriv's values
reads=(--inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search)
setpriv "${user[@]}" "${reads[@]}" true 2>/dev/null || reads=()

# Not in the temporary folder of `make test`, which is root's.
unset TMPDIR SUITE_SHARED
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
mkdir "$clone/a clone"
git ls-files -z | grep -zvxF -e .venv -e node_modules | tar --create --null --files-from=- | tar --extract --directory "$clone/a clone"
ln -s "$(realpath .venv)" "$(realpath node_modules)" "$clone/a clone"
chmod 755 "$clone"
chown -R nobody "$clone/a clone"
cd "$clone/a clone"

as_nobody() {
  env HOME=/nonexistent AWS_PROFILE=nobody AWS_ENDPOINT_URL=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 \
    http_proxy=http://127.0.0.1:9 PGHOST=127.0.0.1 REDIS_URL=redis://127.0.0.1:9 \
    setpriv "${user[@]}" ${reads[@]+"${reads[@]}"} bash -c 'umask 077; exec "$@"' as_nobody "$@"
}
as_nobody .venv/bin/python -m pytest -p no:cacheprovider tests/simulators/test_ports.py \
  tests/rehearsal/test_clean_environment.py tests/simulators/test_supervisor.py tests/rehearsal/test_nonroot.py tests/simulators/aws/test_tasks.py
