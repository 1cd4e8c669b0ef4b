{{/* How a monitor asks. */}}
{{- define "headgate.scrape" -}}
interval: {{ .scrapeInterval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What somebody should look at; docs/operations.md says how. */}}
{{- define "headgate.rules" -}}
- alert: HeadgateWithoutControlPlane
  expr: headgate_control_connected == 0
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: A dataplane works by its last state, since no control plane is connected
- alert: HeadgateStateRefused
  expr: increase(headgate_control_states_refused_total[10m]) > 0
  labels: {severity: warning}
  annotations:
    summary: The newest state was refused, and the one before is in force; see control.last_error of headgate status
- alert: HeadgateOverloaded
  expr: sum by (instance, reason) (rate(headgate_packets_dropped_total{reason=~"transmit-full|hand-over-full|stage-full"}[5m])) > 0
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: Packets are dropped because a worker, a stage or the device is too slow
- alert: HeadgateSourcePorts
  expr: headgate_tcp_source_ports_used / headgate_tcp_source_ports_limit > 0.8
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: A worker has few source ports left towards a pod; --source-addresses or --source-ports gives more
{{- end -}}
