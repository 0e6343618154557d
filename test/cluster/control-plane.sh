#!/usr/bin/env bash
# A real Kubernetes control plane on loopback, with simulated GPU nodes: etcd, kube-apiserver, kube-controller-manager and
# kube-scheduler are the real programs; kwok simulates the nodes, so pods are scheduled, become Ready, drain and finish, but
# no container runs there.
#
#   control-plane.sh TOOLS STATE     TOOLS is the folder of tools.sh; STATE has the data of all processes
#   down.sh TOOLS STATE              ends all processes, by recorded pid
#
# Everything listens on this machine only. Missing: NetworkPolicy enforcement, load balancers, Gateway and Ingress controllers,
# CSI drivers, workload identity; their objects are only accepted and validated.
#
#   API_SERVER (kube-apiserver)  program under TOOLS/bin     ONLY_API=1  no controllers, no nodes
#   PORT_BASE (18443)            the API's port, and the next five
#   REAL=1                       also one real node (real-node.sh): real containers, no internet
#   FAULTY=1                     one more GPU node, tainted as unhealthy
# Annotations that the simulation understands: sim/ready-after, sim/fail, sim/exit-after (pods), sim/not-ready (nodes);
# see simulated-stages.yaml. A deleted pod stays for its entire grace period unless sim/exit-after is set.
set -euo pipefail
T=$(cd "${1:?usage: control-plane.sh TOOLS STATE}" && pwd)
mkdir -p "${2:?usage: control-plane.sh TOOLS STATE}"
W=$(cd "$2" && pwd)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${API_SERVER:=kube-apiserver}" "${PORT_BASE:=18443}" "${FAULTY:=0}" "${REAL:=0}" "${ONLY_API:=0}"
B=$T/bin L=$W/log R=$W/run P=$W/pki
mkdir -p "$L" "$R" "$P"
say() { printf '%s  %s\n' "$(date +%T)" "$*" >&2; }

# ---------------------------------------------------------------- already up?
if [ -s "$R/kube-apiserver.pid" ] && kill -0 "$(cat "$R/kube-apiserver.pid")" 2>/dev/null; then
  say "already up: export KUBECONFIG=$W/kubeconfig"; exit 0
fi
API=$PORT_BASE ETCD=$((PORT_BASE + 1)) PEER=$((PORT_BASE + 2)) SCHED=$((PORT_BASE + 3)) KCM=$((PORT_BASE + 4)) KWOK=$((PORT_BASE + 5))
for port in $API $ETCD $PEER $SCHED $KCM $KWOK; do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "port $port is taken: set PORT_BASE" >&2; exit 1; fi
done
ADVERTISE=127.0.0.1 # with a real node: the host's end of a link into its network namespace
if [ "$REAL" = 1 ]; then "$HERE/real-node.sh" "$T" "$W" net; ADVERTISE=10.99.0.1; fi

