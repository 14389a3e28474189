package oidcidp

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"gatehouse/demo/idp"
)

var (
	errUnknown     = errors.New("unknown or expired")
	errUnsupported = errors.New("not supported by the demo provider")
)

// storage is the library's storage, in memory. Access tokens are signed and
// carry their subject, so nothing of them is kept.
type storage struct {
	key      signingKey
	accounts idp.Accounts

	mu       sync.Mutex
	clients  map[string]Client
	requests map[string]*authRequest // by id, at most maxRequests
	codes    map[string]string       // code to request id; gone with its request
	sessions map[string]session      // by id, at most maxSessions

	tell func(context.Context, session) // the client of a session that is over
}

// session is one sign-in at one client. Signing in at the next one asks for the
// password again.
type session struct {
	id, client, subject string // id is the clients' sid
	begun               time.Time
}

var (
	_ op.Storage                        = (*storage)(nil)
	_ op.CanSetUserinfoFromRequest      = (*storage)(nil)
	_ op.CanTerminateSessionFromRequest = (*storage)(nil)
)

func newStorage(key signingKey, accounts idp.Accounts) *storage {
	return &storage{key: key, accounts: accounts, clients: map[string]Client{},
		requests: map[string]*authRequest{}, codes: map[string]string{}, sessions: map[string]session{}}
}

func (s *storage) register(c Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.clients[c.ID]; known || len(s.clients) < maxClients {
		s.clients[c.ID] = c
	}
}

// finish notes who signed in, and begins their session; false if the request is
// unknown or too old.
func (s *storage) finish(id, subject string) (session string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[id]
	if !ok || r.expired() {
		return "", false
	}
	done := *r // the library may still read the old value
	done.subject, done.authTime = subject, time.Now()
	done.session = s.begin(r.ClientID, subject)
	s.requests[id] = &done
	return done.session, true
}

// begin makes a session, and room for it; s.mu is held.
func (s *storage) begin(client, subject string) string {
	if len(s.sessions) >= maxSessions {
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.sessions)), func(a, b session) int { return a.begun.Compare(b.begun) })
		delete(s.sessions, oldest.id)
	}
	id := rand.Text()
	s.sessions[id] = session{id: id, client: client, subject: subject, begun: time.Now()}
	return id
}

// end ends a session and tells its client.
func (s *storage) end(ctx context.Context, id string) {
	s.mu.Lock()
	over, ok := s.sessions[id]
	delete(s.sessions, id)
	s.mu.Unlock()
	if ok {
		s.tell(ctx, over)
	}
}

func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if slices.Contains(r.Prompt, oidc.PromptNone) {
		return nil, oidc.ErrLoginRequired() // there never is a session here (OpenID Connect Core 1.0 §3.1.2.1)
	}
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("code_challenge with method S256 is required") // RFC 9700 §2.1.1
	}
	request := &authRequest{AuthRequest: *r, id: rand.Text(), created: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) >= maxRequests {
		s.evict()
	}
	s.requests[request.id] = request
	return request, nil
}

// evict makes room: expired requests, or the oldest.
func (s *storage) evict() {
	var oldest *authRequest
	for _, r := range s.requests {
		if r.expired() {
			s.remove(r)
		} else if oldest == nil || r.created.Before(oldest.created) {
			oldest = r
		}
	}
	if oldest != nil && len(s.requests) >= maxRequests {
		s.remove(oldest)
	}
}

func (s *storage) remove(r *authRequest) {
	delete(s.requests, r.id)
	delete(s.codes, r.code)
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.request(id)
}

func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.request(s.codes[code])
}

func (s *storage) request(id string) (op.AuthRequest, error) {
	if r, ok := s.requests[id]; ok && !r.expired() {
		return r, nil
	}
	return nil, errUnknown
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[id]
	if !ok {
		return errUnknown
	}
	delete(s.codes, r.code)
	coded := *r
	coded.code = code
	s.requests[id], s.codes[code] = &coded, id
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.requests[id]; ok {
		s.remove(r)
	}
	return nil
}

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return rand.Text(), time.Now().Add(tokenLife), nil
}

func (s *storage) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (access, refresh string, expires time.Time, err error) {
	return "", "", time.Time{}, errUnsupported
}

func (s *storage) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, op.ErrInvalidRefreshToken
}

// TerminateSessionFromRequest ends the session that the hint is of.
func (s *storage) TerminateSessionFromRequest(ctx context.Context, r *op.EndSessionRequest) (string, error) {
	if r.IDTokenHintClaims != nil {
		s.end(ctx, r.IDTokenHintClaims.SessionID)
	}
	return r.RedirectURI, nil
}

// TerminateSession is not called: see TerminateSessionFromRequest.
func (s *storage) TerminateSession(context.Context, string, string) error { return errUnsupported }

func (s *storage) RevokeToken(context.Context, string, string, string) *oidc.Error {
	return oidc.ErrInvalidRequest().WithDescription("tokens cannot be revoked here")
}

func (s *storage) GetRefreshTokenInfo(context.Context, string, string) (user, token string, err error) {
	return "", "", op.ErrInvalidRefreshToken
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey(s.key)}, nil }

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.clients[id]
	if !ok {
		return nil, errUnknown
	}
	return relyingParty{c}, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.clients[id]
	if !ok {
		return errUnknown
	}
	return c.checkSecret(secret)
}

func (s *storage) SetUserinfoFromScopes(_ context.Context, into *oidc.UserInfo, subject, _ string, scopes []string) error {
	return s.userinfo(into, subject, scopes)
}

func (s *storage) SetUserinfoFromToken(_ context.Context, into *oidc.UserInfo, _, subject, _ string) error {
	return s.userinfo(into, subject, []string{oidc.ScopeOpenID, oidc.ScopeEmail, oidc.ScopeProfile, "groups"})
}

// SetUserinfoFromRequest names the session in the ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, into *oidc.UserInfo, r op.IDTokenRequest, _ []string) error {
	if signIn, ok := r.(*authRequest); ok {
		into.AppendClaims("sid", signIn.session)
	}
	return nil
}

// userinfo fills the claims of the scopes (OpenID Connect Core 1.0 §5.4).
func (s *storage) userinfo(into *oidc.UserInfo, subject string, scopes []string) error {
	account, ok := s.accounts.BySubject(subject)
	if !ok {
		return errUnknown
	}
	into.Subject = subject
	for _, scope := range scopes {
		switch scope {
		case oidc.ScopeEmail:
			into.Email, into.EmailVerified = account.Email, true
		case oidc.ScopeProfile:
			into.Name, into.PreferredUsername = account.Name, account.Email
			into.AppendClaims("groups", account.Groups)
		case "groups":
			into.AppendClaims("groups", account.Groups)
		}
	}
	return nil
}

func (s *storage) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errUnsupported
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{}, nil
}

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnsupported
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errUnsupported
}

func (s *storage) Health(context.Context) error { return nil }
