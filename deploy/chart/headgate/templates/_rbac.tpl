{{/* Rules, each in one place: a ClusterRole and the Roles of a scope are made of the same. */}}

{{/* Kinds that are in no namespace. */}}
{{- define "headgate.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces, nodes]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get, list, watch]
- apiGroups: [policy.networking.k8s.io]
  resources: [clusternetworkpolicies]
  verbs: [get, list, watch]
{{- end -}}

{{/* Kinds that are in namespaces, the status of Ingresses and Services, and Events about all of them. */}}
{{- define "headgate.namespacedRules" -}}
- apiGroups: [""]
  resources: [pods, services]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
{{- if include "headgate.packets" . }}
- apiGroups: [""]
  resources: [services/status]
  verbs: [patch]
{{- end }}
{{ include "headgate.eventRules" . }}
{{- if eq .Values.rbac.secrets "cluster" }}
{{ include "headgate.secretRules" (list) }}
{{- end }}
{{- end -}}

{{- define "headgate.eventRules" -}}
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* Of a list of names; of all where there is none. */}}
{{- define "headgate.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  {{- with . }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get, list, watch]
{{- end -}}

{{/* Which Lease one may create cannot be said by name. */}}
{{- define "headgate.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "headgate.electionID" . }}]
  verbs: [get, update]
# The other pods of this gateway, whose nodes' addresses are reported.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
{{- end -}}

{{/* A Role and its binding: a dict of root, namespace, suffix of the name, and rules as text. */}}
{{- define "headgate.role" }}
{{- $name := printf "%s%s" (include "headgate.fullname" .root) .suffix }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  namespace: {{ .namespace }}
  name: {{ $name }}
  labels: {{- include "headgate.labels" .root | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  namespace: {{ .namespace }}
  name: {{ $name }}
  labels: {{- include "headgate.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  {{- include "headgate.subject" .root | nindent 2 }}
{{- end -}}

{{- define "headgate.subject" -}}
- kind: ServiceAccount
  namespace: {{ include "headgate.namespace" . }}
  name: {{ include "headgate.serviceAccount" . }}
{{- end -}}

{{/* Of NAMESPACE/NAME..., the names of each namespace, as YAML. */}}
{{- define "headgate.byNamespace" -}}
{{- $all := dict -}}
{{- range . -}}
{{- $parts := splitn "/" 2 . -}}
{{- $_ := set $all $parts._0 (append (default list (get $all $parts._0)) $parts._1) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}
