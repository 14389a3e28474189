// Package api is the admin API v1: what a tenant's admins, the console, the
// command line and other programs can see and change, over HTTP.
//
// It exists so that there is one way to administer the gateway, described by
// an OpenAPI document that is generated from the handlers themselves. Every
// operation declares the permission it needs; one place decides with authz and
// writes the journal before a handler runs (promise P1), and one place turns
// errors into answers.
//
// It must hold no rules of the rooms beneath: it translates between HTTP and
// their calls. It knows no cookies and no tokens either; who calls is answered
// by [Callers].
package api
