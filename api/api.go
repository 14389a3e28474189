package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// Prefix is the path under which [API.Handler] expects to be mounted, on every
// tenant's host.
const Prefix = "/.gatehouse/api"

// platformPrefix begins the addresses that only the operators' own tenant has.
const platformPrefix = Prefix + "/v1/platform/"

// API is the admin API. It is immutable after [New] and safe for concurrent use.
type API struct {
	cfg        Config
	mux        *http.ServeMux
	huma       huma.API
	origin     *http.CrossOriginProtection
	answers    *answers
	operations []operation
	document   []byte
}

// New builds the API over the rooms in cfg; every field of cfg is needed.
func New(cfg Config) (*API, error) {
	a := &API{cfg: cfg, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(), answers: newAnswers()}
	a.huma = humago.NewWithPrefix(a.mux, Prefix, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Gatehouse admin API", Version: "1.0.0",
				Description: "Administers one tenant, on the tenant's own host. Lists are paged by cursor, errors are RFC 9457 problems, changes can be made Condition with If-Match, and a POST with an Idempotency-Key is done once (remembered for an hour, in the memory of one node; an answer with a secret is given once)."},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"session": {Type: "apiKey", In: "cookie", Name: "__Host-gatehouse", Description: "A person's session, from the tenant's own pages only."},
					"token":   {Type: "http", Scheme: "bearer", Description: "An API token (gh_...)."},
				},
			},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
	})
	a.huma.UseMiddleware(a.authorise, a.once)

	a.registerMe()
	a.registerSessions()
	a.registerDevices()
	a.registerUsers()
	a.registerFormer()
	a.registerIdentities()
	a.registerFactors()
	a.registerBrake()
	a.registerSCIMRequests()
	a.registerGoogle()
	a.registerLocalAccounts()
	a.registerGroups()
	a.registerFeed()
	a.registerWebhooks()
	a.registerTeams()
	a.registerRoles()
	a.registerAssignments()
	a.registerConnections()
	a.registerDomains()
	a.registerProviders()
	a.registerSetupLinks()
	a.registerSAML()
	a.registerOIDC()
	a.registerTokens()
	a.registerServices()
	a.registerAudit()
	a.registerHealth()
	a.registerSettings()
	a.registerTenants()
	a.registerApply()

	document, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, err
	}
	a.document = document
	a.mux.HandleFunc("GET "+Prefix+"/openapi.json", a.serveDocument)
	return a, nil
}

// Handler serves everything under [Prefix]; the request must have passed the
// gate (httpkit.WithRequest). It authorises every call itself.
func (a *API) Handler() http.Handler { return http.HandlerFunc(a.serve) }

// serve is the API's mux. What it has nothing for is a problem for whoever asks:
// programs are meant to call here, also from a browser.
func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	var err error = errNoSuchAddress
	if !strings.HasPrefix(r.URL.Path, platformPrefix) || httpkit.RequestFrom(r.Context()).Tenant == identity.Platform {
		err = httpkit.CheckRoute(w, r, a.mux)
	}
	switch {
	case err == nil:
		a.mux.ServeHTTP(w, r)
		return
	case fault.Is(err, fault.NotFound):
		err = errNoSuchAddress
	}
	replyProblem(w, problemOf(r.Context(), err))
}

// OpenAPI is the OpenAPI 3.1 document of the API, as JSON.
func (a *API) OpenAPI() []byte { return a.document }

// serveDocument answers with the document. It describes the product, not a
// tenant, so everybody may read it.
func (a *API) serveDocument(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	h.Set("Cache-Control", "max-age=300")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(a.document) // the client may be gone; nothing is left to tell it
}
