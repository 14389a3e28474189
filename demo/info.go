package demo

// Info is what `gatehouse demo --json` prints: everything a script needs.
type Info struct {
	Ready    bool              `json:"ready"`
	CA       string            `json:"ca"`  // PEM file
	Ops      string            `json:"ops"` // URL
	Operator Operator          `json:"operator"`
	App      string            `json:"app"` // the app's own URL, past the gate
	Tenants  map[string]Tenant `json:"tenants"`
}

// Operator is how to act on the whole installation.
type Operator struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Tenant is how to reach one tenant and act in it.
type Tenant struct {
	URL        string `json:"url"`
	Connection string `json:"connection"`
	APIToken   string `json:"api_token"`
	SCIM       string `json:"scim"`
	SCIMToken  string `json:"scim_token"`
	Users      []User `json:"users"`
}

// User is an account at the tenant's demo identity provider.
type User struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Role     string `json:"role"`
}
