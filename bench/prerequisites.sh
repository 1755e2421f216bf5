#!/bin/sh
# What the bench needs besides Node.js: nginx and HAProxy to compare with, wrk and a Go compiler to make the load.
# Installs what is missing where it may, and builds the load generator.
set -u
cd "$(dirname "$0")/.." || exit 1

missing=
for pair in nginx:nginx haproxy:haproxy wrk:wrk go:golang-go taskset:util-linux; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "make bench needs these, and may not install them itself:$missing (on Debian, as root: apt-get install$missing)" >&2
    exit 1
  fi
  echo "Installing for the bench:$missing"
  # RUNLEVEL=1 keeps the packages from starting services of their own.
  if ! { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } >/dev/null; then
    echo "make bench: apt-get install$missing failed, see above" >&2
    exit 1
  fi
fi

mkdir -p .cache/bench
if [ ! -x .cache/bench/loadgen ] || [ -n "$(find bench/loadgen -newer .cache/bench/loadgen -type f)" ]; then
  echo "Building bench/loadgen"
  (cd bench/loadgen && GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -o ../../.cache/bench/loadgen .) || exit 1
fi
