package api

import (
	"context"
	"net/http"

	"gatehouse/tenants"
)

func (a *API) registerProviders() {
	register(a, operation{id: "list-providers", method: http.MethodGet, path: "/providers", tag: "Connections", needs: reads("connections"),
		summary: "List identity providers of which it is known what to enter for them"}, a.listProviders)
}

type providerList struct {
	Items []tenants.Provider `json:"items"`
}

func (a *API) listProviders(context.Context, *call, *struct{}) (*bodyOutput[providerList], error) {
	return &bodyOutput[providerList]{providerList{Items: tenants.Providers()}}, nil
}
