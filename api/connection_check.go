package api

import (
	"context"

	"gatehouse/api/resources"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// connectionChange is what putting a connection would do besides changing it.
type connectionChange struct {
	New          bool `json:"new" doc:"There is no connection of this name yet"`
	TrustsAnew   bool `json:"trusts_anew" doc:"It would believe something that it does not believe now about who people are"`
	EndsSessions bool `json:"ends_sessions" doc:"Everybody who has signed in by it would be signed out"`
	LosesSecrets bool `json:"loses_secrets" doc:"A secret that there is would go, because it was meant for another client or address and none is said anew"`
}

// checkConnection asks of a spec all that [API.putConnection] asks, so that whoever
// is about to put it can be told first.
func (a *API) checkConnection(ctx context.Context, c *call, in *struct {
	ByName
	Body resources.ConnectionSpec
}) (*bodyOutput[connectionChange], error) {
	current, err := a.cfg.Connections.Connection(ctx, c.tenant(), in.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	wanted, err := in.Body.Connection(in.Name, current)
	if err != nil {
		return nil, err
	}
	if err := wanted.Check(current); err != nil {
		return nil, err
	}
	if err := a.mayTrust(ctx, c, wanted, current); err != nil {
		return nil, err
	}
	return &bodyOutput[connectionChange]{changeOf(wanted, current)}, nil
}

func changeOf(wanted, current tenants.Connection) connectionChange {
	if current.ID == "" {
		return connectionChange{New: true}
	}
	anew := wanted.TrustsAnew(current)
	pushed := wanted.Signals != nil && wanted.Signals.Poll == nil
	return connectionChange{TrustsAnew: anew, EndsSessions: current.Enabled && (anew || !wanted.Enabled),
		LosesSecrets: current.HasSecret() && !wanted.HasSecret() || guarded(current) && pushed && !guarded(wanted)}
}

// guarded reports whether a push of signals must carry a secret.
func guarded(c tenants.Connection) bool { return c.Signals != nil && c.Signals.Authorization != "" }
