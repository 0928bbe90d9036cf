# shellcheck shell=bash
# moto, Amazon's services in one Python process: what `moto` and `moto-iam` have in common.

# shellcheck source=../../ci/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../ci/common.sh"

readonly version=5.2.5
readonly home="$servers/moto-$version"

install() {
  venv "$home" "moto[server]==$version"
}

installed() {
  [[ -d "$home" ]]
}

# start_moto VARIABLE=VALUE…: starts it with these settings, and sets `endpoint`.
start_moto() {
  local port
  port="$(ports 1)"
  endpoint="http://127.0.0.1:$port"
  server moto env "$@" "$home/bin/moto_server" -H 127.0.0.1 -p "$port"
  await moto 60 http "$endpoint/moto-api/"
}
