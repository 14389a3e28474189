package authn

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

const (
	// deviceCodeLife is how long a program may wait for its person, and deviceCodeKept
	// how long it is told after that what became of it.
	deviceCodeLife = 10 * time.Minute
	deviceCodeKept = 10 * time.Minute
	// How many programs wait at once, in a tenant and from a client network. One more
	// drives out the oldest, of its own network before all others ([deviceCodes.makeRoom]).
	maxWaiting        = 2048
	maxWaitingNetwork = 64
	// pollPace is how long a program waits between two polls. Who does not waits
	// longer from then on (RFC 8628 §3.5), by pollPenalty each time.
	pollPace    = 5 * time.Second
	pollPenalty = 5 * time.Second
	maxPollPace = time.Minute
	// pollJitter is how much earlier than it left a poll may arrive.
	pollJitter = time.Second
	// How many codes that there are not a person, and a network, may enter within
	// guessLife (RFC 8628 §5.1).
	guessLife         = 10 * time.Minute
	maxGuesses        = 10
	maxGuessesNetwork = 100
	// giveBackTime bounds what is done for a program that has left.
	giveBackTime = 10 * time.Second
)

// The states of a program that asks.
const (
	askPending = "pending"
	askAllowed = "allowed"
	askDenied  = "denied"
	askUsed    = "used"
)

// asking is a program that asks to be let in.
type asking struct {
	client    string
	host      string // as it says
	ip        netip.Addr
	userAgent string
	state     string
	allowedBy identity.SessionID
	shown     strength // by whoever has allowed it
	created   time.Time
	expires   time.Time
	pace      time.Duration // between two polls
	polled    time.Time     // zero: not yet
}

// strength is how somebody had authenticated when they allowed a program. That may
// have been nobody but whoever had stolen a cookie: what the person proves after that,
// upon which their session is renewed, is nothing of the program's.
type strength struct {
	amr              []string
	acr              string
	authAt, factorAt time.Time // zero: not known, and none was shown
}

func strengthOf(p *identity.Principal) strength {
	return strength{amr: p.AMR, acr: p.ACR, authAt: p.AuthTime, factorAt: p.FactorTime}
}

// hasty reports whether a poll at this moment comes too soon.
func (a *asking) hasty(now time.Time) bool { return a.polled.Add(a.pace - pollJitter).After(now) }

// deviceCodes keeps the programs that ask, of every tenant. All of it is in SQL, so
// that a person and their program may come to different nodes.
type deviceCodes struct {
	stores Stores
	now    func() time.Time
}

func userHash(code userCode) []byte { return hash("user-code", string(code)) }

func deviceHash(code string) []byte { return hash("device-code", code) }

// put keeps a program that asks, and gives it its codes.
func (d *deviceCodes) put(ctx context.Context, tenant identity.TenantID, a asking) (device string, user userCode, err error) {
	device, now := newToken(), d.now()
	network := networkHash(ctx)
	err = d.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if err := d.makeRoom(ctx, tx, now, network); err != nil {
			return err
		}
		for range 4 {
			user = newUserCode()
			n, err := tx.Exec(ctx, `INSERT INTO device_codes (device_hash, user_hash, network_hash, client, host, ip, user_agent,
					state, allowed_by, pace, polled_at, hasty, created_at, expires_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, 0, FALSE, $10, $11) ON CONFLICT (user_hash) DO NOTHING`,
				deviceHash(device), userHash(user), network, a.client, a.host, a.ip.String(), a.userAgent,
				askPending, pollPace.Milliseconds(), store.Millis(now), store.Millis(now.Add(deviceCodeLife)))
			if err != nil || n > 0 { // otherwise the code is another's, of 25 billion
				return err
			}
		}
		return errors.New("authn: no user code is free")
	})
	if err != nil {
		return "", "", storeDown(err)
	}
	return device, user, nil
}

