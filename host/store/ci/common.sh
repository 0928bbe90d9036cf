# shellcheck shell=bash
# What the scripts that install and run a server for the stores' tests have in common; README.md
# has the verbs. A script sets `name`, defines `install`, `installed` and `start`, and ends with
# `main "$@"`. `start` starts servers with `server`, and says with `say` how to reach them.

# Programs of PyPI and npm, each in a folder of its own that is there whole or not at all.
readonly servers="${XDG_CACHE_HOME:-$HOME/.cache}/samara-ci/servers"
readonly script="$0"
# Where Debian has its servers, and not everybody looks.
PATH="$PATH:/usr/sbin:/sbin"
# Asked by Debian's packages whether they may start their services.
readonly service_policy=/usr/sbin/policy-rc.d

# How servers are asked to stop. A server that has nothing to put in order is killed at once.
stop_signal=TERM
# Seconds from being asked to stop to being killed.
readonly stop_seconds=5
# Lines of a log that an error shows.
readonly log_lines=20

# What `run` is told beside the folder.
arguments=""
required=0
optional=0

name="${script##*/}"
dir=""
names=()
pids=()
said=()
given=()
is_ready=false
is_asked_to_end=false

main() {
  case "${1:-} $#" in
    "install 1")
      need curl curl
      need python3 python3
      install
      ;;
    "installed 1") if has curl python3 && installed; then exit 0; else exit 1; fi ;;
    "run "*)
      (($# >= 2 + required && $# <= 2 + required + optional)) || usage
      run "${@:2}"
      ;;
    *) usage ;;
  esac
}

usage() {
  echo "usage: $script install | installed | run DIR${arguments:+ $arguments}" >&2
  exit 64
}

# fail MESSAGE [LOG]: the end of the script.
fail() {
  echo "$name: $1" >&2
  if [[ -s "${2:-}" ]]; then
    echo "$name: the last lines of $2:" >&2
    tail -n "$log_lines" "$2" >&2
  fi
  exit 1
}

# === Installing ===

# debian PACKAGE…: installs those that are missing.
debian() {
  local package missing=()
  for package; do
    is_package "$package" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  mkdir -p "$servers"
  (
    flock 9
    keep_services_down
    apt "${missing[@]}" || {
      as_root apt-get -qq update
      apt "${missing[@]}"
    }
  ) 9>"$servers/apt.lock"
}

