{{/* Context: ctx, redis (one of redisTargets). */}}
{{- define "penstock.redisNetworkPolicy" -}}
{{- $ctx := .ctx -}}
{{- $target := .redis -}}
{{- $policy := .ctx.Values.networkPolicy -}}
{{- $keda := false }}
{{- range $name := (include "penstock.pools" $ctx | fromJson).names }}
{{- $scaling := (include "penstock.pool" (dict "ctx" $ctx "name" $name "pool" (get $ctx.Values.workerPools $name)) | fromJson).values.autoscaling }}
{{- if and $scaling.enabled (eq $scaling.type "redis") }}{{ $keda = true }}{{ end }}
{{- end }}
{{- $id := dict "ctx" $ctx "component" $target.component "suffix" $target.component }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "penstock.metadata" $id | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "penstock.selector" $id | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports:
        - {port: 6379, protocol: TCP}
      from:
        {{- range list "gateway" "worker" }}
        - podSelector:
            matchLabels:
              {{- include "penstock.selector" (dict "ctx" $ctx "component" .) | nindent 14 }}
        {{- end }}
        {{- if and $keda (eq $target.which "redis") }}
        {{- with $policy.kedaFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- end }}
{{- end -}}
