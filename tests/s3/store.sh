#!/usr/bin/env bash
# A real S3 service on loopback, for the tests: versitygw over a plain folder.
#   store.sh build              build it once from its Go module (a minute; Go needed)
#   store.sh run DIR PORT       serve DIR on PORT, with one bucket named lake, until stdin ends
#   store.sh with COMMAND...    run COMMAND beside a store that ONRAMP_TEST_S3 names
set -euo pipefail
module=github.com/versity/versitygw/cmd/versitygw@v1.8.0
home=${ONRAMP_S3_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/onramp-s3}

build() {
  [ -x "$home/versitygw" ] && return
  mkdir -p "$home"
  GOBIN="$home" go install "$module" >&2
}

run() { # DIR PORT
  mkdir -p "$1/lake"
  ROOT_ACCESS_KEY=onramp ROOT_SECRET_KEY=onramp-secret \
    "$home/versitygw" --port "127.0.0.1:$2" --quiet posix "$1" </dev/null &
  served=$!
  cat >/dev/null
  kill -KILL "$served"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

with() { # COMMAND...
  if ! command -v go >/dev/null && [ ! -x "$home/versitygw" ]; then
    echo "left out: the lake's own tests on S3 need Go" >&2
    exec "$@"
  fi
  build
  local dir port
  dir=$(mktemp -d)
  # Expanded now: the folder's name is local to this function.
  # shellcheck disable=SC2064
  trap "rm -rf '$dir'" EXIT
  port=$((20000 + RANDOM % 10000))
  while listens "$port"; do port=$((port + 1)); done
  # The store holds the reading end, this shell the writing one: it ends with us, however we end.
  exec {life}> >(exec "$0" run "$dir" "$port" >/dev/null)
  for ((tries = 0; tries < 100; tries++)); do
    listens "$port" && break
    sleep 0.1
  done
  ONRAMP_TEST_S3="http://127.0.0.1:$port" "$@" {life}>&-
}

command=${1:-}
shift || true
case $command in
  build) build ;;
  run) build; run "$@" ;;
  with) with "$@" ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
