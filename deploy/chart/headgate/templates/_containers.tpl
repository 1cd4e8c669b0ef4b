{{/* The containers, and what of the pod they have in common. */}}

{{- define "headgate.containers" -}}
{{- if eq .Values.planes "apart" -}}
- name: dataplane
  {{- include "headgate.program" . | nindent 2 }}
  args:
    - dataplane
    {{- include "headgate.commonFlags" . | nindent 4 }}
    {{- include "headgate.dataplaneFlags" . | trim | nindent 4 }}
  env:
    {{- include "headgate.hostEnvironment" . | nindent 4 }}
  {{- include "headgate.carrier" . | nindent 2 }}
- name: controlplane
  image: {{ include "headgate.image" . }}
  imagePullPolicy: {{ .Values.controller.image.pullPolicy }}
  args:
    - controlplane
    {{- include "headgate.commonFlags" . | nindent 4 }}
    {{- include "headgate.controlplaneFlags" . | trim | nindent 4 }}
  env:
    {{- include "headgate.environment" . | nindent 4 }}
    # One heap for all threads: of a cluster with 50,000 pods it takes 400 MB less.
    - {name: MALLOC_ARENA_MAX, value: "1"}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
    seccompProfile: {{- toYaml .Values.controller.image.seccompProfile | nindent 6 }}
  {{- with .Values.controlplane.healthzPort }}
  ports:
    - name: health
      containerPort: {{ . }}
  # No readiness: a pod whose dataplane has a state serves, whatever becomes of its control plane.
  livenessProbe:
    httpGet: {path: /healthz, port: health}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  {{- end }}
  {{- with .Values.controlplane.resources }}
  resources: {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - {name: run, mountPath: /run/headgate}
    {{- include "headgate.credentialsMount" . | nindent 4 }}
{{- else -}}
- name: gateway
  {{- include "headgate.program" . | nindent 2 }}
  args:
    - run
    {{- include "headgate.commonFlags" . | nindent 4 }}
    {{- include "headgate.dataplaneFlags" . | trim | nindent 4 }}
    {{- include "headgate.controlplaneFlags" . | trim | nindent 4 }}
  env:
    {{- include "headgate.environment" . | nindent 4 }}
  {{- include "headgate.carrier" . | nindent 2 }}
    {{- include "headgate.credentialsMount" . | nindent 4 }}
{{- end }}
{{- with .Values.controller.extraContainers }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The program with packets: as another user than root it has its capabilities by its file. */}}
{{- define "headgate.program" -}}
image: {{ include "headgate.image" . }}
imagePullPolicy: {{ .Values.controller.image.pullPolicy }}
{{- if and (include "headgate.packets" .) (ne (int .Values.controller.image.runAsUser) 0) }}
command: [/usr/local/bin/headgate-dataplane]
{{- end }}
{{- end -}}

{{/* What the container that carries traffic has besides flags. Ends with its mounts. */}}
{{- define "headgate.carrier" -}}
{{- $controller := .Values.controller -}}
{{- $packets := include "headgate.packets" . -}}
{{- $ports := include "headgate.ports" . | fromYaml -}}
securityContext:
  allowPrivilegeEscalation: {{ $controller.image.allowPrivilegeEscalation }}
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
    {{- if $packets }}
    add: [NET_ADMIN, NET_RAW, BPF, PERFMON, IPC_LOCK]
    {{- end }}
  seccompProfile: {{- toYaml (default $controller.image.seccompProfile .Values.dataplane.seccompProfile) | nindent 4 }}
ports:
  {{- if not $packets }}
  - name: http
    containerPort: {{ $ports.http }}
    {{- if $controller.hostPort.enabled }}
    hostPort: {{ $controller.hostPort.ports.http }}
    {{- end }}
  - name: https
    containerPort: {{ $ports.https }}
    {{- if $controller.hostPort.enabled }}
    hostPort: {{ $controller.hostPort.ports.https }}
    {{- end }}
  {{- end }}
  - name: {{ $controller.metrics.portName }}
    containerPort: {{ $controller.metrics.port }}
{{- with $controller.startupProbe }}
startupProbe:
  {{- toYaml (merge (dict "httpGet" (dict "path" "/healthz" "port" $controller.metrics.portName)) .) | nindent 2 }}
{{- end }}
# A control plane that is gone does not make the dataplane unready: traffic goes on by the last state.
readinessProbe:
  {{- toYaml (merge (dict "httpGet" (dict "path" "/readyz" "port" $controller.metrics.portName)) $controller.readinessProbe (dict "periodSeconds" 5)) | nindent 2 }}
# Only a process that does not answer for long is better started anew: flows and connections end with it.
livenessProbe:
  {{- toYaml (merge (dict "httpGet" (dict "path" "/healthz" "port" $controller.metrics.portName)) $controller.livenessProbe (dict "periodSeconds" 10 "timeoutSeconds" 5 "failureThreshold" 6)) | nindent 2 }}
{{- if $controller.lifecycle }}
lifecycle: {{- toYaml $controller.lifecycle | nindent 2 }}
{{- end }}
{{- with $controller.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: run, mountPath: /run/headgate}
  {{- if $packets }}
  - {name: tun, mountPath: /dev/net/tun}
  {{- end }}
{{- end -}}

{{/* The only container with credentials. */}}
{{- define "headgate.credentialsMount" -}}
- {name: credentials, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- with .Values.controller.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headgate.hostEnvironment" -}}
- name: HOST_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end -}}

{{- define "headgate.environment" -}}
{{ include "headgate.hostEnvironment" . }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- with .Values.controller.extraEnvs }}
{{ toYaml . }}
{{- end }}
{{- end -}}
