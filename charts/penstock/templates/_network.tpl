{{- define "penstock.dnsEgress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* Everything except private, link-local (with the metadata service) and loopback ranges. Context: list of ports. */}}
{{- define "penstock.publicEgress" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 168.63.129.16/32, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: ::/0
        except: ['::1/128', 'fc00::/7', 'fe80::/10']
  ports:
    {{- range . }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{- define "penstock.redisEgress" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $ours := list -}}
{{- range (include "penstock.redisTargets" . | fromJson).targets }}
{{- if .bundled }}{{ $ours = append $ours .component }}
{{- else }}
{{- $ports := list (regexFind "[0-9]+$" (regexFind ":[0-9]+$" (urlParse .url).host) | default (ternary .port "6379" (not (empty .sentinels)))) }}
{{- range concat (.clusterNodes | default list) (.sentinels | default list) }}{{ $ports = append $ports (regexFind "[0-9]+$" .) }}{{ end }}
- ports:
    {{- range uniq $ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with $policy.redisTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- if $ours }}
- to:
    {{- range $ours }}
    - podSelector:
        matchLabels:
          {{- include "penstock.selector" (dict "ctx" $ "component" .) | nindent 10 }}
    {{- end }}
  ports:
    - {port: 6379, protocol: TCP}
{{- end }}
{{- end -}}