func networkHash(ctx context.Context) []byte {
	return hash("network", httpkit.ClientNetwork(httpkit.RequestFrom(ctx).ClientIP).String())
}

// makeRoom drives out what is over before what still waits, and that before what a
// person has allowed: what strangers ask for takes nothing from them.
func (d *deviceCodes) makeRoom(ctx context.Context, tx *store.Tx, now time.Time, network []byte) error {
	if err := purge(ctx, tx, "device_codes", now.Add(-deviceCodeKept)); err != nil {
		return err
	}
	own, err := store.One(ctx, tx, store.Scalar[int64], `SELECT count(*) FROM device_codes WHERE network_hash = $1`, network)
	if err != nil {
		return err
	}
	const first = ` ORDER BY CASE WHEN expires_at <= $2 OR state IN ('used', 'denied') THEN 0 ELSE 1 END,
		network_hash = $1 DESC, CASE WHEN state = 'pending' THEN 0 ELSE 1 END, expires_at LIMIT $3)`
	if own >= maxWaitingNetwork {
		_, err = tx.Exec(ctx, `DELETE FROM device_codes WHERE device_hash IN (SELECT device_hash FROM device_codes WHERE network_hash = $1`+first,
			network, store.Millis(now), own-maxWaitingNetwork+1)
		return err
	}
	all, err := store.One(ctx, tx, store.Scalar[int64], `SELECT count(*) FROM device_codes`)
	if err != nil || all < maxWaiting {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM device_codes WHERE device_hash IN (SELECT device_hash FROM device_codes`+first, network, store.Millis(now), all-maxWaiting+1)
	return err
}

const askingColumns = `client, host, ip, user_agent, state, allowed_by, amr, acr, auth_at, factor_at, created_at, expires_at, pace, polled_at`

func scanAsking(row store.Row) (a asking, err error) {
	var ip, amr string
	var auth, factor, created, expires, pace, polled int64
	if err := row.Scan(&a.client, &a.host, &ip, &a.userAgent, &a.state, &a.allowedBy, &amr, &a.shown.acr, &auth, &factor,
		&created, &expires, &pace, &polled); err != nil {
		return asking{}, err
	}
	a.ip, _ = netip.ParseAddr(ip) // what is not known is shown as that
	a.shown.amr, a.shown.authAt, a.shown.factorAt = strings.Fields(amr), store.Time(auth), store.Time(factor)
	a.created, a.expires, a.pace, a.polled = store.Time(created), store.Time(expires), time.Duration(pace)*time.Millisecond, store.Time(polled)
	return a, nil
}

// poll says what became of a program that asks. One that is allowed is so once:
// whoever is told has to make the session, or give it back ([deviceCodes.giveBack]).
func (d *deviceCodes) poll(ctx context.Context, tenant identity.TenantID, client, code string) (asking, error) {
	unknown := refuseProgram(invalidGrant, unsolicited, "There is no such device code here.")
	if len(code) != tokenLength {
		return asking{}, unknown
	}
	now, id := d.now(), deviceHash(code)
	// Anybody can send what there is not, which must not take the tenant's lock.
	var a asking
	err := d.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		a, err = store.One(ctx, tx, scanAsking, `SELECT `+askingColumns+` FROM device_codes WHERE device_hash = $1`, id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return asking{}, unknown
	case err != nil:
		return asking{}, storeDown(err)
	case a.client != client:
		return asking{}, refuseProgram(invalidGrant, otherClient, "The device code was given to another client.")
	}
	hasty := a.hasty(now)
	// Nor does a flood of what there is: from some poll on it cannot get slower.
	if (a.state == askPending || a.state == askAllowed) && (!hasty || a.pace < maxPollPace) {
		if a, hasty, err = d.pace(ctx, tenant, id, a, now); err != nil {
			return asking{}, err
		}
	}
	switch {
	case a.state == askUsed:
		return a, refuseProgram(invalidGrant, replayed, "The device code was used before.")
	case a.state == askDenied:
		return a, refuseProgram(accessDenied, denied, "The person has denied it.")
	case !a.expires.After(now):
		return a, refuseProgram(expiredToken, stepExpired, "Nobody has allowed it within %v.", deviceCodeLife)
	case hasty:
		return a, refuseProgram(slowDown, tooOften, "The program asks more often than it was told to.")
	case a.state == askPending:
		return a, errPending
	}
	return a, nil
}

// pace notes a poll, and takes what is allowed unless it comes too soon.
func (d *deviceCodes) pace(ctx context.Context, tenant identity.TenantID, id []byte, before asking, now time.Time) (a asking, hasty bool, err error) {
	err = d.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		hasty, err = store.One(ctx, tx, store.Scalar[bool], `UPDATE device_codes SET polled_at = $1, hasty = polled_at + pace > $2,
				pace = CASE WHEN polled_at + pace > $2 AND pace < $3 THEN pace + $4 ELSE pace END
			WHERE device_hash = $5 RETURNING hasty`,
			store.Millis(now), store.Millis(now.Add(pollJitter)), maxPollPace.Milliseconds(), pollPenalty.Milliseconds(), id)
		if err != nil {
			return err
		}
		if !hasty {
			a, err = store.One(ctx, tx, scanAsking, `UPDATE device_codes SET state = $1 WHERE device_hash = $2 AND state = $3 AND expires_at > $4
				RETURNING `+askingColumns, askUsed, id, askAllowed, store.Millis(now))
			if !errors.Is(err, store.ErrNoRows) {
				a.state = askAllowed // as it was until now
				return err
			}
		}
		a, err = store.One(ctx, tx, scanAsking, `SELECT `+askingColumns+` FROM device_codes WHERE device_hash = $1`, id)
		return err
	})
	if errors.Is(err, store.ErrNoRows) { // driven out meanwhile
		before.expires = now
		return before, false, nil
	}
	if err != nil {
		return asking{}, false, storeDown(err)
	}
	return a, hasty, nil
}

// giveBack has a program that was told it is allowed ask once more: its session
// could not be made for want of something that may be there again, which may be the
// program's own patience.
func (d *deviceCodes) giveBack(ctx context.Context, tenant identity.TenantID, code string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	return d.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE device_codes SET state = $1 WHERE device_hash = $2 AND state = $3`, askAllowed, deviceHash(code), askUsed)
		return err
	})
}

