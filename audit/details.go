package audit

// classified lists, for each type of event, the details that a record may
// hold. A key that is not here is secret by definition and left out of the
// record, so that a new field is a decision of whoever adds it.
//
// The rubric:
//
//   - public: names of things an admin gave or the product defines (roles,
//     scopes, routes, reasons, counts, versions). List it.
//   - personal: what identifies a person or a device (address, browser, the
//     subject at the identity provider). List it where an investigation needs
//     it; the journal is encrypted and dies with the tenant's key.
//   - secret: what grants access or could be used to guess it (tokens, codes,
//     cookies, assertions, keys, hashes of them, query strings, bodies). Never.
//
// What [Refusals] says of a flood is kept for every type: aggregation is not
// listed again. Values are cut to 512 bytes.
var classified = map[Type][]string{
	AccessAllowed: {"via", "matched"},
	AccessRefused: {"via", "matched"},

	RequestRefused: {"part", "limit", "status"},

	SignInStarted:   {"protocol", "connection", "return_to"},
	SignInSucceeded: {"protocol", "connection", "subject", "amr", "acr", "created", "device", "new_device", "replaced", "begun_by", "second_factor", "client", "host", "allowed_by"},
	SignInRefused:   {"protocol", "connection", "subject", "email", "step", "provider_error"},
	SignOutRefused:  {"protocol", "connection"},
	SignalReceived:  {"connection", "event", "subject", "state"},
	SignalRefused:   {"connection"},
	SignedOut:       {"protocol", "connection", "user", "device", "at_provider"},

	SignOutAtProvider: {"protocol", "connection"},

	DeviceLoginAsked:   {"client", "host"},
	DeviceLoginAllowed: {"client", "host", "asked_from"},
	DeviceLoginDenied:  {"client", "host", "asked_from"},
	DeviceLoginRefused: {"client", "host"},

	SessionsRevoked: {"selector", "sessions", "streams", "user", "device", "connection"},
	SessionExpired:  {"limit", "user", "device"},

	SessionRechecked: {"connection"},
	SessionSteppedUp: {"replaced", "amr", "second_factor"},

	FactorAdded:       {"kind", "rp_id"},
	FactorRenamed:     {"kind", "before"},
	FactorRemoved:     {"kind"},
	RecoveryCodesMade: {"codes"},
	FactorsReset:      {"factors", "sessions"},
	FactorRefused:     {"kind"},

	LocalInvited:         {"expires", "created_by", "replaces"},
	LocalAccepted:        {"credential", "replaced", "created_by"},
	LocalPasswordChanged: {},
	LocalDeleted:         {"user_name"},

	RevocationDeferred: {"revocation"},
	RevocationSettled:  {"revocation"},

	DeviceNew:     {"kind", "os", "browser", "user"},
	DeviceChanged: {"changed", "name", "blocked", "user"},

	UserCreated:     {"source", "user_name", "email", "external_id", "connection", "subject", "active"},
	UserChanged:     {"source", "changed", "user_name", "email", "external_id", "connection", "subject"},
	UserDeactivated: {"source", "changed", "user_name", "sessions"},
	UserActivated:   {"source", "changed", "user_name"},
	UserDeleted:     {"source", "user_name", "email", "sessions", "retained_until"},
	UserErased:      {},
	GroupCreated:    {"source", "external_id", "members"},
	GroupChanged:    {"source", "changed", "added", "removed", "members"},
	GroupDeleted:    {"source", "members"},
	TeamCreated:     {"display_name"},
	TeamChanged:     {"changed", "display_name"},
	TeamDeleted:     {"display_name"},

	IdentityLinked:   {"subject", "rule"},
	IdentityUnlinked: {"subject"},

	BrakeHeld:     {"departures", "people", "limit", "share", "window", "least"},
	BrakeReleased: {"departures", "people", "until"},
	BrakeRejected: {"departures", "people", "until"},
	BrakeReset:    {"departures", "people"},

	WebhookChanged:  {"change", "enabled", "version", "types", "host", "host_before", "until"},
	WebhookDeleted:  {"host"},
	WebhookDisabled: {"host", "failures", "status"},
	SyncChanged:     {"change", "key", "admin"},
	SyncDeleted:     {},
	SyncFinished:    {"people", "created", "changed", "deactivated", "deleted", "held", "groups", "groups_changed", "members_added", "members_removed", "skipped"},
	SyncFailed:      {"people", "created", "changed", "deactivated", "deleted", "held", "groups", "groups_changed", "members_added", "members_removed", "skipped"},

	PolicyChanged: {"change", "version", "assignment", "role", "team", "team_name", "subject_kind", "subject", "subject_name",
		"role_before", "team_before", "team_name_before", "subject_kind_before", "subject_before", "subject_name_before",
		"added", "removed", "permissions"},
	ConnectionChanged: {"change", "changed", "type", "enabled", "version", "anybody", "certificate", "key", "signs_at"},
	ConnectionDeleted: {"type", "sessions"},
	ConnectionTested:  {"protocol", "connection"},
	SetupLinkCreated:  {"connection", "default_role", "link", "created_by", "expires"},
	SetupLinkBegun:    {"connection", "default_role", "link", "created_by", "expires"},
	SetupLinkFinished: {"connection", "default_role", "link", "created_by", "expires"},
	SetupLinkDeleted:  {"connection", "default_role", "link", "created_by", "expires"},
	DomainChanged:     {"connection", "required"},
	DomainVerified:    {},
	DomainDeleted:     {},
	TokenCreated:      {"scope", "role", "client", "connection", "access", "owner", "expires"},
	TokenRevoked:      {"scope", "role", "client", "connection", "access", "owner"},
	TokenRotated:      {"scope", "role", "client", "connection", "access", "successor", "until", "expires"},
	TokenTakenOver:    {"scope", "role", "owner"},
	TokenGranted:      {"scope", "role", "client", "connection", "access"},
	TokenRefused:      {"client"},
	ServiceChanged:    {"change", "role", "enabled", "credentials", "version"},
	ServiceDeleted:    {"role"},
	TenantCreated:     {"name", "hosts", "display_name"},
	TenantChanged:     {"changed", "hosts", "status"},
	TenantDeleted:     {"name", "hosts"},
	AuditExported:     {"format", "from", "to", "types", "records"},

	GatewayStarted:   {"version"},
	GatewayStopped:   {"version", "reason"},
	GatewayReloaded:  {},
	AlertRaised:      {"level", "since"},
	AlertCleared:     {"level", "since", "raised"},
	JournalRecovered: {"segment", "bytes", "lost"},
	JournalShortened: {"indexed", "found"},
}

// aggregation are the details by which a record says that it stands for others;
// they come from [Refusals] alone.
var aggregation = []string{"aggregated", "since", "until"}
