#!/bin/sh
# What the suites need besides Node.js: h2spec and the gRPC interoperability programs, built once per version; curl, nghttp2's
# clients, HAProxy and Chromium from Debian. Installs what is missing where it may.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=$here/../../.cache/suites

missing=
for pair in go:golang-go curl:curl nghttp:nghttp2-client haproxy:haproxy chromium:chromium; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "make test-suites needs these, and may not install them itself:$missing (on Debian, as root: apt-get install$missing)" >&2
    exit 1
  fi
  echo "Installing for the suites:$missing (Chromium takes a minute or two)"
  # RUNLEVEL=1 keeps the packages from starting services of their own. The names are to be split.
  # shellcheck disable=SC2086
  if ! { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } >/dev/null; then
    echo "make test-suites: apt-get install$missing failed, see above" >&2
    exit 1
  fi
fi

mkdir -p "$folder"
build() {
  if [ -x "$folder/$1" ] && [ ! "$here/tools/go.sum" -nt "$folder/$1" ]; then return; fi
  echo "Building $1"
  # One step puts it in place, so that nobody ever starts half of one.
  (cd "$here/tools" && CGO_ENABLED=0 GOFLAGS='-buildvcs=false -mod=readonly' go build -trimpath -ldflags '-s -w' -o "$folder/.$1" "$2")
  touch "$folder/.$1"
  mv "$folder/.$1" "$folder/$1"
}
build h2spec github.com/summerwind/h2spec/cmd/h2spec
build grpc-interop-client google.golang.org/grpc/interop/client
build grpc-interop-server google.golang.org/grpc/interop/server
