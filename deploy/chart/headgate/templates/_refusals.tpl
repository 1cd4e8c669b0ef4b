{{/*
Values of the ingress-nginx chart that nothing here honours, and what to do instead. One that is set is refused with these
words; one that is empty, false, or off by `enabled: false` asks for nothing and is let through.
*/}}
{{- define "headgate.refusals" -}}
defaultBackend: there is none to install; controller.defaultBackendService names one
dhParam: TLS here has no finite-field Diffie-Hellman
portNamePrefix: it is for ports of a Service, and those of tcp and udp have none, since clients connect to the addresses themselves
serviceAccount.automountServiceAccountToken: the token is mounted into the control plane alone
controller.name: fullnameOverride names all objects
controller.addHeaders: headers for all responses are not there yet
controller.admissionWebhooks.certManager: the control plane makes its certificate itself
controller.allowSnippetAnnotations: there is no nginx that could read snippets
controller.autoscaling: bring a HorizontalPodAutoscaler of your own for the Deployment of mode sockets
controller.autoscalingTemplate: bring a HorizontalPodAutoscaler of your own for the Deployment of mode sockets
controller.config: there is no ConfigMap of settings yet; remove it, and look in README.md for those that are flags
controller.configAnnotations: there is no ConfigMap of settings yet
controller.configMapNamespace: there is no ConfigMap of settings yet
controller.containerName: the containers are dataplane and controlplane
controller.containerSecurityContext: the chart sets what each container may do; controller.image has user, group and seccomp profile
controller.customTemplate: there is no nginx that could read a template
controller.disableLeaderElection: without a leader nobody could write; extraArgs has update-status for none who writes
controller.enableAnnotationValidations: annotations are always validated
controller.enableMimalloc: there is no nginx to preload it
controller.enableTopologyAwareRouting: endpoints are not chosen by zone yet
controller.extraModules: there is no nginx that could load modules
controller.healthCheckHost: controller.metrics.address says where health is asked
controller.healthCheckPath: the paths are /healthz and /readyz
controller.hostname: nothing reads it
controller.image.chroot: there is no such image
controller.image.digestChroot: there is no such image
controller.keda: bring a ScaledObject of your own for the Deployment of mode sockets
controller.maxmindLicenseKey: there is no GeoIP
controller.opentelemetry: there is no tracing yet
controller.proxySetHeaders: headers for all requests are not there yet
controller.resizePolicy: worker threads are counted at the start
controller.service.external: there is one Service; controller.service is it
controller.service.internal: there is one Service; a second is made by hand, for the same pods
controller.service.nodePorts.tcp: ports of tcp are served in mode packets, where there is no Service
controller.service.nodePorts.udp: ports of udp are served in mode packets, where there is no Service
controller.shareProcessNamespace: the planes must not see each other's processes
{{- end -}}