var errGuesses = fault.New(fault.TooMany, "too-many-codes", "Too many codes were entered that do not exist. Wait a few minutes, then start again in your program.")

// entered finds the program whose code somebody has entered. Codes that there are
// not are counted, before anybody learns whether there is one.
func (d *deviceCodes) entered(ctx context.Context, tenant identity.TenantID, person identity.UserID, code userCode) (a asking, err error) {
	now := d.now()
	counters := []struct {
		who  []byte
		most int64
	}{{hash("guesses", string(person)), maxGuesses}, {hash("guesses of network", string(networkHash(ctx))), maxGuessesNetwork}}
	over, known := false, false
	err = d.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) error { // a flood of them takes no lock
		for _, c := range counters {
			n, err := store.One(ctx, tx, store.Scalar[int64], `SELECT count(*) FROM device_guesses WHERE who_hash = $1 AND expires_at > $2 AND wrong >= $3`,
				c.who, store.Millis(now), c.most)
			if err != nil {
				return err
			}
			over = over || n > 0
		}
		return nil
	})
	if err != nil {
		return asking{}, storeDown(err)
	}
	if !over {
		err = d.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
			if err := purge(ctx, tx, "device_guesses", now); err != nil {
				return err
			}
			for _, c := range counters {
				n, err := store.One(ctx, tx, store.Scalar[int64], `INSERT INTO device_guesses (who_hash, wrong, expires_at) VALUES ($1, 1, $2)
					ON CONFLICT (who_hash) DO UPDATE SET wrong = device_guesses.wrong + 1 RETURNING wrong`, c.who, store.Millis(now.Add(guessLife)))
				if err != nil {
					return err
				}
				over = over || n > c.most
			}
			if over {
				return nil
			}
			a, err = store.One(ctx, tx, scanAsking, `SELECT `+askingColumns+` FROM device_codes WHERE user_hash = $1`, userHash(code))
			if errors.Is(err, store.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			known = true
			for _, c := range counters { // who has guessed nothing wrong leaves nothing behind
				if _, err := tx.Exec(ctx, `DELETE FROM device_guesses WHERE who_hash = $1 AND wrong = 1`, c.who); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `UPDATE device_guesses SET wrong = wrong - 1 WHERE who_hash = $1`, c.who); err != nil {
					return err
				}
			}
			return nil
		})
	}
	switch {
	case err != nil:
		return asking{}, storeDown(err)
	case over:
		f := *errGuesses
		f.RetryAfter = guessLife
		return asking{}, &f
	case !known:
		return asking{}, Refuse(codeUnknown, "No program shows the code that was entered.")
	}
	return a, d.stillAsks(a)
}

