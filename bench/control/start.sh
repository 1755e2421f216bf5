#!/bin/sh
# In namespaces of its own: addresses for pods, and then the bench. start.sh NODE ARGUMENTS...
set -eu
ip link set lo up
# Every address of the range can be listened on.
ip route add local 10.244.0.0/16 dev lo
node=$1
shift
exec "$node" bench/control/inside.ts "$@"
