#!/usr/bin/env bash
# One REAL node besides the simulated ones: containerd, runc, kubelet, kube-proxy and a small DNS server, in its own network
# namespace (no route to the outside, no change to the host's firewall). Needs root.
#
#   REAL=1 control-plane.sh TOOLS STATE            does net and up
#   real-node.sh TOOLS STATE from NAME:TAG ROOTFS  makes a root file system a FROM image for Dockerfiles
#   real-node.sh TOOLS STATE build NAME:TAG CONTEXT [buildah options]   builds a Dockerfile (buildah, chroot isolation)
#   real-node.sh TOOLS STATE load NAME:TAG         loads a built image into the node
#   real-node.sh TOOLS STATE net|up|net-down
#
# containerd, runc, the CNI plugins and nft are Debian packages, unpacked under TOOLS, not installed. Images are kept in TOOLS.
set -euo pipefail
T=$(cd "$1" && pwd)
mkdir -p "$2"
W=$(cd "$2" && pwd)
CMD=$3
shift 3
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${PORT_BASE:=18443}" "${REAL_NODE:=real-1}" "${REAL_GPUS:=2}" "${REAL_SKU:=Standard_NC48ads_A100_v4}"
# The name NODE is npm's.
NODE=$REAL_NODE NS=penstock HOSTIP=10.99.0.1 NODEIP=10.99.0.2 PODNET=10.244.200 DNS=169.254.20.10
B=$T/bin L=$W/log R=$W/run ROOT=$T/debian
mkdir -p "$L" "$R"
export PATH="$ROOT/usr/bin:$ROOT/usr/sbin:$ROOT/sbin:$PATH"
LIBS="$ROOT/usr/lib/x86_64-linux-gnu:$ROOT/lib/x86_64-linux-gnu"
CTR="ctr -a $W/containerd.sock -n k8s.io"
inns() { nsenter --net="/run/netns/$NS" "$@"; }
start() { local n=$1; shift; setsid nohup "$@" >"$L/$n.log" 2>&1 </dev/null & echo $! >"$R/$n.pid"; }
KC() { "$B/kubectl" --kubeconfig "$W/kubeconfig" "$@"; }

