{{/* Context: ctx, redis (one of redisTargets). */}}
{{- define "penstock.redisConfigMap" -}}
{{- $ctx := .ctx -}}
{{- $target := .redis -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "penstock.metadata" (dict "ctx" $ctx "component" $target.component "suffix" $target.component) | nindent 2 }}
data:
  {{- include "penstock.redisFiles" $target | nindent 2 }}
{{- end -}}