{{/* Of a list of names and ports, a line for each that has the port of one before it. */}}
{{- define "headgate.twice" -}}
{{- $known := dict -}}
{{- range $one := . -}}
{{- $port := toString (int $one.port) -}}
{{- if hasKey $known $port }}{{ printf "%s: port %s is that of %s, too\n" $one.name $port (get $known $port) }}{{ else }}{{ $_ := set $known $port $one.name }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Ports that contradict each other, a line each: of two, one would not be listened at, or would not be reached. */}}
{{- define "headgate.portClashes" -}}
{{- $controller := .Values.controller -}}
{{- $packets := ne (include "headgate.packets" .) "" -}}
{{- $ports := include "headgate.ports" . | fromYaml -}}
{{- $hosts := and (ne (include "headgate.hostNetwork" .) "") $controller.hostPort.enabled -}}
{{- $from := ternary "controller.hostPort.ports" "controller.containerPort" $hosts -}}
{{- $fronts := list (dict "name" (printf "%s.http" $from) "port" $ports.http) (dict "name" (printf "%s.https" $from) "port" $ports.https) -}}
{{- if $packets }}{{ range $port, $_ := .Values.tcp }}{{ $fronts = append $fronts (dict "name" (printf "tcp.%s" $port) "port" $port) }}{{ end }}{{ end -}}
{{- $own := list (dict "name" "controller.metrics.port" "port" $controller.metrics.port) -}}
{{- if and (eq .Values.planes "apart") .Values.controlplane.healthzPort }}{{ $own = append $own (dict "name" "controlplane.healthzPort" "port" .Values.controlplane.healthzPort) }}{{ end -}}
{{- if $controller.admissionWebhooks.enabled }}{{ $own = append $own (dict "name" "controller.admissionWebhooks.port" "port" $controller.admissionWebhooks.port) }}{{ end -}}
{{- /* Packets for addresses that no node has are none for the node. */ -}}
{{- if and $packets .Values.ingressAddresses -}}
{{- include "headgate.twice" $fronts }}{{ include "headgate.twice" $own -}}
{{- else -}}
{{- $own = concat $fronts $own -}}
{{- include "headgate.twice" $own -}}
{{- end -}}
{{- if $packets -}}
{{- $range := splitn "-" 2 (toString (default "61000-65535" (get (default dict .Values.dataplane.extraArgs) "source-ports"))) -}}
{{- range $one := $own }}{{ if and (ge (int $one.port) (int $range._0)) (le (int $one.port) (int $range._1)) }}{{ printf "%s: port %d is one of the source ports of the node, %s-%s, where only pods are answered; dataplane.extraArgs.source-ports has others\n" $one.name (int $one.port) $range._0 $range._1 }}{{ end }}{{ end -}}
{{- end -}}
{{- if and (include "headgate.service" .) $controller.service.enableHttp $controller.service.enableHttps -}}
{{- range $field := list "ports" "nodePorts" -}}
{{- $pair := get $controller.service $field -}}
{{- if and $pair.http (eq (toString $pair.http) (toString $pair.https)) }}{{ printf "controller.service.%s.https: port %v is that of controller.service.%s.http, too\n" $field $pair.https $field }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $controller.hostPort.enabled (not $hosts) (eq (int $controller.hostPort.ports.http) (int $controller.hostPort.ports.https)) }}{{ printf "controller.hostPort.ports.https: port %d is that of controller.hostPort.ports.http, too\n" (int $controller.hostPort.ports.https) }}{{ end -}}
{{- end -}}

