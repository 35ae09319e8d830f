# Sourced by tests/run and benches/run: the programs that they need and that may be missing.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

# install_packages PACKAGE...: with apt-get, through sudo unless this is root.
install_packages() {
  command -v apt-get >/dev/null || fail "please install $* (there is no apt-get here to do it)"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -y)
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "please install $* (as root: apt-get install --no-install-recommends $*); there is no sudo here to do it"
    apt=(sudo -n "${apt[@]}")
  fi
  say "installing $*"
  "${apt[@]}" -qq update >&2 </dev/null || say "the package lists could not be refreshed; trying with the old ones"
  "${apt[@]}" install --no-install-recommends "$@" >&2 </dev/null || fail "$* could not be installed"
}

# need COMMAND PACKAGE...: installs the packages unless there is the command.
need() {
  local name=$1
  shift
  command -v "$name" >/dev/null && return
  install_packages "$@"
  command -v "$name" >/dev/null || fail "$name is still missing after $* was installed"
}

# Prints the folder with initdb and pg_ctl: the one on the path, else the newest of Debian's.
find_postgres() {
  local on_path folder
  if on_path=$(command -v pg_ctl) && command -v initdb >/dev/null; then
    dirname "$(readlink -f "$on_path")"
    return
  fi
  while IFS= read -r folder; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
      printf '%s\n' "$folder"
      return
    fi
  done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5nr)
  return 1
}

# Sets postgres_programs, after installing the server where it is missing.
need_postgres() {
  postgres_programs=$(find_postgres) || {
    install_packages postgresql
    postgres_programs=$(find_postgres) || fail "initdb and pg_ctl are still missing after postgresql was installed"
  }
  local major
  major=$("$postgres_programs/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
  [ "$major" -ge 14 ] || fail "PostgreSQL $major is too old (in $postgres_programs): 14 or later is needed"
}

need_cargo() {
  command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  command -v cargo >/dev/null || fail "cargo is missing: install Rust with rustup (https://rustup.rs)"
  # SQLite and the TLS library are compiled from C.
  need cc build-essential
}
