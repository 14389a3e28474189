package gateway

import (
	"log/slog"

	"gatehouse/internal/cluster"
)

// level is how bad a condition is.
type level string

const (
	critical level = "critical" // somebody is not served, or is about to be
	warning  level = "warning"  // everybody is served, with less to fall back on
)

func (l level) log() slog.Level {
	if l == critical {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// condition is something that whoever runs the gateway must know. A reason is
// stable: people's own alerting goes by it.
type condition struct {
	reason string
	level  level
	means  string // a sentence
	advice string // a sentence: what to do
	theirs bool   // it is the tenant's own to do

	// One of them: whether it is so, or of whom.
	holds func() bool
	of    func() []subject
}

func (c *condition) subjects() []subject {
	switch {
	case c.of != nil:
		return c.of()
	case c.holds():
		return []subject{{}}
	}
	return nil
}

// watchFor is everything that is watched for; a new condition is one more entry
// here, and a line in docs/operations.md. What is asked must not wait.
func (g *Gateway) watchFor() []condition {
	nodes := g.rooms.nodes
	mode := func() cluster.Mode { return nodes.bus.State().Mode }
	return []condition{{
		reason: "node-lost", level: critical, holds: func() bool { return mode() == cluster.ModeLost },
		means:  "This node reaches neither Redis nor the database, so it answers every request with 503.",
		advice: "Bring back Redis or PostgreSQL, or the way to them; the node then comes back by itself.",
	}, {
		reason: "node-living-by-sql", level: warning, holds: func() bool { return mode() == cluster.ModeSQLOnly },
		means:  "This node is without Redis and asks the database about every request, which is slower.",
		advice: "Bring back Redis; the node then goes back to answering from memory by itself.",
	}, {
		reason: "redis-unreachable", level: warning, holds: func() bool { s := nodes.bus.State(); return s.Mode != cluster.ModeAlone && !s.RedisReached },
		means:  "Redis does not answer this node. Who is signed in goes on; revocations take about two seconds.",
		advice: "Look at Redis, and at the network between it and this node.",
	}, {
		reason: "sql-unreachable", level: critical, holds: func() bool {
			s := nodes.bus.State()
			return s.Mode != cluster.ModeAlone && !s.SQLReached || g.brokenPart("store")
		},
		means:  "The database does not answer this node: nobody can sign in, and nothing can be changed.",
		advice: "Look at the database, and at the network between it and this node.",
	}, {
		reason: "node-silent", level: warning, of: g.rooms.roster.silent,
		means:  "A node has stopped without taking its leave, or cannot reach Redis.",
		advice: "Start it again, or find out what stops it. The others go on without it; it is forgotten after an hour.",
	}, {
		reason: "journal-failing", level: critical, holds: func() bool { return g.brokenPart("journal") },
		means:  "The journal of this node cannot be written, so nothing is let through.",
		advice: "Free space on the disk that holds the data folder, or mend it; the gateway then goes on by itself.",
	}, {
		reason: "key-unavailable", level: critical, holds: func() bool { return g.brokenPart("key") },
		means:  "The key-encryption key or the folder of the tenants' keys is out of reach, so nothing is let through.",
		advice: "Bring back the key file and the folder of data keys.",
	}, {
		reason: "tenant-unready", level: critical, of: g.unreadyTenants,
		means:  "A tenant is answered with 503, because its journal, its database or its key is not there.",
		advice: "Find the part that is missing in this node's log, and bring it back; the tenant is then served again by itself.",
	}, {
		reason: "index-behind", level: warning, holds: func() bool { return g.rooms.index.Behind() > 0 },
		means:  "Events do not come into the search index. Nothing is lost: they are in the journal.",
		advice: "Look at the database; the index catches up by itself.",
	}, {
		reason: "revocations-unsettled", level: warning, holds: func() bool { return g.rooms.sessions.Unsettled() > 0 },
		means:  "Somebody was signed out while the database could not be reached. It holds on every node, and is not in the database yet.",
		advice: "Bring back PostgreSQL, and do not stop all nodes before it is.",
	}, {
		reason: "nodes-untold", level: warning, holds: nodes.owesAny,
		means:  "A change was made that not every node is known to go by yet. It is told again until all do.",
		advice: "Look at the other nodes, Redis and the database.",
	}, {
		reason: "saml-provider-ending", level: warning, of: g.endingProviders, theirs: true,
		means:  "People will not be able to sign in by a SAML connection soon, or are not any more.",
		advice: "Have the identity provider publish new metadata, or give the connection what it has published.",
	}, {
		reason: "scim-brake-held", level: warning, of: g.heldBrakes, theirs: true,
		means:  "A provisioning client was about to take out more people than the tenant allows, and was held back.",
		advice: "Look whether they are to go, and release or reject it: in the console under Users, or by the API at scim/brake.",
	}, {
		reason: "webhook-stopped", level: warning, of: g.stoppedWebhooks, theirs: true,
		means:  "A webhook is sent nothing any more: its receiver took nothing for three days, or said that it is gone.",
		advice: "Have the receiver mended and enable the webhook again, in the console under Webhooks or by the API at webhooks; or delete it.",
	}, {
		reason: "directory-sync-failing", level: warning, of: g.failingSyncs, theirs: true,
		means:  "A Google Workspace account could not be read for more than an hour: who leaves there still gets in here.",
		advice: "Do what it says, in the console under Google Workspace, or by the API at directory/google.",
	}, {
		reason: "scim-token-ending", level: warning, of: g.expiringTokens, theirs: true,
		means:  "A token by which a provider provisions people ends within 14 days, and nothing has taken its place.",
		advice: "Rotate it, in the console under Tokens or by gatehouse token rotate, and give the provider the new secret.",
	}, {
		reason: "config-refused", level: warning, holds: func() bool { return g.standing.Load().refused },
		means:  "The config file has problems; the config before it is in effect.",
		advice: "Run gatehouse check on the file, and mend what it names.",
	}}
}

// brokenPart reports whether this part is missing of the platform, as it then is
// of all tenants, or as far as can be told.
func (g *Gateway) brokenPart(part string) bool {
	_ = g.readiness.Ready(platform) // somebody has to ask, for it to be looked at
	missing, broken := g.readiness.broken()[platform]
	return broken && (missing == part || missing == "" && part == "journal")
}

// unreadyTenants gives the tenants that cannot be served, the platform aside,
// whose parts have conditions of their own. One that is known to be unready is
// looked at on until it is ready, though nobody may ask for it.
func (g *Gateway) unreadyTenants() (all []subject) {
	for _, one := range g.rooms.alerts.open() {
		if one.reason != "tenant-unready" {
			continue
		}
		if _, there := g.rooms.tenants.ByID(one.Tenant); there {
			_ = g.readiness.Ready(one.Tenant)
		}
	}
	for id := range g.readiness.broken() {
		if t, there := g.rooms.tenants.ByID(id); there && id != platform {
			all = append(all, subject{Tenant: id, Name: t.Name})
		}
	}
	return all
}
