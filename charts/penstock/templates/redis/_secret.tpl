{{/* Context: ctx, redis (one of redisTargets). */}}
{{- define "penstock.redisSecret" -}}
{{- $ctx := .ctx -}}
{{- $target := .redis -}}
{{- $known := (lookup "v1" "Secret" $ctx.Release.Namespace $target.secret).data | default dict }}
apiVersion: v1
kind: Secret
metadata:
  {{- include "penstock.metadata" (dict "ctx" $ctx "component" $target.component "suffix" $target.component "annotations" (dict "helm.sh/resource-policy" "keep")) | nindent 2 }}
type: Opaque
data:
  {{ $target.key }}: {{ get $known $target.key | default (randAlphaNum 32 | b64enc) | quote }}
{{- end -}}
