{{- define "sso.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "sso.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sso.labels" -}}
{{ include "sso.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "sso.image" -}}
{{- $repository := required "image.repository: where the image of sso is" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "sso.scheme" -}}
{{ if .Values.tls.secret }}HTTPS{{ else }}HTTP{{ end }}
{{- end -}}

{{/* A variable for each secret that is named: the path of a file, never its content. */}}
{{- define "sso.env" -}}
- {name: SSO_CONFIG, value: /etc/sso/sso.toml}
- {name: SSO__DATA_DIR, value: /tmp}
- {name: SSO__HTTP__LISTEN, value: "0.0.0.0:8000"}
- {name: SSO__GRPC__LISTEN, value: "0.0.0.0:44044"}
- {name: SSO__ADMIN__LISTEN, value: "0.0.0.0:9464"}
- {name: SSO__SHUTDOWN__DELAY, value: {{ .Values.shutdown.delay | quote }}}
- {name: SSO__SHUTDOWN__DRAIN_TIMEOUT, value: {{ .Values.shutdown.drainTimeout | quote }}}
{{- if .Values.tls.secret }}
- {name: SSO__HTTP__TLS_CERT, value: /etc/sso/tls/tls.crt}
- {name: SSO__HTTP__TLS_KEY, value: /etc/sso/tls/tls.key}
- {name: SSO__GRPC__TLS_CERT, value: /etc/sso/tls/tls.crt}
- {name: SSO__GRPC__TLS_KEY, value: /etc/sso/tls/tls.key}
{{- if .Values.tls.clientCa }}
- {name: SSO__GRPC__TLS_CLIENT_CA, value: /etc/sso/tls/ca.crt}
{{- end }}
{{- end }}
{{- range $name, $variable := include "sso.secrets" . | fromYaml }}
{{- $secret := index $.Values.secrets $name }}
{{- if $secret.secret }}
- {name: {{ $variable }}, value: /etc/sso/secrets/{{ $name }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "sso.secrets" -}}
masterKey: SSO__KEYS__MASTER_KEY_FILE
databasePassword: SSO__DATABASE__PASSWORD_FILE
redisPassword: SSO__REDIS__PASSWORD_FILE
sentinelPassword: SSO__REDIS__SENTINEL_PASSWORD_FILE
kafkaPassword: SSO__KAFKA__SASL_PASSWORD_FILE
{{- end -}}

{{/* Of a pod: `root` is the context, `config` the name of its ConfigMap. */}}
{{- define "sso.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $_ := include "sso.secrets" .root | fromYaml }}
      {{- $secret := index $.root.Values.secrets $name }}
      {{- if $secret.secret }}
      - secret:
          name: {{ $secret.secret }}
          items: [{key: {{ $secret.key }}, path: {{ $name }}}]
      {{- end }}
      {{- end }}
{{- if .root.Values.tls.secret }}
- name: tls
  secret: {secretName: {{ .root.Values.tls.secret }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{- define "sso.mounts" -}}
- {name: config, mountPath: /etc/sso/sso.toml, subPath: sso.toml, readOnly: true}
- {name: secrets, mountPath: /etc/sso/secrets, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if .Values.tls.secret }}
- {name: tls, mountPath: /etc/sso/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "sso.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "sso.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