{{/* Fails with all that cannot be honoured, each by its name. */}}
{{- define "headgate.check" -}}
{{- $wrong := list -}}
{{- range $path, $reason := include "headgate.refusals" . | fromYaml -}}
{{- $value := $.Values -}}
{{- range splitList "." $path -}}
{{- $value = ternary (get (ternary $value dict (kindIs "map" $value)) .) nil (kindIs "map" $value) -}}
{{- end -}}
{{- $asks := not (empty $value) -}}
{{- if and $asks (kindIs "map" $value) (hasKey $value "enabled") }}{{ $asks = $value.enabled }}{{ end -}}
{{- if $asks }}{{ $wrong = append $wrong (printf "%s: %s" $path $reason) }}{{ end -}}
{{- end -}}
{{- $controller := .Values.controller -}}
{{- if include "headgate.packets" . -}}
{{- if not .Values.ports }}{{ $wrong = append $wrong "ports: mode packets needs an interface, as in [eth0]" }}{{ end -}}
{{- if eq (include "headgate.kind" .) "Deployment" }}{{ $wrong = append $wrong "controller.kind: mode packets is a DaemonSet, since interfaces are of a node; mode sockets can be a Deployment" }}{{ end -}}
{{- if and (kindIs "bool" $controller.hostNetwork) (not $controller.hostNetwork) }}{{ $wrong = append $wrong "controller.hostNetwork: mode packets needs the node's network; mode sockets does without" }}{{ end -}}
{{- if $controller.service.enabled }}{{ $wrong = append $wrong "controller.service.enabled: in mode packets clients connect to the addresses themselves, which a Service would lead past; mode sockets has one" }}{{ end -}}
{{- end -}}
{{- if not (include "headgate.packets" .) -}}
{{- range $name := list "tcp" "udp" -}}
{{- if get $.Values $name }}{{ $wrong = append $wrong (printf "%s: ports are given to Services in mode packets; the kernel's sockets serve Ingresses alone" $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.rbac.secrets "namespaces") (not .Values.rbac.secretNamespaces) }}{{ $wrong = append $wrong "rbac.secretNamespaces: rbac.secrets is namespaces, and none is named" }}{{ end -}}
{{- if and .Values.rbac.scope (not $controller.scope.enabled) }}{{ $wrong = append $wrong "rbac.scope: without a ClusterRole nothing outside of a scope can be served; set controller.scope.enabled" }}{{ end -}}
{{- if and $controller.publishService.enabled (not $controller.publishService.pathOverride) (not (include "headgate.service" .)) }}{{ $wrong = append $wrong "controller.publishService.pathOverride: this release makes no Service; name one as NAMESPACE/NAME" }}{{ end -}}
{{- if and (not (kindIs "invalid" $controller.maxUnavailable)) (eq (include "headgate.kind" .) "DaemonSet") }}{{ $wrong = append $wrong "controller.maxUnavailable: budgets do not know how many pods a DaemonSet has; set controller.minAvailable to a number" }}{{ end -}}
{{- if and (kindIs "string" $controller.minAvailable) (eq (include "headgate.kind" .) "DaemonSet") }}{{ $wrong = append $wrong "controller.minAvailable: budgets do not know how many pods a DaemonSet has; give a number" }}{{ end -}}
{{- $metrics := $controller.metrics -}}
{{- if and (not $metrics.enabled) (or $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled $metrics.prometheusRule.enabled) }}{{ $wrong = append $wrong "controller.metrics.enabled: a monitor or rule is enabled, and metrics are not" }}{{ end -}}
{{- if and $metrics.serviceMonitor.enabled (not $metrics.service.enabled) }}{{ $wrong = append $wrong "controller.metrics.service.enabled: the ServiceMonitor wants the Service; a podMonitor does without" }}{{ end -}}
{{- range $line := include "headgate.portClashes" . | splitList "\n" }}{{ if trim $line }}{{ $wrong = append $wrong (trim $line) }}{{ end }}{{ end -}}
{{- $drain := toString (default "20s" (get (default dict .Values.dataplane.extraArgs) "drain-time")) -}}
{{- if regexMatch "^[0-9]+[sm]$" $drain -}}
{{- $seconds := mul (int (regexFind "^[0-9]+" $drain)) (ternary 60 1 (hasSuffix "m" $drain)) -}}
{{- if lt (int $controller.terminationGracePeriodSeconds) (int (add $seconds 12)) }}{{ $wrong = append $wrong (printf "controller.terminationGracePeriodSeconds: must be %d at the least, drain-time of the dataplane (%s) and 12 s, or the kubelet cuts off who is being drained" (add $seconds 12) $drain) }}{{ end -}}
{{- end -}}
{{- range $plane, $extra := dict "dataplane" .Values.dataplane.extraArgs "controller" $controller.extraArgs -}}
{{- $flags := include (printf "headgate.%sFlags" (ternary "dataplane" "controlplane" (eq $plane "dataplane"))) $ | splitList "\n" -}}
{{- range $flag, $value := $extra -}}
{{- $given := 0 -}}
{{- range $line := $flags }}{{ if regexMatch (printf "^- \"?--%s(=|\"|$)" $flag) (trim $line) }}{{ $given = add1 $given }}{{ end }}{{ end -}}
{{- if and (gt (int $given) (ternary (len (ternary $value list (kindIs "slice" $value))) 1 (kindIs "slice" $value))) (not (has $flag (list "port" "ingress-address" "controller-class" "watch-namespace"))) }}{{ $wrong = append $wrong (printf "%s.extraArgs.%s: the chart gives this flag itself; README.md says by which value" $plane $flag) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $wrong }}{{ fail (printf "\n\nvalues that cannot be honoured:\n  - %s\n" (join "\n  - " .)) }}{{ end -}}
{{- end -}}