// find is [deviceCodes.entered] for a code that was found there before.
func (d *deviceCodes) find(ctx context.Context, tenant identity.TenantID, code userCode) (a asking, err error) {
	err = d.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		a, err = store.One(ctx, tx, scanAsking, `SELECT `+askingColumns+` FROM device_codes WHERE user_hash = $1`, userHash(code))
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return asking{}, Refuse(codeUnknown, "The program asks no more.")
	case err != nil:
		return asking{}, storeDown(err)
	}
	return a, d.stillAsks(a)
}

// stillAsks refuses what was answered already, or too late.
func (d *deviceCodes) stillAsks(a asking) error {
	switch {
	case a.state != askPending:
		return Refuse(replayed, "The program's code was answered before.")
	case !a.expires.After(d.now()):
		return Refuse(stepExpired, "The program asked more than %v ago.", deviceCodeLife)
	}
	return nil
}

// decide writes down what a person says, and how they had authenticated when they
// did; false if it is too late, or was said before.
func (d *deviceCodes) decide(ctx context.Context, code userCode, state string, by *identity.Principal) (bool, error) {
	var n int64
	shown := strengthOf(by)
	err := d.stores.Tenant(by.Tenant).Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(ctx, `UPDATE device_codes SET state = $1, allowed_by = $2, amr = $3, acr = $4, auth_at = $5, factor_at = $6
			WHERE user_hash = $7 AND state = $8 AND expires_at > $9`,
			state, string(by.Session), strings.Join(shown.amr, " "), shown.acr, store.Millis(shown.authAt), store.Millis(shown.factorAt),
			userHash(code), askPending, store.Millis(d.now()))
		return err
	})
	if err != nil {
		return false, storeDown(err)
	}
	return n > 0, nil
}

// CarryAllowed has what was allowed in a session be so by the one that takes its
// place, in the transaction that makes that: it ends with it from then on. What was
// proved for that one it does not have ([strength]).
func CarryAllowed(ctx context.Context, tx *store.Tx, old, made identity.SessionID) error {
	_, err := tx.Exec(ctx, `UPDATE device_codes SET allowed_by = $1 WHERE allowed_by = $2`, made, old)
	return err
}

// allowedBy is the session in which a program was allowed, or the one that has taken
// its place by now; "" if nobody knows.
func (d *deviceCodes) allowedBy(ctx context.Context, tenant identity.TenantID, code string) (by identity.SessionID, err error) {
	err = d.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		by, err = store.One(ctx, tx, store.Scalar[identity.SessionID], `SELECT allowed_by FROM device_codes WHERE device_hash = $1`, deviceHash(code))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return "", nil
	}
	return by, storeDown(err)
}
