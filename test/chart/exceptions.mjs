// @ts-check
/**
 * Advice of kube-score and checkov that the chart does not follow, each with the reason. One that no object needs any more
 * fails the check, so that the list stays true.
 * @type {Readonly<Record<'kube-score' | 'checkov', Readonly<Record<string, string>>>>}
 */
export const EXCEPTIONS = {
  'kube-score': {},
  checkov: {
    CKV_K8S_11: 'no cpu limits: throttling shows as stutter in streams, and engines share their node with nobody',
    CKV_K8S_15: 'IfNotPresent: a tag is a version, `latest` is refused, and a node must start without the registry',
    CKV_K8S_22: "workers only: the GPU container toolkit's hook writes into the root file system",
    CKV_K8S_35: 'HF_TOKEN and the test key: the hub client reads an environment variable; the Redis password is a file',
    CKV_K8S_43: 'images are built by the operator: a digest is a value, and has no default',
  },
};
