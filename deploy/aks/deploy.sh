#!/usr/bin/env bash
# Creates a cluster on AKS and a release on it; each step may be repeated. Never run: see README.md.
#   deploy.sh RESOURCE_GROUP REGION
# Needs az (signed in), kubectl, helm, node; run it in a checkout. RELEASE and NAMESPACE are penstock.
set -euo pipefail
group=${1:?usage: deploy.sh RESOURCE_GROUP REGION}
region=${2:?usage: deploy.sh RESOURCE_GROUP REGION}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
namespace=penstock
version=$(node -p "require('$root/package.json').version")
revision=$(sed -n 's/^ *revision: //p' "$root/deploy/models/phi-3-vision-128k-instruct.yaml")

echo '== quota of the A100 families'
az vm list-usage --location "$region" --output table --query "[?contains(name.value, 'A100')]"

echo '== cluster, registry, share, identity'
az group create --name "$group" --location "$region" --output none
az deployment group create --resource-group "$group" --name penstock --output none \
  --template-file "$here/main.bicep" --parameters "@$here/main.parameters.json"
output() { az deployment group show --resource-group "$group" --name penstock --query "properties.outputs.$1.value" --output tsv; }
registry=$(output registry)
registry_name=$(output registryName)
storage=$(output storageAccount)
client_id=$(output workerClientId)
az aks get-credentials --resource-group "$group" --name "$(output clusterName)" --overwrite-existing

echo '== images'
for program in gateway worker-launcher; do
  az acr build --registry "$registry_name" --image "penstock/$program:$version" \
    --file "$root/deploy/$program.Dockerfile" --timeout 7200 "$root"
done

echo '== GPUs and weights'
kubectl apply -f "$here/device-plugin.yaml"
kubectl create namespace "$namespace" --dry-run=client --output yaml | kubectl apply -f -
sed -e "s/NAMESPACE/$namespace/; s/RESOURCE_GROUP/$group/; s/STORAGE_ACCOUNT/$storage/; s/REGISTRY/$registry/; s/REVISION/$revision/" \
  "$here/weights.yaml" | kubectl apply -f -
kubectl -n "$namespace" wait --for=condition=Complete job/penstock-weights --timeout=60m

if ! kubectl -n "$namespace" get secret penstock-keys >/dev/null 2>&1; then
  echo '== a first API key; it cannot be shown again'
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  node "$root/deploy/local/penstock.mjs" keys create --file "$folder/keys.yaml" --id first
  kubectl -n "$namespace" create secret generic penstock-keys --from-file=keys.yaml="$folder/keys.yaml"
fi

echo '== release'
helm upgrade --install penstock "$root/charts/penstock" --namespace "$namespace" --timeout 45m \
  --values "$here/values.yaml" --set global.imageRegistry="$registry" --set workloadIdentity.clientId="$client_id"
