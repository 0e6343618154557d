#!/usr/bin/env bash
# Ends the processes of control-plane.sh and real-node.sh by their recorded pids, and removes STATE.
#   down.sh TOOLS STATE
set -uo pipefail
T=$(cd "${1:?usage: down.sh TOOLS STATE}" && pwd) || exit 1
[ -d "${2:?usage: down.sh TOOLS STATE}" ] || exit 0
W=$(cd "$2" && pwd)
if [ -S "$W/containerd.sock" ] && [ -x "$T/debian/usr/bin/ctr" ]; then # the containers first
  C="$T/debian/usr/bin/ctr -a $W/containerd.sock -n k8s.io"
  if [ -s "$W/run/kubelet.pid" ]; then kill "$(cat "$W/run/kubelet.pid")" 2>/dev/null; sleep 1; fi
  for t in $(timeout 10 $C task ls -q 2>/dev/null); do timeout 10 $C task kill -s KILL -a "$t" >/dev/null 2>&1; done
fi
for n in keda-adapter keda-operator dns kube-proxy kwok kubelet containerd kube-scheduler kube-controller-manager kube-apiserver etcd; do
  f=$W/run/$n.pid; [ -s "$f" ] || continue
  p=$(cat "$f")
  # signals only a process that still runs one of our programs
  if [ -r "/proc/$p/cmdline" ] && tr '\0' ' ' <"/proc/$p/cmdline" | grep -qF -e "$W/" -e "$T/bin/"; then
    kill "$p" 2>/dev/null
    for _ in $(seq 1 40); do kill -0 "$p" 2>/dev/null || break; sleep 0.25; done
    if kill -0 "$p" 2>/dev/null; then kill -9 "$p"; fi
    echo "stopped $n ($p)"
  fi
  rm -f "$f"
done
# containers of the real node outlive containerd: their shims carry our socket path
for p in $(pgrep -f -- "-address $W/containerd.sock" 2>/dev/null); do kill -9 "$p" 2>/dev/null; done
# A cluster without a real node has no part in this network.
[ ! -e "$W/run/net" ] || "$(dirname "$0")/real-node.sh" "$T" "$W" net-down
rm -rf "$W"
