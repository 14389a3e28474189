package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// run is one reading of one account, from its beginning to its end.
type run struct {
	service *Service
	tenant  identity.TenantID
	record  // as it was at the beginning
	caller  *identity.Principal
	api     *reader
	began   time.Time
	place   *place // nil: nobody waits for it

	chosen *chosen // who is in the groups that were chosen; nil: groups do not matter
	again  *chosen // the same, read a second time; nil: it was not needed
	counts SyncCounts
	held   string // what the brake says; empty: it holds nobody
	note   string // a sentence for the admin of a reading that went well
}

// read reads everything and has it written. The order is one that needs no second look:
// groups that were chosen say who is brought, who has left leaves as soon as that is
// known, and groups have members who are there.
func (r *run) read(ctx context.Context) error {
	file, err := r.service.Keys.Open(ctx, r.tenant, sealPurpose, r.sealed)
	if err != nil {
		return err
	}
	k, err := readKey(file, r.service.Token)
	if err != nil {
		return err
	}
	r.api = r.service.reader(k, r.spec.Admin)
	r.api.place = r.place
	if len(r.spec.Groups) > 0 {
		if r.chosen, err = r.choose(ctx); err != nil {
			return err
		}
	}
	nobody := true
	err = r.api.users(ctx, customer(&r.spec.Settings), func(people []user) error {
		if len(people) == 0 {
			return nil
		}
		nobody = false
		if err := r.sameAccount(ctx, people[0].Customer); err != nil {
			return err
		}
		return r.bring(ctx, people)
	})
	if err == nil && nobody {
		err = fault.New(fault.Unavailable, "google-nobody", "Google says that there is nobody in the account. Nobody counts as gone because of it.")
	}
	for _, step := range []func(context.Context) error{r.managers, r.missing, r.bringGroups, r.fillGroups, r.missingGroups} {
		if err == nil {
			err = step(ctx)
		}
	}
	return err
}

// sameAccount refuses another account than the one that was read before: everybody of
// that one would be gone.
func (r *run) sameAccount(ctx context.Context, account string) error {
	if account == r.account || account == "" {
		return nil
	}
	if r.account != "" {
		return fault.New(fault.Conflict, "google-other-account", "This is another Google account (%s) than the one that was read before (%s). Remove the synchronisation and set it up anew, if that is meant.", clipped(account), r.account)
	}
	if !isID(account) {
		return errAnswer(nil, "the customer id is none")
	}
	r.account = account
	return r.write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE google_sync SET account = $1 WHERE id = 1`, account)
		return err
	})
}

// end keeps how it went, once that is recorded. A reading that was taken over, or that
// was cut off by the gateway's own end or by its tenant's suspension, leaves that to
// whoever goes on.
func (r *run) end(ctx context.Context, failure error) (*SyncOutcome, error) {
	if errors.Is(failure, errLost) {
		return nil, nil
	}
	cut := ctx.Err() != nil || errors.Is(failure, errNotServed)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	if cut {
		return nil, r.release(ctx, r.began, r.outcome)
	}
	o := &SyncOutcome{Result: Done, Began: r.began, Ended: r.service.now(), Counts: r.counts, Message: r.note}
	e := r.service.event(audit.Cause{Actor: audit.ActorOf(r.caller)}, r.tenant, audit.SyncFinished, r.spec.Account)
	switch {
	case errors.Is(failure, context.DeadlineExceeded):
		failure = fault.Wrap(failure, fault.Unavailable, "google-too-long", "The reading took longer than %v. The next one goes on.", longestRun)
		fallthrough
	case failure != nil:
		r.service.Log.WarnContext(ctx, "an account could not be read", "tenant", r.tenant, "error", failure)
		o.Result = Failed
		o.Code, o.Message = fault.As(failure).Recorded()
		if o.Failing = &o.Began; r.outcome != nil && r.outcome.Failing != nil {
			o.Failing = r.outcome.Failing
		}
		e.Type, e.Outcome = audit.SyncFailed, audit.Failed
	case r.held != "":
		o.Result, o.Code, o.Message = Held, "mass-change-held", r.held
	}
	e.Reason, e.Message, e.Details = o.Code, o.Message, r.counts.details()
	receipt, err := r.service.Journal.Commit(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("google: journal %s: %w", e.Type, err)
	}
	o.Event = receipt.Event()
	r.outcome = o
	r.service.note(r.tenant, &r.record)
	return o, r.release(ctx, o.Ended.Add(r.spec.interval()), o)
}

// release lets others read, not before a moment, unless somebody has asked for it
// meanwhile.
func (r *run) release(ctx context.Context, due time.Time, o *SyncOutcome) error {
	var text []byte
	if o != nil {
		var err error
		if text, err = json.Marshal(o); err != nil {
			return err
		}
	}
	err := r.keep(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE google_sync SET holder = '', due_at = CASE WHEN due_at > $1 THEN due_at ELSE $2 END, outcome = $3 WHERE id = 1`,
			store.Millis(r.began), store.Millis(due), string(text))
		return err
	})
	if errors.Is(err, errLost) {
		return nil
	}
	return err
}

