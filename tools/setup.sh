#!/usr/bin/env bash
# Installs what the project needs: .venv from requirements-dev.txt, node_modules from package-lock.json, and servers
# from Debian. `tools/setup.sh deploy` installs only what a deployment and ./infra need: .venv from requirements.txt and
# the CDK CLI. Does nothing if both match the lock files. If it cannot install something, it says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
only=${1:-}
[ -z "$only" ] || [ "$only" = deploy ] || { echo "setup: $only: expected nothing, or deploy" >&2; exit 2; }

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# Installs Debian packages as root, or with sudo on CI machines. On a person's own machine it only says what is missing.
can_install() { [ "$(id -u)" = 0 ] || { [ -n "${CI:-}" ] && sudo -n true 2>/dev/null; }; }
install() {
  local root=()
  [ "$(id -u)" = 0 ] || root=(sudo -n)
  say "installing from Debian: $*"
  "${root[@]}" apt-get update -qq
  # RUNLEVEL=1: Debian would start the servers; tests and rehearsals start their own.
  "${root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python=$(command -v python3.11 || command -v python3 || true)
[ -n "$python" ] || die "no python3 found; Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "$python is $("$python" --version 2>&1); Python 3.11 or newer is needed"
command -v node >/dev/null || die "no node found; Node 20 or newer is needed (24 recommended, see .node-version)"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] ||
  die "node is $(node --version); Node 20 or newer is needed (24 recommended, see .node-version)"
command -v npm >/dev/null || die "no npm found; it comes with Node"

# The rehearsal's servers are real ones.
missing=()
servers() {
  command -v redis-server >/dev/null || missing+=(redis-server)
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
  command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  # A browser for tests/rehearsal/test_browser.py.
  { command -v chromium || command -v chromium-headless-shell || command -v google-chrome; } >/dev/null ||
    missing+=(chromium-headless-shell)
}
[ "$only" = deploy ] || servers
if [ ${#missing[@]} -gt 0 ]; then
  can_install || die "missing: ${missing[*]} (Debian: apt-get install ${missing[*]})"
  install "${missing[@]}"
fi

# npm, uv and jsii keep caches in HOME, and fail when they cannot write there.
if [ ! -w "${HOME:-/nonexistent}" ]; then
  home=$(mktemp -d)
  export HOME=$home
fi

# A stamp holds the lock files' checksums once everything in them is installed, so a second run costs milliseconds.
# The stamp of a full installation begins with that of a deployment's, as it contains that.
is_current() {
  [ -f "$1" ] || return 1
  if [ "$only" = deploy ]; then head -n 2 "$1" | cmp -s - <(printf '%s\n' "$2"); else cmp -s "$1" <(printf '%s\n' "$2"); fi
}
checksum() { cat "$@" | sha256sum | cut -d' ' -f1; }

# Both at once: one waits for the network while the other computes.
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf ${home:+"$home"}' EXIT
wanted=$(node --version; checksum package-lock.json)
lock=requirements.txt omit=(--omit=dev)
[ "$only" = deploy ] || { wanted+=$'\neverything' lock=requirements-dev.txt omit=(); }
if ! is_current node_modules/.installed "$wanted"; then
  say "the CDK CLI into node_modules"
  { npm ci ${omit[@]+"${omit[@]}"} --loglevel=error --no-audit --no-fund && printf '%s\n' "$wanted" >node_modules/.installed; } &
  npm=$!
fi

wanted=$("$python" --version; checksum requirements.txt runtime/requirements.txt)
[ "$only" = deploy ] || wanted+=$'\n'$(checksum "$lock")
if ! is_current .venv/.installed "$wanted"; then
  say "Python packages into .venv"
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    can_install || die "Python's venv module is missing (Debian: apt-get install python3-venv)"
    install python3-venv
  fi
  rm -rf .venv
  "$python" -m venv .venv
  # uv comes first, by its own locked hashes; it then installs the rest in parallel.
  sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ *--hash/p}' "$lock" >.venv/uv.txt
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
  .venv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python "$lock"
  # The libraries of Lambda functions: for ARM, on any machine.
  .venv/bin/uv pip install --quiet --target .venv/lambda/python --python-platform aarch64-manylinux_2_28 \
    --python-version 3.14 --no-build --no-deps --require-hashes -r runtime/requirements.txt
  # One file, as every synthesis copies it.
  .venv/bin/python -m zipfile -c .venv/lambda.zip .venv/lambda/python
  # Compiles the modules that are imported, a tenth of what is installed: one synthesis does it for `python -O` and fills
  # jsii's cache, and collecting the tests does it for the rest. PYTHONDONTWRITEBYTECODE would prevent that.
  unset PYTHONDONTWRITEBYTECODE
  # With the tests' environments, so that an error in environments/ does not break the set-up.
  context=$(.venv/bin/python -c 'import json; print(json.dumps(json.load(open("cdk.json"))["context"]))')
  INFRA_ENVIRONMENTS=tests/environments CDK_VALIDATION=false CDK_CONTEXT_JSON=$context CDK_OUTDIR=.venv/warm \
    .venv/bin/python -O app.py &
  synthesis=$!
  if [ "$only" != deploy ]; then
    .venv/bin/python -m pytest --collect-only -q -p no:cacheprovider >/dev/null || true # A broken test says so itself.
    .venv/bin/cfn-lint --list-rules >/dev/null
    .venv/bin/python -m compileall -q .venv/lib/python3*/site-packages/{ministack,hypercorn} # A process of its own.
  fi
  wait "$synthesis"
  rm -rf .venv/warm
  printf '%s\n' "$wanted" >.venv/.installed
fi

[ -z "${npm:-}" ] || wait "$npm" || die "npm ci failed"
