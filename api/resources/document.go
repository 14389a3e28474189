package resources

import (
	"bytes"
	"encoding/json"
	"fmt"

	"gatehouse/internal/fault"
)

// Kind is what sort of thing a document describes.
type Kind string

// The kinds, in the order in which they are applied: each may refer to those
// before it.
const (
	KindTenant     Kind = "Tenant"
	KindConnection Kind = "Connection"
	KindTeam       Kind = "Team"
	KindRole       Kind = "Role"
	KindAssignment Kind = "Assignment"
	KindService    Kind = "Service"
	KindWebhook    Kind = "Webhook"
	KindGoogleSync Kind = "GoogleSync"
)

// Order is the place of a kind in that order; -1 for a kind that is not known.
func (k Kind) Order() int {
	for i, known := range []Kind{KindTenant, KindConnection, KindTeam, KindRole, KindAssignment, KindService, KindWebhook, KindGoogleSync} {
		if k == known {
			return i
		}
	}
	return -1
}

// Document is one resource. Spec is the JSON form of the kind's spec type.
type Document struct {
	Kind   Kind            `json:"kind" enum:"Tenant,Connection,Team,Role,Assignment,Service,Webhook,GoogleSync"`
	Tenant string          `json:"tenant,omitempty" maxLength:"63" doc:"Name of the tenant; a Tenant itself has none"`
	Name   string          `json:"name" minLength:"1" maxLength:"100"`
	Spec   json.RawMessage `json:"spec"`
}

// Describe names the document for people: "Connection okta of acme".
func (d Document) Describe() string {
	if d.Tenant == "" {
		return string(d.Kind) + " " + d.Name
	}
	return string(d.Kind) + " " + d.Name + " of " + d.Tenant
}

// New makes a document of a spec.
func New(kind Kind, tenant, name string, spec any) (Document, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return Document{}, fmt.Errorf("resources: encode %s %s: %w", kind, name, err)
	}
	return Document{Kind: kind, Tenant: tenant, Name: name, Spec: raw}, nil
}

// Decode reads the document's spec as T, refusing fields that T does not have.
func Decode[T any](d Document) (T, error) {
	var spec T
	if len(d.Spec) == 0 {
		return spec, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(d.Spec))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&spec); err != nil {
		return spec, fault.Wrap(err, fault.Invalid, "bad-spec", "The spec of "+d.Describe()+" has a field that is unknown or of the wrong type.")
	}
	return spec, nil
}
