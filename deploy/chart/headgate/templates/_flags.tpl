{{/* What each plane is started with. */}}

{{- define "headgate.dataplaneFlags" -}}
{{- if include "headgate.packets" . }}
{{- range .Values.ports }}
- --port={{ . }}
{{- end }}
{{- else }}
- --port=kernel
{{- end }}
{{- $address := ternary "$(HOST_IP)" "0.0.0.0" (ne (include "headgate.hostNetwork" .) "") }}
{{- /* There is no authentication: on the node's network, on the node's own address alone. */}}
- --metrics={{ default $address .Values.controller.metrics.address }}:{{ .Values.controller.metrics.port }}
{{- if not (hasKey (default dict .Values.dataplane.extraArgs) "drain-delay") }}
{{- /* Clients are still sent here until those in front know that the pod goes. */}}
- --drain-delay=5s
{{- end }}
{{- include "headgate.flags" .Values.dataplane.extraArgs }}
{{- end -}}

{{- define "headgate.controlplaneFlags" -}}
{{- $controller := .Values.controller }}
{{- $ports := include "headgate.ports" . | fromYaml }}
- --kubernetes
{{- range .Values.ingressAddresses }}
- --ingress-address={{ . }}
{{- else }}
{{- if include "headgate.packets" . }}
- --ingress-address=$(HOST_IP)
{{- else if eq .Values.planes "apart" }}
- --ingress-address=0.0.0.0
- "--ingress-address=::"
{{- end }}
{{- end }}
- --http-port={{ $ports.http }}
- --https-port={{ $ports.https }}
- --controller-class={{ $controller.ingressClassResource.controllerValue }}
{{- range $controller.controllerClasses }}
- --controller-class={{ . }}
{{- end }}
- --ingress-class={{ $controller.ingressClass }}
{{- if $controller.ingressClassByName }}
- --ingress-class-by-name
{{- end }}
{{- if $controller.watchIngressWithoutClass }}
- --watch-ingress-without-class
{{- end }}
{{- range include "headgate.scope" . | fromYamlArray }}
- --watch-namespace={{ . }}
{{- end }}
{{- with $controller.scope.namespaceSelector }}
- {{ printf "--watch-namespace-selector=%s" . | quote }}
{{- end }}
{{- with $controller.defaultBackendService }}
- --default-backend-service={{ . }}
{{- end }}
{{- range $of := list "tcp" "udp" }}
{{- if get $.Values $of }}
- --{{ $of }}-services-configmap={{ include "headgate.portMap" (dict "root" $ "of" $of) }}
{{- end }}
{{- end }}
{{- /* The kernel's sockets balance no Services. */}}
- {{ printf "--load-balancer-class=%s" (ternary $controller.loadBalancerClass "" (ne (include "headgate.packets" .) "")) | quote }}
{{- if and $controller.loadBalancerWithoutClass (include "headgate.packets" .) }}
- --load-balancer-without-class
{{- end }}
{{- with include "headgate.publishService" . }}
- --publish-service={{ . }}
{{- end }}
{{- if $controller.reportNodeInternalIp }}
- --report-node-internal-ip-address
{{- end }}
- --election-id={{ include "headgate.electionID" . }}
{{- with $controller.electionTTL }}
- --election-ttl={{ . }}
{{- end }}
{{- if eq .Values.planes "apart" }}
{{- if not (hasKey (default dict $controller.extraArgs) "wait-for-dataplane") }}
{{- /* SIGTERM reaches both containers at once. The API is told of the end afterwards, which may take 5 s. */}}
- --wait-for-dataplane={{ max 0 (sub (int $controller.terminationGracePeriodSeconds) 7) }}s
{{- end }}
{{- with .Values.controlplane.healthzPort }}
- --healthz-port={{ . }}
{{- if include "headgate.hostNetwork" $ }}
- --healthz-host=$(HOST_IP)
{{- end }}
{{- end }}
{{- end }}
{{- with $controller.admissionWebhooks }}
{{- if .enabled }}
- "--validating-webhook=:{{ .port }}"
- --validating-webhook-service={{ include "headgate.admission" $ }}
- --validating-webhook-configuration={{ include "headgate.admission" $ }}
{{- end }}
{{- end }}
{{- include "headgate.flags" $controller.extraArgs }}
{{- end -}}

{{/* What both take. */}}
{{- define "headgate.commonFlags" -}}
- --run-dir=/run/headgate
- --log-format=json
{{- end -}}
