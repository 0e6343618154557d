#!/usr/bin/env bash
# Installs the programs of a Kubernetes cluster, from the Go module proxy and Debian packages, into a folder.
#   tools.sh FOLDER              all missing programs
#   tools.sh FOLDER api VERSION  the API server of another Kubernetes version, as bin/kube-apiserver-VERSION
# A first build takes about ten minutes of four cores, and up to 10 GB of Go's build cache.
set -euo pipefail
mkdir -p "$1"
TOOLS=$(cd "$1" && pwd)
: "${K8S_VERSION:=1.36.3}" "${KUBELET_VERSION:=1.34.4}" "${ETCD_VERSION:=3.6.16}" "${KWOK_VERSION:=0.8.0}"
: "${HELM3_VERSION:=3.22.0}" "${HELM4_VERSION:=4.3.1}" "${KEDA_VERSION:=2.21.0}"
: "${GATEWAY_API_VERSION:=1.5.1}" "${PROM_OPERATOR_VERSION:=0.85.0}"
BIN=$TOOLS/bin LOG=$TOOLS/log SRC=$TOOLS/src
mkdir -p "$BIN" "$LOG" "$SRC"
export GOBIN=$BIN GOFLAGS="-buildvcs=false -p=${PENSTOCK_TOOLS_JOBS:-2}"

# built NAME VERSION COMMAND...: runs the command unless that version exists
built() {
  local name=$1 version=$2
  shift 2
  [ -x "$BIN/$name" ] && [ "$(cat "$BIN/.$name.version" 2>/dev/null)" = "$version" ] && return 0
  printf '%s  building %s %s\n' "$(date +%T)" "$name" "$version" >&2
  "$@" >"$LOG/build-$name.log" 2>&1 || {
    tail -20 "$LOG/build-$name.log" >&2
    return 1
  }
  echo "$version" >"$BIN/.$name.version"
}

module() { go mod download -json "$1" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p'; }

# install NAME PACKAGE@VERSION
install() {
  nice go install -trimpath -ldflags='-s -w' "$2"
  local base
  base=$(basename "${2%@*}")
  [ "$base" = "$1" ] || mv "$BIN/$base" "$BIN/$1"
}

# kubernetes VERSION COMMAND [NAME]: our own module, which pins every k8s.io staging module to the same release
kubernetes() {
  local version=$1 command=$2 name=${3:-$2} minor=${1#1.} folder root
  local info=k8s.io/component-base/version
  folder=$SRC/k8s-$version
  root=$(module "k8s.io/kubernetes@v$version")
  mkdir -p "$folder"
  if [ ! -f "$folder/go.sum" ]; then
    {
      echo 'module local/k8s'
      grep -E '^(go|godebug) ' "$root/go.mod"
      echo "require k8s.io/kubernetes v$version"
      sed -n 's#^[[:space:]]*\(k8s.io/[a-z0-9-]*\) => ./staging/.*#\1#p' "$root/go.mod" |
        while read -r staged; do echo "replace $staged => $staged v0.$minor"; done
    } >"$folder/go.mod"
    {
      printf '//go:build tools\npackage tools\n'
      for one in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
        echo "import _ \"k8s.io/kubernetes/cmd/$one\""
      done
    } >"$folder/tools.go"
    (cd "$folder" && go mod tidy)
  fi
  (cd "$folder" && nice go build -trimpath -o "$BIN/$name" \
    -ldflags "-s -w -X $info.gitVersion=v$version -X $info.gitMajor=1 -X $info.gitMinor=${minor%%.*} -X $info.gitTreeState=clean" \
    "k8s.io/kubernetes/cmd/$command")
}

etcd() {
  local folder=$SRC/etcd
  mkdir -p "$folder"
  rm -f "$folder"/go.*
  printf 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n' >"$folder/main.go"
  (cd "$folder" && go mod init local/etcd && go get "go.etcd.io/etcd/server/v3@v$ETCD_VERSION" && go mod tidy &&
    nice go build -trimpath -ldflags='-s -w' -o "$BIN/etcd" .)
}

# The sandbox process of each pod.
pause() {
  mkdir -p "$SRC/pause"
  printf 'module local/pause\n\ngo 1.24\n' >"$SRC/pause/go.mod"
  cat >"$SRC/pause/main.go" <<'G'
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}
G
  (cd "$SRC/pause" && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$BIN/pause" .)
}

# containerd and its dependencies are unpacked, not installed.
debian() {
  [ -x "$TOOLS/debian/usr/bin/containerd" ] && return 0
  mkdir -p "$TOOLS/deb" "$TOOLS/debian"
  (cd "$TOOLS/deb" && apt-get download containerd runc containernetworking-plugins nftables libnftables1 libnftnl11 \
    libmnl0 libxtables12 mmdebstrap >/dev/null && for package in *.deb; do dpkg -x "$package" "$TOOLS/debian"; done)
}

crds() {
  [ -d "$TOOLS/crds" ] && return 0
  local gateway keda monitoring
  gateway=$(module "sigs.k8s.io/gateway-api@v$GATEWAY_API_VERSION")
  keda=$(module "github.com/kedacore/keda/v2@v$KEDA_VERSION")
  monitoring=$(module "github.com/prometheus-operator/prometheus-operator@v$PROM_OPERATOR_VERSION")
  mkdir -p "$TOOLS/crds"
  cp "$gateway"/config/crd/standard/gateway.networking.k8s.io_{gatewayclasses,gateways,httproutes,referencegrants}.yaml \
    "$keda"/config/crd/bases/*.yaml \
    "$monitoring"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,podmonitors,prometheusrules}.yaml \
    "$TOOLS/crds/"
  chmod -R u+w "$TOOLS/crds"
}

case ${2:-all} in
api) built "kube-apiserver-$3" "$3" kubernetes "$3" kube-apiserver "kube-apiserver-$3" ;;
all)
  built etcd "$ETCD_VERSION" etcd
  built kwok "$KWOK_VERSION" install kwok "sigs.k8s.io/kwok/cmd/kwok@v$KWOK_VERSION"
  built helm3 "$HELM3_VERSION" install helm3 "helm.sh/helm/v3/cmd/helm@v$HELM3_VERSION"
  built helm4 "$HELM4_VERSION" install helm4 "helm.sh/helm/v4/cmd/helm@v$HELM4_VERSION"
  for program in kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
    built "$program" "$K8S_VERSION" kubernetes "$K8S_VERSION" "$program"
  done
  # The last release line for containerd 1.6 and cgroup v1, within the API server's allowed version skew.
  built kubelet "$KUBELET_VERSION" kubernetes "$KUBELET_VERSION" kubelet
  built pause 1 pause
  debian
  crds
  ;;
*)
  echo "unknown: $2" >&2
  exit 2
  ;;
esac