# ---------------------------------------------------------------- keys
cert() { # cert NAME CN ORG [SAN] (CA=name picks another authority)
  local ca=${CA:-ca}
  openssl req -newkey rsa:2048 -nodes -keyout "$P/$1.key" -out "$P/$1.csr" -subj "/O=$3/CN=$2" 2>/dev/null
  { echo 'keyUsage=digitalSignature,keyEncipherment'; echo 'extendedKeyUsage=clientAuth,serverAuth'; if [ -n "${4:-}" ]; then echo "subjectAltName=$4"; fi; } >"$P/$1.ext"
  openssl x509 -req -in "$P/$1.csr" -CA "$P/$ca.crt" -CAkey "$P/$ca.key" -CAcreateserial -days 3650 -sha256 -extfile "$P/$1.ext" -out "$P/$1.crt" 2>/dev/null
}
conf() { # conf NAME: a kubeconfig for that certificate
  local f=$W/$1.kubeconfig; rm -f "$f"
  "$B/kubectl" --kubeconfig "$f" config set-cluster c --server "https://$ADVERTISE:$API" --certificate-authority "$P/ca.crt" --embed-certs >/dev/null
  "$B/kubectl" --kubeconfig "$f" config set-credentials u --client-certificate "$P/$1.crt" --client-key "$P/$1.key" --embed-certs >/dev/null
  "$B/kubectl" --kubeconfig "$f" config set-context c --cluster c --user u >/dev/null
  "$B/kubectl" --kubeconfig "$f" config use-context c >/dev/null; chmod 600 "$f"
}
if [ ! -f "$P/ca.crt" ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=local-ca -keyout "$P/ca.key" -out "$P/ca.crt" 2>/dev/null
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=local-front-proxy-ca -keyout "$P/front-ca.key" -out "$P/front-ca.crt" 2>/dev/null
  openssl genrsa -out "$P/sa.key" 2048 2>/dev/null
fi
cert apiserver kube-apiserver local "IP:127.0.0.1,IP:10.96.0.1,IP:$ADVERTISE,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
cert admin admin system:masters
cert kcm system:kube-controller-manager local
cert scheduler system:kube-scheduler local
cert kubelet-client apiserver-kubelet-client system:masters
CA=front-ca cert front-proxy front-proxy-client local
for n in admin kcm scheduler; do conf $n; done
ln -sfn admin.kubeconfig "$W/kubeconfig"
KC() { "$B/kubectl" --kubeconfig "$W/kubeconfig" "$@"; }

# ---------------------------------------------------------------- processes
start() { local n=$1; shift; setsid nohup "$@" >"$L/$n.log" 2>&1 </dev/null & echo $! >"$R/$n.pid"; }
wait_for() { local what=$1 i; shift; for i in $(seq 1 240); do if "$@" >/dev/null 2>&1; then return 0; fi; kill -0 "$(cat "$R/$what.pid")" 2>/dev/null || break; sleep 0.5; done; say "gave up waiting for $what"; tail -15 "$L/$what.log" >&2; return 1; }
t0=$SECONDS
start etcd "$B/etcd" --name local --data-dir "$W/etcd-data" --listen-client-urls "http://127.0.0.1:$ETCD" \
  --advertise-client-urls "http://127.0.0.1:$ETCD" --listen-peer-urls "http://127.0.0.1:$PEER" \
  --initial-advertise-peer-urls "http://127.0.0.1:$PEER" --initial-cluster "local=http://127.0.0.1:$PEER" \
  --unsafe-no-fsync --auto-compaction-retention=1 --log-level warn
wait_for etcd bash -c "exec 3<>/dev/tcp/127.0.0.1/$ETCD"
start kube-apiserver "$B/$API_SERVER" --etcd-servers "http://127.0.0.1:$ETCD" --bind-address $ADVERTISE --secure-port "$API" \
  --advertise-address "$ADVERTISE" --endpoint-reconciler-type "$([ "$ADVERTISE" = 127.0.0.1 ] && echo none || echo lease)" \
  --service-cluster-ip-range 10.96.0.0/16 --authorization-mode Node,RBAC --allow-privileged=true \
  --client-ca-file "$P/ca.crt" --tls-cert-file "$P/apiserver.crt" --tls-private-key-file "$P/apiserver.key" \
  --kubelet-client-certificate "$P/kubelet-client.crt" --kubelet-client-key "$P/kubelet-client.key" \
  --kubelet-preferred-address-types InternalIP \
  --service-account-key-file "$P/sa.key" --service-account-signing-key-file "$P/sa.key" \
  --service-account-issuer https://kubernetes.default.svc.cluster.local \
  --requestheader-client-ca-file "$P/front-ca.crt" --requestheader-allowed-names front-proxy-client --requestheader-username-headers X-Remote-User \
  --requestheader-group-headers X-Remote-Group --requestheader-extra-headers-prefix X-Remote-Extra- \
  --proxy-client-cert-file "$P/front-proxy.crt" --proxy-client-key-file "$P/front-proxy.key"
wait_for kube-apiserver "$B/kubectl" --kubeconfig "$W/kubeconfig" get --raw /readyz
if [ "$ONLY_API" = 1 ]; then
  KC apply --server-side -f "$T/crds" >"$L/crds.log"
  KC wait --for condition=Established crd --all --timeout=60s >/dev/null
  say "up: $(KC version -o json 2>/dev/null | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -1)"
  exit 0
fi
start kube-controller-manager "$B/kube-controller-manager" --kubeconfig "$W/kcm.kubeconfig" --bind-address 127.0.0.1 --secure-port "$KCM" \
  --leader-elect=false --use-service-account-credentials --service-account-private-key-file "$P/sa.key" --root-ca-file "$P/ca.crt" \
  --cluster-signing-cert-file "$P/ca.crt" --cluster-signing-key-file "$P/ca.key" --allocate-node-cidrs=false \
  --authentication-kubeconfig "$W/kcm.kubeconfig" --authorization-kubeconfig "$W/kcm.kubeconfig" \
  --horizontal-pod-autoscaler-sync-period=5s
start kube-scheduler "$B/kube-scheduler" --kubeconfig "$W/scheduler.kubeconfig" --bind-address 127.0.0.1 --secure-port "$SCHED" \
  --leader-elect=false --authentication-kubeconfig "$W/scheduler.kubeconfig" --authorization-kubeconfig "$W/scheduler.kubeconfig"
wait_for kube-controller-manager "$B/kubectl" --kubeconfig "$W/kubeconfig" -n default get serviceaccount default

# ---------------------------------------------------------------- simulated nodes
start kwok "$B/kwok" --kubeconfig "$W/admin.kubeconfig" --config "$HERE/simulated-stages.yaml" --manage-nodes-with-annotation-selector kwok.x-k8s.io/node=fake \
  --manage-all-nodes=false --server-address "127.0.0.1:$KWOK" --node-ip 127.0.0.1 --node-port "$KWOK" --node-lease-duration-seconds 40 --cidr 10.245.0.0/16
node() { # node NAME SKU VCPU MEM_GI GPUS POOL ZONE PRODUCT
  local gpu='' lab='' taint=''
  if [ "$5" -gt 0 ]; then
    gpu=", nvidia.com/gpu: \"$5\""
    lab="accelerator: nvidia, kubernetes.azure.com/accelerator: nvidia, nvidia.com/gpu.present: \"true\", nvidia.com/gpu.count: \"$5\", nvidia.com/gpu.product: $8, nvidia.com/gpu.memory: \"81920\", "
    taint='taints: [{key: sku, value: gpu, effect: NoSchedule}]'
    [ "${9:-}" = faulty ] && taint='taints: [{key: sku, value: gpu, effect: NoSchedule}, {key: gpu-health, value: unhealthy, effect: NoSchedule}]'
  fi
  cat <<Y
---
apiVersion: v1
kind: Node
metadata:
  name: $1
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {${lab}kubernetes.io/hostname: $1, kubernetes.io/os: linux, kubernetes.io/arch: amd64, node.kubernetes.io/instance-type: $2, agentpool: $6, kubernetes.azure.com/agentpool: $6, kubernetes.azure.com/mode: $([ "$6" = system ] && echo system || echo user), topology.kubernetes.io/region: eastus, topology.kubernetes.io/zone: eastus-$7}
spec: {$taint}
status:
  capacity: {cpu: "$3", memory: $4Gi, ephemeral-storage: 512Gi, pods: "110"$gpu}
  allocatable: {cpu: "$(($3 - 1))", memory: $(($4 * 95 / 100))Gi, ephemeral-storage: 480Gi, pods: "110"$gpu}
Y
}
KC apply --server-side -f "$T/crds" >"$L/crds.log" 2>&1 || { tail -5 "$L/crds.log" >&2; exit 1; }
KC wait --for condition=Established crd --all --timeout=60s >/dev/null
{
  for z in 1 2 3; do node "aks-system-$z" Standard_D8ds_v5 8 32 0 system $z -; done
  node aks-nc48-1 Standard_NC48ads_A100_v4 48 440 2 nc48a100 1 NVIDIA-A100-80GB-PCIe
  node aks-nc48-2 Standard_NC48ads_A100_v4 48 440 2 nc48a100 2 NVIDIA-A100-80GB-PCIe
  node aks-nc96-1 Standard_NC96ads_A100_v4 96 880 4 nc96a100 1 NVIDIA-A100-80GB-PCIe
  node aks-nd96-1 Standard_ND96amsr_A100_v4 96 1900 8 nd96a100 1 NVIDIA-A100-SXM4-80GB
  if [ "$FAULTY" = 1 ]; then node aks-nc48-bad Standard_NC48ads_A100_v4 48 440 2 nc48a100 3 NVIDIA-A100-80GB-PCIe faulty; fi
} >"$W/nodes.yaml"
KC apply -f "$W/nodes.yaml" >/dev/null
KC wait --for condition=Ready node --all --timeout=60s >/dev/null
# a default storage class with a few pre-made volumes, so that claims bind
{
  echo '{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: test, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: kubernetes.io/no-provisioner, volumeBindingMode: Immediate}'
  for i in 1 2 3 4 5 6; do
    mkdir -p "$W/pv/$i"; chmod 0777 "$W/pv/$i"
    echo "---"; echo "{apiVersion: v1, kind: PersistentVolume, metadata: {name: test-$i}, spec: {storageClassName: test, capacity: {storage: 64Gi}, accessModes: [ReadWriteOnce, ReadWriteMany, ReadOnlyMany], persistentVolumeReclaimPolicy: Delete, hostPath: {path: $W/pv/$i}}}"
  done
} | KC apply -f - >/dev/null
if [ "$REAL" = 1 ]; then PORT_BASE=$API "$HERE/real-node.sh" "$T" "$W" up; fi
say "up in $((SECONDS - t0)) s: $(KC version -o json 2>/dev/null | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -1)"
