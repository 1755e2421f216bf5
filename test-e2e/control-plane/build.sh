#!/bin/sh
# Builds the programs of a control plane, and Helm, once per machine: build.sh NAME...
# NAME is etcd, kube-apiserver, kube-controller-manager, kubectl or helm. They come into a folder outside the checkout,
# named by version, whose path is all that goes to standard output; progress goes to standard error. Runs that start at
# once wait for each other. Exits 3 with one line when something is to be built and there is no Go.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
kubernetes=$(sed -n 's/^require k8s\.io\/kubernetes v//p; s/^	k8s\.io\/kubernetes v\([0-9.]*\)$/\1/p' "$here/go.mod" | head -n 1)
helm=3.19.0
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/control-plane-$kubernetes-helm-$helm

missing() {
  for name in "$@"; do [ -x "$folder/$name" ] || return 0; done
  return 1
}

# Puts a program at its place in one step, so that nobody ever starts half of one.
build() {
  name=$1
  if [ -x "$folder/$name" ]; then return; fi
  scratch=$folder/.building-$name-$$
  mkdir -p "$scratch"
  echo "Building $name (once per machine, kept in $folder)" >&2
  started=$(date +%s)
  ( while sleep 30; do echo "  $name: still building after $(($(date +%s) - started)) s" >&2; done ) &
  ticker=$!
  trap 'kill "$ticker" 2>/dev/null; rm -rf "$scratch"' EXIT
  trap 'exit 1' HUP INT TERM
  if [ "$name" = helm ]; then
    GOBIN=$scratch CGO_ENABLED=0 GOFLAGS=-buildvcs=false go install -trimpath \
      -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=v$helm" "helm.sh/helm/v3/cmd/helm@v$helm" >"$scratch/log" 2>&1 || failed
  else
    case $name in
      etcd) package=go.etcd.io/etcd/server/v3 ;;
      *) package=k8s.io/kubernetes/cmd/$name ;;
    esac
    minor=${kubernetes#*.}
    # Without a version the API server panics at its start.
    flags='-s -w'
    for module in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      flags="$flags -X $module.gitVersion=v$kubernetes -X $module.gitMajor=${kubernetes%%.*} -X $module.gitMinor=${minor%%.*}"
      flags="$flags -X $module.gitTreeState=clean -X $module.gitCommit=none -X $module.buildDate=1970-01-01T00:00:00Z"
    done
    ( cd "$here" && CGO_ENABLED=0 GOFLAGS='-buildvcs=false -mod=readonly' \
      go build -trimpath -ldflags "$flags" -o "$scratch/$name" "$package" ) >"$scratch/log" 2>&1 || failed
  fi
  mv "$scratch/$name" "$folder/$name"
  kill "$ticker" 2>/dev/null || true
  rm -rf "$scratch"
  trap - EXIT HUP INT TERM
  echo "  $name: built in $(($(date +%s) - started)) s" >&2
}

failed() {
  grep -v '^go: downloading' "$scratch/log" >&2 || true
  echo "$name could not be built with $(go version)" >&2
  exit 1
}

if missing "$@"; then
  if ! command -v go >/dev/null 2>&1; then
    echo "no Kubernetes API server: install Go 1.26 or later (https://go.dev/dl/), which builds one, or name a folder with etcd, kube-apiserver, kube-controller-manager, kubectl and helm in KUBEBUILDER_ASSETS" >&2
    exit 3
  fi
  mkdir -p "$folder"
  exec 9>"$folder/.lock"
  if ! flock -n 9; then
    echo "Another run is building the control plane; waiting for it" >&2
    flock 9
  fi
  for name in "$@"; do build "$name" 9>&-; done
fi
echo "$folder"