is_package() {
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

as_root() {
  if ((EUID != 0)) && has sudo; then
    sudo "$@"
  else
    "$@"
  fi
}

# Some packages bring a service, which would listen to everyone from now on: it is not started. To
# be called in a subshell, which takes the ban away again.
keep_services_down() {
  [[ ! -e "$service_policy" ]] || return 0
  trap 'as_root rm -f "$service_policy"' EXIT
  trap 'exit 1' TERM INT HUP
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$service_policy" >/dev/null
  as_root chmod 755 "$service_policy"
}

# has COMMAND…: whether all are there.
has() {
  local command
  for command; do
    command -v "$command" >/dev/null || return 1
  done
}

# need COMMAND PACKAGE: installs the package where there is no such command.
need() {
  has "$1" || debian "$2"
}

# whole FOLDER FUNCTION ARGUMENT…: has the function fill a folder under another name, so that one
# that was interrupted is not taken for a whole one.
whole() {
  local folder="$1" part="$1.part"
  [[ ! -d "$folder" ]] || return 0
  mkdir -p "$servers"
  exec 9>"$folder.lock"
  flock 9
  if [[ ! -d "$folder" ]]; then
    rm -rf "$part"
    "$2" "$part" "${@:3}" >&2
    mv -T "$part" "$folder"
  fi
  exec 9>&-
}

# venv FOLDER REQUIREMENT…: Python packages in a virtual environment.
venv() {
  whole "$1" fill_venv "$1" "${@:2}"
}

fill_venv() {
  local part="$1" folder="$2"
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
  python3 -m venv "$part"
  "$part/bin/pip" install --quiet --disable-pip-version-check "${@:3}"
  # Programs name the folder in their first lines.
  grep -rlIF "$part" "$part/bin" | xargs sed -i "s|$part|$folder|g"
}

# === Running ===

run() {
  installed || fail "it is not installed; run \`$script install\`"
  mkdir -p "$1"
  dir="$(cd "$1" && pwd)"
  [[ -z "$(ls -A "$dir")" ]] || fail "$dir is not empty"
  mkdir "$dir/log"
  # What is said goes to 3 and the caller's stdin is 4; nothing that is started holds either.
  exec 3>&1 4<&0 </dev/null >>"$dir/log/setup.log"
  given=("$@")
  trap finish EXIT
  trap 'is_asked_to_end=true' TERM INT HUP PIPE
  start "${@:2}"
  is_ready=true
  said+=("PIDS=${pids[*]}" ready)
  # Where nobody listens any more, the caller has ended.
  printf '%s\n' "${said[@]}" >&3 2>/dev/null || exit 0
  while true; do
    pause 0.5
    watch
  done
}

# say NAME VALUE: a line for the caller, once everything is ready.
say() {
  said+=("$1=$2")
}

# ports N: free ports, one to a line. All are held until the last is chosen, so they differ.
ports() {
  python3 -c 'import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held), sep="\n")' "$1"
}

# server NAME COMMAND…: starts a server, which writes to log/NAME.log and ends with this script even
# where that is killed.
server() {
  setsid setpriv --pdeathsig "$stop_signal" -- "${@:2}" &>"$dir/log/$1.log" 3>&- 4<&- &
  names+=("$1")
  pids+=("$!")
  # Its end is ours to tell, not bash's.
  disown
}

# setup COMMAND…: runs a step that must succeed.
setup() {
  "$@" >>"$dir/log/setup.log" 2>&1 3>&- 4<&- || fail "failed: $*" "$dir/log/setup.log"
}

# await NAME SECONDS COMMAND…: waits until the command succeeds, which shows that a server answers.
await() {
  local limit=$((SECONDS + $2))
  until "${@:3}" >/dev/null 2>&1 3>&- 4<&-; do
    watch
    ((SECONDS < limit)) || fail "$1 does not answer after $2 s" "$dir/log/$1.log"
    pause 0.1
  done
  watch
}

# http ARGUMENT…: curl without the user's settings, which fails where the server answers an error.
http() {
  curl -q -sS --fail --noproxy '*' --max-time 10 "$@"
}

# answers URL: whether there is an answer, be it an error.
answers() {
  curl -q -s -o /dev/null --noproxy '*' --max-time 2 "$1"
}

# Ends the script if a server has ended.
watch() {
  local index
  for index in "${!pids[@]}"; do
    kill -0 "${pids[index]}" 2>/dev/null ||
      fail "${names[index]} has ended" "$dir/log/${names[index]}.log"
  done
}

# pause SECONDS: waits, and ends the script where a signal has come or the caller has closed our
# stdin. The signal's trap only takes a note: bash 5.2 crashes where a trap leaves `read`.
pause() {
  local status=0
  read -r -t "$1" -u 4 _ || status=$?
  ((status == 0 || status > 128)) || exit 0
  ! $is_asked_to_end || exit 0
}

# === Stopping ===

finish() {
  local status=$?
  trap - EXIT
  trap '' TERM INT HUP PIPE
  stop
  if ((status == 0)); then
    rm -rf "$dir"
  elif collided; then
    rm -rf "$dir"
    echo "$name: a port was taken in the meantime, once again" >&2
    trap - TERM INT HUP PIPE
    SAMARA_CI_AGAIN=1 exec "$script" run "${given[@]}" <&4 >&3 3>&- 4<&-
  else
    find "$dir" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
  fi
  exit "$status"
}

# Whether the start failed for a port that somebody else took after it was chosen. Tried once.
collided() {
  ! $is_ready && [[ -z "${SAMARA_CI_AGAIN:-}" ]] &&
    grep -rqiE 'address (already )?in use|EADDRINUSE' "$dir/log"
}

stop() {
  local known="${pids[*]}" left limit=$((SECONDS + stop_seconds))
  left="$(family "$known")"
  signal "$stop_signal" "$left"
  while [[ -n "$left" ]]; do
    sleep 0.05
    known+=" $left"
    left="$(family "$known")"
    ((SECONDS <= limit)) || signal KILL "$left"
  done
}

# family PIDS: which of these processes and of those that came of them are still there.
family() {
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v known="$1" '
    {
      pid = $1
      sub(/^.*\) /, "")
      if ($1 != "Z") { parent[pid] = $2; session[pid] = $4 }
    }
    END {
      count = split(known, list, " ")
      for (i = 1; i <= count; i++) member[list[i]] = 1
      do {
        grown = 0
        for (pid in parent)
          if (!(pid in member) && ((parent[pid] in member) || (session[pid] in member))) {
            member[pid] = 1
            grown = 1
          }
      } while (grown)
      for (pid in parent) if (pid in member) printf "%s ", pid
    }' || true
}

# signal NAME PIDS
signal() {
  local pid
  for pid in $2; do
    kill -s "$1" "$pid" 2>/dev/null || true
  done
}
