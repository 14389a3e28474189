package resources

import (
	"slices"

	"gatehouse/directory"
	"gatehouse/directory/feed"
)

// WebhookSpec is the spec of a Webhook: an address that the changes of the directory are
// sent to. Its secret is made by the gateway.
type WebhookSpec struct {
	URL     string                 `json:"url" yaml:"url" minLength:"1" maxLength:"2048" doc:"https, without a user, a password and a fragment"`
	Types   []directory.ChangeType `json:"types,omitempty" yaml:"types,omitempty" maxItems:"8" doc:"The changes that are sent; absent: all"`
	Enabled *bool                  `json:"enabled,omitempty" yaml:"enabled,omitempty" doc:"Absent: true"`
}

// SpecOfWebhook shows a webhook as a spec.
func SpecOfWebhook(w feed.Webhook) WebhookSpec {
	spec := WebhookSpec{URL: w.URL, Types: w.Types}
	if !w.Enabled {
		spec.Enabled = new(bool)
	}
	return spec
}

// Webhook makes the webhook that the spec describes, of this version.
func (s WebhookSpec) Webhook(name string, version uint64) feed.Webhook {
	return feed.Webhook{Name: name, URL: s.URL, Types: s.Types, Enabled: s.Enabled == nil || *s.Enabled, Version: version}
}

// Same reports whether the webhook is as the spec has it.
func (s WebhookSpec) Same(w feed.Webhook) bool {
	wanted := s.Webhook(w.Name, w.Version)
	return wanted.URL == w.URL && wanted.Enabled == w.Enabled && slices.Equal(wanted.Types, w.Types)
}
