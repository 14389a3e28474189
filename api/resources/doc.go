// Package resources is the declarative form of what an admin can set: the YAML
// documents of `gatehouse apply` and `gatehouse export`, and the same specs in
// the JSON of the admin API.
//
// It exists so that files, the command line and the API share one vocabulary
// with one strict reader. References to secrets (${ENV}, file:) are resolved
// here, on the machine where the file lies, before anything is sent. It must
// not talk to the gateway, and nothing it writes holds a secret.
package resources
