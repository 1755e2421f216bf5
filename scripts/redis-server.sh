#!/bin/sh
# Installs redis-server for the tests of global rate limits where it is missing. Several may call it at once.
set -eu
command -v redis-server >/dev/null 2>&1 && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "tests of global rate limits need redis-server, and may not install it themselves (on Debian, as root: apt-get install redis-server)" >&2
  exit 1
fi
# Not in TMPDIR, for each tier has its own.
exec 9>/tmp/tidegate-redis-server.lock
flock 9
command -v redis-server >/dev/null 2>&1 && exit 0
echo "Installing redis-server for the tests" >&2
# A mirror that fails once, and another program that is installing something, are no reason to give up.
apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "$@"; }
# RUNLEVEL=1 keeps the package from starting a service of its own.
export RUNLEVEL=1
if ! { apt update && apt install -y --no-install-recommends redis-server; } >/dev/null; then
  echo "apt-get install redis-server failed, see above" >&2
  exit 1
fi
