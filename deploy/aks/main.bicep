// A cluster for Penstock: system nodes, one GPU node pool per VM size, a registry, a share for the weights and an identity
// for the workers. Deploy it with deploy.sh, or by hand:
//   az deployment group create --resource-group RG --template-file main.bicep --parameters @main.parameters.json

targetScope = 'resourceGroup'

@description('Region; it must offer the requested GPU sizes, with quota for them.')
param location string = resourceGroup().location

@description('First part of all names.')
@minLength(3)
@maxLength(12)
param name string = 'penstock'

@description('Kubernetes version, as `az aks get-versions` lists them.')
param kubernetesVersion string = '1.34'

@description('GPU node pools. Names: up to 12 lower-case letters and digits. A pool may begin at 0 nodes.')
param gpuPools array = [
  {
    name: 'nc48a100'
    vmSize: 'Standard_NC48ads_A100_v4'
    min: 0
    max: 2
    spot: false
    zones: []
  }
  {
    name: 'nc96a100'
    vmSize: 'Standard_NC96ads_A100_v4'
    min: 0
    max: 1
    spot: false
    zones: []
  }
  {
    name: 'nd96a100'
    vmSize: 'Standard_ND96amsr_A100_v4'
    min: 0
    max: 1
    spot: false
    zones: []
  }
]

@description('Namespace of the release.')
param namespace string = 'penstock'

@description('Service account of the workers, as the chart names it: RELEASE-penstock-worker, or RELEASE-worker for a release called penstock.')
param workerServiceAccount string = 'penstock-worker'

@description('Size of the share for weights, in GiB. Premium shares are billed by size.')
@minValue(100)
param weightsGiB int = 256

var unique = uniqueString(resourceGroup().id, name)
var registryName = take('${replace(name, '-', '')}${unique}', 50)
var storageName = take('${replace(name, '-', '')}${unique}', 24)
var gpuUpgrades = {
  maxSurge: '0'
  maxUnavailable: '1'
  drainTimeoutInMinutes: 60
}
var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')
var accountContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '17d1049b-9a84-46fb-8f53-869881c3d3ab')

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  name: registryName
  location: location
  sku: {
    name: 'Premium'
  }
  properties: {
    adminUserEnabled: false
  }
}

resource cluster 'Microsoft.ContainerService/managedClusters@2025-05-01' = {
  name: name
  location: location
  sku: {
    name: 'Base'
    tier: 'Standard'
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    dnsPrefix: name
    kubernetesVersion: kubernetesVersion
    enableRBAC: true
    disableLocalAccounts: false
    agentPoolProfiles: [
      {
        name: 'system'
        mode: 'System'
        vmSize: 'Standard_D8ds_v5'
        osType: 'Linux'
        osSKU: 'AzureLinux'
        osDiskType: 'Ephemeral'
        availabilityZones: ['1', '2', '3']
        enableAutoScaling: true
        minCount: 2
        maxCount: 5
      }
    ]
    // Cilium enforces network policies; the chart has standard ones.
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      networkPolicy: 'cilium'
      loadBalancerSku: 'standard'
    }
    oidcIssuerProfile: {
      enabled: true
    }
    securityProfile: {
      workloadIdentity: {
        enabled: true
      }
    }
    workloadAutoScalerProfile: {
      keda: {
        enabled: true
      }
    }
    storageProfile: {
      fileCSIDriver: {
        enabled: true
      }
      blobCSIDriver: {
        enabled: true
      }
    }
    // A GPU node is removed only after 15 minutes without a request for it; a pod on it may drain for its entire grace period.
    autoScalerProfile: {
      'scale-down-unneeded-time': '15m'
      'max-graceful-termination-sec': '600'
      'max-node-provision-time': '20m'
    }
    autoUpgradeProfile: {
      upgradeChannel: 'patch'
      nodeOSUpgradeChannel: 'NodeImage'
    }
  }
}

// One after another, because a cluster accepts one change of its pools at a time.
@batchSize(1)
resource pools 'Microsoft.ContainerService/managedClusters/agentPools@2025-05-01' = [
  for pool in gpuPools: {
    parent: cluster
    name: pool.name
    properties: {
      mode: 'User'
      vmSize: pool.vmSize
      osType: 'Linux'
      osSKU: 'Ubuntu'
      osDiskType: 'Ephemeral'
      availabilityZones: empty(pool.zones) ? null : pool.zones
      enableAutoScaling: true
      minCount: pool.min
      maxCount: pool.max
      count: pool.min
      scaleSetPriority: pool.spot ? 'Spot' : 'Regular'
      scaleSetEvictionPolicy: pool.spot ? 'Delete' : null
      spotMaxPrice: pool.spot ? json('-1') : null
      nodeTaints: concat(
        ['sku=gpu:NoSchedule'],
        pool.spot ? ['kubernetes.azure.com/scalesetpriority=spot:NoSchedule'] : []
      )
      // AKS installs the driver; the device plugin is device-plugin.yaml.
      gpuProfile: {
        driver: 'Install'
      }
      // An upgrade needs no spare GPU node, and waits for the grace period of a node's pods.
      upgradeSettings: pool.spot ? null : gpuUpgrades
    }
  }
]

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, name, 'pull')
  properties: {
    roleDefinitionId: acrPull
    principalId: cluster.properties.identityProfile.kubeletidentity.objectId
    principalType: 'ServicePrincipal'
  }
}

// The share for the weights: downloaded once, read by all workers.
resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: storageName
  location: location
  kind: 'FileStorage'
  sku: {
    name: 'Premium_LRS'
  }
  properties: {
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowBlobPublicAccess: false
  }
}

resource files 'Microsoft.Storage/storageAccounts/fileServices@2023-05-01' = {
  parent: storage
  name: 'default'
}

resource weights 'Microsoft.Storage/storageAccounts/fileServices/shares@2023-05-01' = {
  parent: files
  name: 'weights'
  properties: {
    shareQuota: weightsGiB
    enabledProtocols: 'SMB'
  }
}

// The cluster's file driver mounts the share with the account's key, which it reads with the cluster's own identity.
resource mount 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: storage
  name: guid(storage.id, name, 'mount')
  properties: {
    roleDefinitionId: accountContributor
    principalId: cluster.identity.principalId
    principalType: 'ServicePrincipal'
  }
}

// Identity of the workers towards Azure, without a secret in the cluster. For weights in your own storage account, give it
// the role Storage Blob Data Reader there.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-worker'
  location: location
}

resource federation 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: identity
  name: 'worker'
  properties: {
    issuer: cluster.properties.oidcIssuerProfile.issuerURL
    subject: 'system:serviceaccount:${namespace}:${workerServiceAccount}'
    audiences: ['api://AzureADTokenExchange']
  }
}

output clusterName string = cluster.name
output registry string = registry.properties.loginServer
output registryName string = registry.name
output storageAccount string = storage.name
output share string = weights.name
output workerClientId string = identity.properties.clientId
