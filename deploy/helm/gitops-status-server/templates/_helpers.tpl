{{- define "gitops-status-server.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A release that has the chart's name in its own is not named twice: the old chart's URL stays. */}}
{{- define "gitops-status-server.fullname" -}}
{{- $name := include "gitops-status-server.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gitops-status-server.standardSelector" -}}
app.kubernetes.io/name: {{ include "gitops-status-server.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gitops-status-server.selectorLabels" -}}
{{- if .Values.selectorLabels -}}
{{- toYaml .Values.selectorLabels -}}
{{- else -}}
{{- include "gitops-status-server.standardSelector" . -}}
{{- end -}}
{{- end -}}

{{- define "gitops-status-server.labels" -}}
{{ include "gitops-status-server.standardSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/*
The old chart's image was nginx's, and its values may still name it. That image cannot be what is
meant here, so it and its tag do not count. Non-empty if that is so.
*/}}
{{- define "gitops-status-server.imageOfOldChart" -}}
{{- if contains "nginx" (base .Values.image.repository) -}}
yes
{{- end -}}
{{- end -}}

{{- define "gitops-status-server.image" -}}
{{- $image := .Values.image -}}
{{- if include "gitops-status-server.imageOfOldChart" . -}}
{{- printf "%s:%s" .Chart.Name .Chart.AppVersion -}}
{{- else if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (include "gitops-status-server.text" $image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "gitops-status-server.serviceAccountName" -}}
{{- $account := .Values.serviceAccount -}}
{{- if $account.create -}}
{{- default (include "gitops-status-server.fullname" .) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{- define "gitops-status-server.claimName" -}}
{{- default (printf "%s-data" (include "gitops-status-server.fullname" .)) .Values.persistence.existingClaim -}}
{{- end -}}

{{- define "gitops-status-server.url" -}}
{{- printf "http://%s.%s.svc.cluster.local:%d" (include "gitops-status-server.fullname" .) .Release.Namespace (int .Values.service.port) -}}
{{- end -}}

{{/* A value as text. Numbers come as floats, which print 1048576 as 1.048576e+06. */}}
{{- define "gitops-status-server.text" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if not (kindIs "invalid" .) -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/*
statusJson as a file, or nothing if it names no server: the old chart's values hold a placeholder.
What would stop the server's first start is refused here.
*/}}
{{- define "gitops-status-server.statusJson" -}}
{{- $given := .Values.statusJson -}}
{{- $status := $given | default dict -}}
{{- if kindIs "string" $given -}}
{{- $status = fromJson (default "{}" (trim $given)) -}}
{{- if hasKey $status "Error" -}}
{{- fail (printf "statusJson: is not one JSON object: %s" $status.Error) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $status "servers" -}}
{{- if $status.servers }}{{ toPrettyJson $status }}{{ end -}}
{{- else -}}
{{- $repo := trim (toString (default "" $status.repo)) -}}
{{- $server := trim (toString (default "" $status.server)) -}}
{{- $word := upper (trim (toString (default "" $status.sync_status))) -}}
{{- if and $repo $server -}}
{{- if not (has $word (list "SYNCED" "OUT_OF_SYNC" "UNKNOWN")) -}}
{{- fail "statusJson.sync_status: must be SYNCED, OUT_OF_SYNC or UNKNOWN" -}}
{{- end -}}
{{- if not (regexMatch "^\\s*([0-9]{4}-[0-9]{2}-[0-9]{2}.*)?$" (toString (default "" $status.last_check))) -}}
{{- if ne $word "UNKNOWN" -}}
{{- fail (printf "statusJson.last_check: %q is not a time; write 2026-04-26T10:30:00Z" (toString $status.last_check)) -}}
{{- end -}}
{{- $status = omit $status "last_check" -}}
{{- end -}}
{{- toPrettyJson $status -}}
{{- else if and (or $repo $server) (not (has $word (list "" "UNKNOWN"))) -}}
{{- fail (printf "statusJson: %s can only be taken over with both repo and server" $word) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The environment, without extraEnv. A map gives its keys in order, so this never changes by itself. */}}
{{- define "gitops-status-server.env" -}}
{{- $config := .Values.config -}}
{{- $env := dict
  "API_PORT" .Values.service.targetPort
  "DATABASE_URL" "sqlite:///data/gitops-status.db"
  "SQLITE_TMPDIR" "/data"
  "STALE_AFTER" $config.staleAfter
  "STALE_AFTER_GROUPS" $config.staleAfterGroups
  "CRON_CREATES_HOSTS" $config.cronCreatesHosts
  "MAX_BODY_BYTES" $config.maxBodyBytes
  "TRUSTED_PROXIES" $config.trustedProxies
  "PUBLIC_URL" $config.publicUrl
  "PUSHGATEWAY_COMPAT_JOB" $config.pushgatewayCompatJob
  "LOG_FORMAT" $config.logFormat
  "RUST_LOG" $config.rustLog
-}}
{{- if include "gitops-status-server.statusJson" . -}}
{{- $_ := set $env "STATUS_FILE" "/etc/gitops-status-server/status/status.json" -}}
{{- end -}}
{{- if .Values.tokens.existingSecret -}}
{{- $_ := set $env "TOKENS_FILE" (printf "/etc/gitops-status-server/tokens/%s" .Values.tokens.key) -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if include "gitops-status-server.text" (get $env .name) -}}
{{- fail (printf "extraEnv: %s is set by the chart already" .name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $env }}
{{- $text := include "gitops-status-server.text" $value }}
{{- if $text }}
- name: {{ $name }}
  value: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A file's text as a block: empty lines stay empty. */}}
{{- define "gitops-status-server.indented" -}}
{{- regexReplaceAll (printf "(?m)^ {%d}$" .by) (nindent .by (trim .text)) "" -}}
{{- end -}}
