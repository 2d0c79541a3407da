#!/bin/sh
# Create the account of a learner and a network namespace for it, and print the address of the namespace.
# Every namespace has ports of its own on localhost. It reaches this machine, and no other namespace: its port of the
# bridge is isolated. It has no route to any other network.
#
#     namespace.sh bridge     create the bridge (10.77.0.1)
#     namespace.sh ACCOUNT
set -eu
bridge=fc-class
if [ "$1" = bridge ]; then
    ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
    ip address replace 10.77.0.1/16 dev "$bridge"
    ip link set "$bridge" up
    exit
fi
id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$1"
chmod 700 "$(getent passwd "$1" | cut -d: -f6)"
number=$(id -u "$1")
address=10.77.$((number / 256 % 256)).$((number % 256))
if ! ip -n "$1" link show eth0 >/dev/null 2>&1; then
    ip netns add "$1"
    ip link add "fc-$number" type veth peer name eth0 netns "$1"
    ip link set "fc-$number" master "$bridge" up
    bridge link set dev "fc-$number" isolated on
    ip -n "$1" link set lo up
    ip -n "$1" address add "$address/16" dev eth0
    ip -n "$1" link set eth0 up
fi
echo "$address"
