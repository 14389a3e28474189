package resources

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
)

// Encode writes documents as the YAML that [Parse] reads. What looks like a
// reference in a value is escaped, so that reading it back gives the same.
func Encode(w io.Writer, documents []Document) error {
	for i, d := range documents {
		text, err := encode(d)
		if err != nil {
			return fmt.Errorf("resources: encode %s: %w", d.Describe(), err)
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func encode(d Document) ([]byte, error) {
	d.Spec = bytes.ReplaceAll(d.Spec, []byte("${"), []byte("$${"))
	d.Name, d.Tenant = escape(d.Name), escape(d.Tenant)
	switch d.Kind {
	case KindTenant:
		return frame[TenantSpec](d)
	case KindConnection:
		return frame[ConnectionSpec](d)
	case KindTeam:
		return frame[TeamSpec](d)
	case KindRole:
		return frame[RoleSpec](d)
	case KindAssignment:
		return frame[AssignmentSpec](d)
	case KindService:
		return frame[ServiceSpec](d)
	case KindWebhook:
		return frame[WebhookSpec](d)
	case KindGoogleSync:
		return frame[GoogleSyncSpec](d)
	}
	return nil, fmt.Errorf("unknown kind %q", d.Kind)
}

func escape(s string) string { return strings.ReplaceAll(s, "${", "$${") }

func frame[T any](d Document) ([]byte, error) {
	spec, err := Decode[T](d)
	if err != nil {
		return nil, err
	}
	// Not in literal style, which loses blanks at the end of lines.
	return yaml.Marshal(envelope[T]{Kind: d.Kind, Tenant: d.Tenant, Name: d.Name, Spec: spec})
}
