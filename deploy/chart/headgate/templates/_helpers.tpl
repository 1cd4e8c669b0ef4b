{{/* Names and labels. */}}

{{- define "headgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "headgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "headgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "headgate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of all that the admission webhook needs. */}}
{{- define "headgate.admission" -}}
{{ include "headgate.fullname" . }}-admission
{{- end -}}

{{- define "headgate.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "headgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "headgate.selector" -}}
app.kubernetes.io/name: {{ include "headgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "headgate.labels" -}}
{{- $own := include "headgate.selector" . | fromYaml -}}
{{- $own = merge $own (dict
    "app.kubernetes.io/version" .Chart.AppVersion
    "app.kubernetes.io/managed-by" .Release.Service
    "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)) -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{- define "headgate.podLabels" -}}
{{- toYaml (merge (include "headgate.selector" . | fromYaml) .Values.commonLabels) -}}
{{- end -}}

{{/* What follows from the mode. */}}

{{- define "headgate.packets" -}}
{{- if eq .Values.mode "packets" }}true{{ end -}}
{{- end -}}

{{- define "headgate.kind" -}}
{{- default (ternary "DaemonSet" "Deployment" (eq .Values.mode "packets")) .Values.controller.kind -}}
{{- end -}}

{{- define "headgate.hostNetwork" -}}
{{- if or (include "headgate.packets" .) .Values.controller.hostNetwork }}true{{ end -}}
{{- end -}}

{{/* Whether there is a Service for clients. */}}
{{- define "headgate.service" -}}
{{- $wanted := .Values.controller.service.enabled -}}
{{- if and (not (include "headgate.packets" .)) (or (kindIs "invalid" $wanted) $wanted) }}true{{ end -}}
{{- end -}}

{{/* NAMESPACE/NAME of the Service whose addresses are reported, if any. */}}
{{- define "headgate.publishService" -}}
{{- $publish := .Values.controller.publishService -}}
{{- $addresses := hasKey (default dict .Values.controller.extraArgs) "publish-status-address" -}}
{{- $enabled := ternary (and (include "headgate.service" .) (not $addresses)) $publish.enabled (kindIs "invalid" $publish.enabled) -}}
{{- if $enabled -}}
{{- default (printf "%s/%s" (include "headgate.namespace" .) (include "headgate.fullname" .)) $publish.pathOverride -}}
{{- end -}}
{{- end -}}

{{/* NAMESPACE/NAME of the ConfigMap of ports, of tcp or udp: a dict of root and of which. */}}
{{- define "headgate.portMap" -}}
{{- $namespace := (get .root.Values.controller .of).configMapNamespace -}}
{{- printf "%s/%s-%s" (default (include "headgate.namespace" .root) $namespace) (include "headgate.fullname" .root) .of -}}
{{- end -}}

{{/* The ConfigMaps that the control plane reads, as a list of YAML. */}}
{{- define "headgate.configMaps" -}}
{{- $all := .Values.rbac.configMaps -}}
{{- range $of := list "tcp" "udp" -}}
{{- if get $.Values $of }}{{ $all = append $all (include "headgate.portMap" (dict "root" $ "of" $of)) }}{{ end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- define "headgate.electionID" -}}
{{- default (printf "%s-leader" (include "headgate.fullname" .)) .Values.controller.electionID -}}
{{- end -}}

{{/* Namespaces to look at alone, as a list of YAML; none for all. */}}
{{- define "headgate.scope" -}}
{{- $scope := .Values.controller.scope -}}
{{- $names := list -}}
{{- if $scope.enabled -}}
{{- $names = concat (compact (list $scope.namespace)) $scope.namespaces | uniq -}}
{{- $names = default (list (include "headgate.namespace" .)) $names -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* Ports of HTTP and HTTPS, as YAML. */}}
{{- define "headgate.ports" -}}
{{- $host := .Values.controller.hostPort -}}
{{- $ports := .Values.controller.containerPort -}}
{{- if and (include "headgate.hostNetwork" .) $host.enabled -}}
{{- $ports = $host.ports -}}
{{- end -}}
{{- toYaml $ports -}}
{{- end -}}

{{- define "headgate.image" -}}
{{- $image := .Values.controller.image -}}
{{- $registry := default .Values.global.image.registry $image.registry -}}
{{- $name := default $image.repository $image.image -}}
{{- with $registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- $tag := default .Chart.AppVersion $image.tag -}}
{{- printf "%s:%s" $name $tag -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Flags of a map: NAME alone where the value is empty, several times where it is a list. */}}
{{- define "headgate.flags" -}}
{{- range $name, $value := . }}
{{- if kindIs "slice" $value }}
{{- range $value }}
- {{ printf "--%s=%v" $name . | quote }}
{{- end }}
{{- else if or (kindIs "invalid" $value) (eq (toString $value) "") }}
- {{ printf "--%s" $name | quote }}
{{- else if kindIs "float64" $value }}
- {{ printf "--%s=%s" $name ($value | int64 | toString) | quote }}
{{- else }}
- {{ printf "--%s=%v" $name $value | quote }}
{{- end }}
{{- end }}
{{- end -}}
