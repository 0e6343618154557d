// @ts-check
/**
 * Advice of kube-score and checkov that the chart does not follow, each with its reason and, unless it is for all, the
 * objects that it concerns. An exception that no object needs any more fails the check, so that the list stays true.
 * @type {Readonly<Record<'kube-score' | 'checkov', Readonly<Record<string, { reason: string, only?: RegExp }>>>>}
 */
export const EXCEPTIONS = {
  'kube-score': {
    'container-ephemeral-storage-request-and-limit': {
      reason: 'requested, and bounded by the volumes; a limit would evict a pod for its log',
    },
    'container-image-pull-policy': {
      reason: 'IfNotPresent: a tag is a version, `latest` is refused, a node must start without the registry',
    },
    'container-resources': { reason: 'no cpu limits: throttling shows as stutter in streams' },
    'container-security-context-readonlyrootfilesystem': {
      reason: "the GPU container toolkit's hook writes into the root file system",
      only: /-worker-/,
    },
    'deployment-has-host-podantiaffinity': {
      reason: 'spread by topologySpreadConstraints, which say the same and more',
    },
    'deployment-has-poddisruptionbudget': { reason: 'the shape turns it off', only: /^off/ },
    'deployment-replicas': { reason: 'a try-out needs one gateway', only: /^simulator/ },
    'pod-networkpolicy': { reason: 'the shape turns them off', only: /^off/ },
    'pod-probes-identical': { reason: 'Redis has one question to be asked; the counts differ', only: /-redis/ },
  },
  checkov: {
    CKV_K8S_8: { reason: 'a check runs once and ends', only: /-test-|-verify/ },
    CKV_K8S_9: { reason: 'a check runs once and ends', only: /-test-|-verify/ },
    CKV_K8S_11: { reason: 'no cpu limits: throttling shows as stutter in streams' },
    CKV_K8S_15: {
      reason: 'IfNotPresent: a tag is a version, `latest` is refused, a node must start without the registry',
    },
    CKV_K8S_22: { reason: "the GPU container toolkit's hook writes into the root file system", only: /-worker-/ },
    CKV_K8S_35: {
      reason: "the hub's client reads its token, and a check its key, from the environment",
      only: /-worker-|-test-/,
    },
    CKV_K8S_43: { reason: 'images are built by the operator: a digest is a value, and has no default' },
  },
};
