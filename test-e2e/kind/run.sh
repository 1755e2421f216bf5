#!/bin/sh
# Runs cases on a kind cluster of its own, against the gateway as the chart installs it: builds the image, makes
# the cluster, loads the image, installs the chart, and removes the cluster at the end (KEEP=1 keeps it).
set -eu
cd "$(dirname "$0")/../.."

for program in docker kind kubectl helm; do
  if ! command -v "$program" >/dev/null 2>&1; then
    echo "make test-e2e needs $program, which is missing; make test-cluster runs the same cases without containers" >&2
    exit 1
  fi
done
if ! docker info >/dev/null 2>&1; then
  echo "make test-e2e needs a Docker that runs (docker info fails); make test-cluster runs the same cases without containers" >&2
  exit 1
fi

name=tidegate-e2e-$$
image=tidegate:e2e
folder=$(mktemp -d)
cleanup() {
  if [ -z "${KEEP:-}" ]; then
    kind delete cluster --name "$name" --kubeconfig "$folder/kubeconfig" >/dev/null 2>&1 || true
    rm -rf "$folder"
  else
    echo "kept: KUBECONFIG=$folder/kubeconfig; kind delete cluster --name $name"
  fi
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

echo "Building the image"
docker build --quiet --tag "$image" .
echo "Making the cluster $name"
kind create cluster --name "$name" --config test-e2e/kind/kind.yaml --kubeconfig "$folder/kubeconfig" --wait 120s
kind load docker-image "$image" --name "$name"
export KUBECONFIG="$folder/kubeconfig"
helm install tidegate charts/tidegate --namespace tidegate-system --create-namespace --wait --timeout 180s --values test-e2e/kind/values.yaml

# The files that ask the installed gateway or none; the others start replicas and control planes of their own. One file at
# a time: all of them ask the same gateway.
TIDEGATE_IMAGE=$image TIDEGATE_GATEWAY=30080,30443 node scripts/test.ts --at-once=1 'test-e2e/cases/{crd-refusals,features,ingress,kubectl,traffic}.test.ts'
