// Package telemetry is how operators see inside: structured logs with secrets
// taken out, and metrics.
//
// It exists so that no room writes a log line or names a metric in its own
// way, and so that redaction stands in one place (promise P6). It must not
// know requests, tenants or policy, and it never labels a metric by person or
// tenant: metrics are the operator's, the tenant has its journal.
package telemetry
