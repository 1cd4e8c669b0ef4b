{{/* Both planes are of one user: the ring admits no other but root. */}}
{{- define "headgate.podSecurity" -}}
{{- $image := .Values.controller.image -}}
{{- $own := dict "runAsUser" (int $image.runAsUser) "runAsGroup" (int $image.runAsGroup) "fsGroup" (int $image.runAsGroup) -}}
{{- if $image.runAsUser }}{{ $_ := set $own "runAsNonRoot" true }}{{ end -}}
{{- $sysctls := .Values.controller.sysctls -}}
{{- if not (or $sysctls (include "headgate.hostNetwork" .)) -}}
{{- $sysctls = dict "net.ipv4.ip_unprivileged_port_start" "0" -}}
{{- end -}}
{{- if $sysctls -}}
{{- $list := list -}}
{{- range $name, $value := $sysctls }}{{ $list = append $list (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- $_ := set $own "sysctls" $list -}}
{{- end -}}
{{- toYaml (merge (deepCopy .Values.controller.podSecurityContext) $own) -}}
{{- end -}}
