package resources

import (
	"bytes"
	"encoding/json"

	"gatehouse/directory/google"
)

// GoogleSyncName is the name of every GoogleSync: a tenant has at most one.
const GoogleSyncName = "google"

// GoogleSyncSpec is the spec of a GoogleSync: the Google Workspace account that people
// and groups are fetched from.
type GoogleSyncSpec struct {
	google.Settings `yaml:",inline"`

	Key string `json:"key,omitempty" yaml:"key,omitempty" maxLength:"16384" doc:"The JSON file of the service account's key, as a text; absent: the one there is. It is given out by nothing" writeOnly:"true"`
}

// SpecOfGoogleSync shows how an account is read as a spec, without the key.
func SpecOfGoogleSync(s google.Status) GoogleSyncSpec { return GoogleSyncSpec{Settings: s.Settings} }

// Same reports whether the account is read as the spec has it, by the same key.
func (s GoogleSyncSpec) Same(now google.Status) bool {
	key := now.ServiceAccount
	if s.Key != "" && json.Unmarshal([]byte(s.Key), &key) != nil {
		return false
	}
	wanted, err := json.Marshal(s.Settings)
	there, err2 := json.Marshal(now.Settings) // where a list that is empty is none
	return err == nil && err2 == nil && bytes.Equal(wanted, there) && key == now.ServiceAccount
}