net() {
  [ -e "/run/netns/$NS" ] && return 0
  touch "$R/net"
  ip netns add $NS
  ip link add psb0 type veth peer name psb1
  ip link set psb1 netns $NS; ip addr add $HOSTIP/30 dev psb0; ip link set psb0 up
  inns ip link set lo up; inns ip addr add $NODEIP/30 dev psb1; inns ip link set psb1 up
  inns ip addr add $DNS/32 dev lo; inns ip route add default via $HOSTIP
  inns bash -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  ip route add $PODNET.0/24 via $NODEIP; ip route add 10.96.0.0/16 via $NODEIP
}
net_down() {
  ip link del psb0 2>/dev/null || true
  ip netns del $NS 2>/dev/null || true
  for n in /run/netns/cni-*; do [ -e "$n" ] && ip netns del "$(basename "$n")"; done # pods' namespaces (nothing else here uses CNI)
  for c in /sys/fs/cgroup/*/penstock; do [ -d "$c" ] && find "$c" -depth -type d -exec rmdir {} \; 2>/dev/null; done
  mount | awk -v w="$W/" 'index($3, w) == 1 {print $3}' | sort -r | while read -r m; do umount "$m" 2>/dev/null || umount -l "$m"; done
}

up() {
  mkdir -p "$W/cni" "$W/kubelet" "$W/empty"
  cat >"$W/containerd.toml" <<T
version = 2
root = "$W/containerd"
state = "$W/containerd-run"
[grpc]
  address = "$W/containerd.sock"
[ttrpc]
  address = "$W/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true  # this machine lacks CAP_SYS_RESOURCE: scores below the inherited one are refused
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$ROOT/usr/lib/cni"
    conf_dir = "$W/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "$ROOT/usr/sbin/runc"
T
  cat >"$W/cni/10-bridge.conflist" <<T
{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"$PODNET.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
T
  start containerd nsenter --net=/run/netns/$NS "$ROOT/usr/bin/containerd" -c "$W/containerd.toml"
  for _ in $(seq 1 40); do $CTR version >/dev/null 2>&1 && break; sleep 0.5; done
  $CTR images ls -q | grep -q '^localhost/pause:1$' || pause_image
  for c in /sys/fs/cgroup/*/; do case $c in */unified/) ;; *) mkdir -p "$c/penstock" ;; esac; done
  cat /sys/fs/cgroup/cpuset/cpuset.cpus >/sys/fs/cgroup/cpuset/penstock/cpuset.cpus 2>/dev/null || true
  cat /sys/fs/cgroup/cpuset/cpuset.mems >/sys/fs/cgroup/cpuset/penstock/cpuset.mems 2>/dev/null || true
  local P=$W/pki
  for pair in "kubelet system:node:$NODE system:nodes" "kube-proxy system:kube-proxy local" "dns dns system:masters"; do
    set -- $pair
    openssl req -newkey rsa:2048 -nodes -keyout "$P/$1.key" -out "$P/$1.csr" -subj "/O=$3/CN=$2" 2>/dev/null
    printf 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth\n' >"$P/$1.ext"
    openssl x509 -req -in "$P/$1.csr" -CA "$P/ca.crt" -CAkey "$P/ca.key" -CAcreateserial -days 3650 -extfile "$P/$1.ext" -out "$P/$1.crt" 2>/dev/null
    local f=$W/$1.kubeconfig; rm -f "$f"
    "$B/kubectl" --kubeconfig "$f" config set-cluster c --server "https://$HOSTIP:$PORT_BASE" --certificate-authority "$P/ca.crt" --embed-certs >/dev/null
    "$B/kubectl" --kubeconfig "$f" config set-credentials u --client-certificate "$P/$1.crt" --client-key "$P/$1.key" --embed-certs >/dev/null
    "$B/kubectl" --kubeconfig "$f" config set-context c --cluster c --user u >/dev/null
    "$B/kubectl" --kubeconfig "$f" config use-context c >/dev/null; chmod 600 "$f"
  done
  cat >"$W/kubelet.yaml" <<T
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODEIP
healthzBindAddress: $NODEIP
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [$DNS]
clusterDomain: cluster.local
cgroupDriver: cgroupfs
cgroupRoot: /penstock
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: unix://$W/containerd.sock
resolvConf: $W/empty/resolv.conf
volumePluginDir: $W/empty
imageGCHighThresholdPercent: 100
evictionHard: {nodefs.available: 1%, imagefs.available: 1%, memory.available: 100Mi}
maxPods: 40
logging: {verbosity: 1}
T
  : >"$W/empty/resolv.conf"
  start kubelet nsenter --net=/run/netns/$NS "$B/kubelet" --config "$W/kubelet.yaml" --kubeconfig "$W/kubelet.kubeconfig" \
    --root-dir "$W/kubelet" --cert-dir "$W/kubelet/pki" --hostname-override "$NODE" --node-ip $NODEIP
  cat >"$W/kube-proxy.yaml" <<T
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
bindAddress: $NODEIP
healthzBindAddress: $NODEIP:10256
metricsBindAddress: $NODEIP:10249
hostnameOverride: $NODE
clientConnection: {kubeconfig: $W/kube-proxy.kubeconfig}
conntrack: {maxPerCore: 0}
T
  start kube-proxy env LD_LIBRARY_PATH="$LIBS" nsenter --net=/run/netns/$NS "$B/kube-proxy" --config "$W/kube-proxy.yaml"
  start dns nsenter --net=/run/netns/$NS "$(command -v node)" "$HERE/dns.mjs" $DNS "https://$HOSTIP:$PORT_BASE" "$P/ca.crt" "$P/dns.crt" "$P/dns.key"
  for _ in $(seq 1 60); do KC get node "$NODE" >/dev/null 2>&1 && break; sleep 0.5; done
  KC wait --for condition=Ready "node/$NODE" --timeout=90s >/dev/null
  KC label --overwrite node "$NODE" node.kubernetes.io/instance-type="$REAL_SKU" topology.kubernetes.io/zone=eastus-1 \
    topology.kubernetes.io/region=eastus test/real=true agentpool=real kubernetes.azure.com/agentpool=real >/dev/null
  # A fake GPU count, so that pods that request GPUs can run here with a fake engine
  KC patch node "$NODE" --subresource=status --type=json -p "[{\"op\":\"add\",\"path\":\"/status/capacity/nvidia.com~1gpu\",\"value\":\"$REAL_GPUS\"},{\"op\":\"add\",\"path\":\"/status/allocatable/nvidia.com~1gpu\",\"value\":\"$REAL_GPUS\"}]" >/dev/null
  # Only workloads with a toleration or nodeSelector test/real run here
  KC taint --overwrite node "$NODE" test/real=true:NoSchedule >/dev/null
  echo "real node $NODE ready" >&2
}

images() { # buildah with its store under TOOLS, and nothing from a registry
  mkdir -p "$T/images"
  echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$T/images/policy.json"
  echo 'unqualified-search-registries = []' >"$T/images/registries.conf"
  export CONTAINERS_REGISTRIES_CONF=$T/images/registries.conf
  buildah --root "$T/images/root" --runroot "$T/images/run" --storage-driver overlay "$@"
}
load() { # load NAME:TAG
  local tar=$W/image.$$.tar
  images push --signature-policy "$T/images/policy.json" -q "$1" "docker-archive:$tar:$1"
  $CTR images import "$tar" >/dev/null
  rm -f "$tar"
}
commit() { # commit NAME:TAG FOLDER [buildah config options]: an image of one layer
  local name=$1 folder=$2 c m
  shift 2
  c=$(images from scratch)
  m=$(images mount "$c")
  cp -a "$folder/." "$m/"
  images umount "$c" >/dev/null
  [ $# = 0 ] || images config "$@" "$c"
  images commit --signature-policy "$T/images/policy.json" -q "$c" "$name"
  images rm "$c" >/dev/null
}
pause_image() {
  mkdir -p "$W/pause"
  cp "$B/pause" "$W/pause/pause"
  commit localhost/pause:1 "$W/pause" --entrypoint '["/pause"]' >/dev/null
  load localhost/pause:1
}

case $CMD in
net) net ;;
net-down) net_down ;;
up) up ;;
from) commit "$@" ;;
build)
  name=$1 context=$2
  shift 2
  images bud --layers --isolation chroot --signature-policy "$T/images/policy.json" --pull-never -t "$name" "$@" "$context"
  ;;
load) load "$1" ;;
*)
  echo "unknown command $CMD" >&2
  exit 2
  ;;
esac