// request makes one SCIM request, as long as this reading is the one that may: what it has
// read may be older than what another one has written since. So nothing of it comes true
// after that, however late. A failure of ours is an error,
// anything else an answer. It comes from inside, where no gate stands before a tenant that
// is suspended.
func (r *run) request(ctx context.Context, method, path string, body, into any) (status int, err error) {
	if err := r.served(); err != nil {
		return 0, err
	}
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	if err := r.holds(ctx); err != nil {
		return 0, err
	}
	status, answer, err := r.service.SCIM.Do(directory.WithFence(ctx, r.fence), r.caller, method, path, data)
	if err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if status >= http.StatusInternalServerError {
		return 0, r.unavailable(ctx, detailOf(answer))
	}
	if into != nil && len(answer) > 0 {
		err = json.Unmarshal(answer, into)
	}
	return status, err
}

// meets notes that the brake holds a change of a group, by which people would have no role
// any more. Groups are tried all the same: most changes of them are none of that kind.
func (r *run) meets(status int, detail string) {
	if status == http.StatusTooManyRequests || status == http.StatusForbidden {
		r.held = detail
	}
}

// unavailable is for what was not written: the directory is not there, or this reading is
// not the one any more that may.
func (r *run) unavailable(ctx context.Context, detail string) error {
	if err := r.holds(ctx); err != nil {
		return err
	}
	return fault.New(fault.Unavailable, "directory-unavailable", "The directory cannot be written at the moment: %s", detail)
}

// scimError is a refusal (RFC 7644 §3.12).
type scimError struct {
	Detail string `json:"detail"`
}

func detailOf(answer []byte) string {
	var e scimError
	_ = json.Unmarshal(answer, &e)
	return e.Detail
}

// operation is one of a Bulk (RFC 7644 §3.7).
type operation struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	BulkID string `json:"bulkId,omitempty"`
	Data   any    `json:"data,omitempty"`
}

// result is what became of it.
type result struct {
	Location string    `json:"location"`
	Status   string    `json:"status"`
	Response scimError `json:"response"`
}

func (o *result) good() bool { return strings.HasPrefix(o.Status, "2") }

// id is of what it has made.
func (o *result) id() string { return o.Location[strings.LastIndexByte(o.Location, '/')+1:] }

// bulk does operations, up to the failAfter-th that fails (0: all), and gives the results
// of those that were done.
func (r *run) bulk(ctx context.Context, operations []operation, failAfter int) ([]result, error) {
	var done struct {
		Operations []result `json:"Operations"`
		scimError
	}
	status, err := r.request(ctx, http.MethodPost, "/Bulk", object{"schemas": []string{bulkURN}, "failOnErrors": failAfter, "Operations": operations}, &done)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK || len(done.Operations) == 0 || len(done.Operations) > len(operations) {
		return nil, fmt.Errorf("google: bulk: status %d, %d of %d results: %s", status, len(done.Operations), len(operations), done.Detail)
	}
	for _, o := range done.Operations {
		if strings.HasPrefix(o.Status, "5") {
			return nil, r.unavailable(ctx, o.Response.Detail)
		}
	}
	return done.Operations, nil
}

// patchOf is the body of a PATCH (RFC 7644 §3.5.2).
func patchOf(operations ...object) object {
	return object{"schemas": []string{patchURN}, "Operations": operations}
}

// piece is how many go into one Bulk, or one question to SQL.
const piece = 100

// inPieces does something with a list, so many at a time.
func inPieces[T any](list []T, size int, do func([]T) error) error {
	for part := range slices.Chunk(list, size) {
		if err := do(part); err != nil {
			return err
		}
	}
	return nil
}
