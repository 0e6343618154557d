{{/* Context: ctx, redis (one of redisTargets). */}}
{{- define "penstock.redisServices" -}}
{{- $ctx := .ctx -}}
{{- $target := .redis -}}
{{- $id := dict "ctx" $ctx "component" $target.component "suffix" $target.component }}
apiVersion: v1
kind: Service
metadata:
  {{- include "penstock.metadata" $id | nindent 2 }}
spec:
  type: ClusterIP
  ports:
    - {name: redis, port: 6379, targetPort: redis, protocol: TCP}
  selector:
    {{- include "penstock.selector" $id | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "penstock.metadata" (dict "ctx" $ctx "component" $target.component "suffix" (printf "%s-headless" $target.component)) | nindent 2 }}
spec:
  type: ClusterIP
  clusterIP: None
  ports:
    - {name: redis, port: 6379, targetPort: redis, protocol: TCP}
  selector:
    {{- include "penstock.selector" $id | nindent 4 }}
{{- end -}}
