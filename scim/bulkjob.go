package scim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/scim/resource"
)

// maxTogether is how many people are made in one transaction at most: other changes
// of the tenant wait for it.
const maxTogether = 100

// job does the operations of a Bulk. They are done in their order, but for this:
// what an operation refers to is made before it. Where that goes in a circle, one
// is made without what it refers to, which is added when the circle is closed; if
// it never is, what was made of it is taken away again (RFC 7644 §3.7.1).
type job struct {
	call       *call
	operations []*operation
	named      map[string]*operation // those that make something, by their bulkId
	failAfter  int                   // the client's failOnErrors; 0: never
	failed     int
	away       error // the parts that every operation needs are out of reach
	// held are those of circles that are not closed, in the order in which they
	// were made.
	held []*operation
}

// progress is how far an operation has come.
type progress struct {
	stage stage
	depth int  // how many others wait for it, while it is done
	low   int  // the depth of the first of them that it waits for itself
	open  bool // it was made without something that it refers to

	kind   *resource.Kind
	id     string // of the resource
	etag   string
	status int
}

type stage int

const (
	waiting stage = iota
	begun
	made // and held
	ended
)

// errStopped ends what is not to be begun, or done without being asked for.
var errStopped = errors.New("scim: the bulk request has ended")

var (
	errCircle = scimerrors.ScimError{Status: http.StatusConflict, Detail: "This operation and another one refer to each other, and the other one failed."}
	errLeft   = scimerrors.ScimError{Status: http.StatusInternalServerError, Detail: "What this operation made refers to something that could not be made, and could not be taken away again."}
)

// run does those of the operations that wait, in their order.
func (j *job) run(ctx context.Context, list []*operation, depth int) {
	for len(list) > 0 && !j.over(ctx) {
		n := j.createPeople(ctx, list)
		if n == 0 {
			if n = 1; list[0].stage == waiting {
				j.perform(ctx, list[0], depth)
			}
		}
		j.call.whole.hold()
		list = list[n:]
	}
}

// over reports whether nothing more is to be begun: too much has failed, or the
// client has gone.
func (j *job) over(ctx context.Context) bool {
	return ctx.Err() != nil || j.failAfter > 0 && j.failed >= j.failAfter
}

// perform does one operation, and before it what it refers to.
func (j *job) perform(ctx context.Context, o *operation, depth int) {
	o.stage, o.depth, o.low = begun, depth, depth
	mark := len(j.held)
	err := j.try(ctx, o)
	o.drop()
	if err != nil {
		j.fail(ctx, o, err)
		j.takeBack(ctx, j.held[mark:], nil, nil)
		j.held = j.held[:mark]
		return
	}
	o.stage = made
	j.held = append(j.held, o)
	for _, other := range j.held[mark:] { // what it waits for, all that it is in a circle with waits for
		other.low = min(other.low, o.low)
	}
	if o.low == depth {
		circle := slices.Clone(j.held[mark:])
		j.held = j.held[:mark]
		j.close(ctx, circle)
	}
}

func (j *job) try(ctx context.Context, o *operation) error {
	if j.away != nil {
		return j.away
	}
	// What is wrong with its references or its data is said once it is admitted.
	wrong := j.makeNeeded(ctx, o)
	if errors.Is(wrong, errStopped) {
		return wrong
	}
	body, unreadable := o.body()
	path := o.path
	if wrong == nil {
		path = references(j.id).inPath(path)
		o.replace(body, j.id)
	}
	e, id, err := j.admit(ctx, o, path)
	if err != nil {
		return err
	}
	if wrong != nil {
		return wrong
	}
	c := j.callOf(o, e, id)
	c.read = func() (map[string]any, error) { return body, unreadable }
	r, err := e.handle(c, ctx)
	if err != nil {
		return err
	}
	o.status, o.id, o.etag = r.status, cmp.Or(r.id, id), r.etag
	return nil
}

// makeNeeded has what an operation refers to made before it.
func (j *job) makeNeeded(ctx context.Context, o *operation) error {
	body, _ := o.body()
	needed, err := j.needed(o, body)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(needed, func(maker *operation) bool { return maker.stage == waiting }) {
		o.drop() // of a long chain there is one in memory at a time
		j.run(ctx, needed, o.depth+1)
	}
	return o.wait(needed)
}

// needed are the operations that make what another one refers to, each once.
func (j *job) needed(o *operation, body map[string]any) ([]*operation, error) {
	var needed []*operation
	var unknown error
	found := make(map[string]bool)
	find := references(func(bulkID string) string {
		if maker := j.named[bulkID]; maker != nil && !found[bulkID] {
			needed, found[bulkID] = append(needed, maker), true
		} else if maker == nil {
			unknown = resource.Bad(scimerrors.ScimTypeInvalidValue, "No operation of this request makes what the bulkId %.64q refers to.", bulkID)
		}
		return bulkPrefix + bulkID
	})
	find.inPath(o.path)
	o.replace(body, find)
	return needed, unknown
}

// wait notes what becomes of an operation by what it refers to.
func (o *operation) wait(needed []*operation) error {
	for _, maker := range needed {
		switch {
		case maker.stage == begun:
			o.open, o.low = true, min(o.low, maker.depth)
		case maker.stage == made:
			o.low = min(o.low, maker.low)
		case maker.result == nil:
			return errStopped
		case maker.id == "":
			return scimerrors.ScimError{Status: http.StatusConflict,
				Detail: fmt.Sprintf("This operation refers to what the one with the bulkId %.64q was to make, which failed.", maker.bulkID)}
		}
	}
	return nil
}

// id is what stands for a bulkId; "" as long as nothing is made.
func (j *job) id(bulkID string) string { return j.named[bulkID].id }

// admit is the way of every call ([Service.serve]) for one that is inside another.
func (j *job) admit(ctx context.Context, o *operation, path string) (*endpoint, string, error) {
	w := &j.call.whole
	event := w.event
	event.Method, event.Path, event.Route = o.method, root+path, root
	e, id, routeErr := w.match(o.method, root+path)
	if e != nil {
		event.Route = e.pattern
	}
	if err := j.call.service.admit(ctx, j.call.tenant, w.caller, o.method, root+path, &event); err != nil {
		return nil, "", err
	}
	if routeErr == nil && (e.kind == nil || o.method == http.MethodPost && path != e.kind.Endpoint) {
		routeErr = errNotFound() // an address of the service, but not one of a resource
	}
	if routeErr != nil {
		return nil, "", routeErr
	}
	o.kind = e.kind
	if o.method != http.MethodPost && !strings.HasPrefix(id, bulkPrefix) { // which is the id of nothing
		o.id = id
	}
	return e, id, nil
}

// callOf is an operation as a call of its own.
func (j *job) callOf(o *operation, e *endpoint, id string) *call {
	c := *j.call
	c.kind, c.method, c.id, c.ifMatch, c.ifNone = c.kinds.Of(e.kind), e.method, id, o.version, ""
	c.query, c.projection, c.note = nil, resource.Projection{}, nil // of which the whole has one
	return &c
}

// createPeople does the operations at the beginning of the list together, as far as
// they make people and refer to nothing that is not made. It gives how many; 0 if
// there is none that it can do.
func (j *job) createPeople(ctx context.Context, list []*operation) int {
	if j.away != nil {
		return 0
	}
	var people []directory.User
	size := 0
	for _, o := range list[:min(len(list), maxTogether)] {
		if size += len(o.data); size > maxBody {
			break
		}
		u, ok := j.person(o)
		if !ok {
			break
		}
		people = append(people, u)
	}
	if len(people) < 2 {
		return 0
	}
	var refused error
	for i, o := range list[:len(people)] {
		if _, _, refused = j.admit(ctx, o, o.path); refused != nil {
			people = people[:i]
			break
		}
	}
	if len(people) == 0 {
		j.fail(ctx, list[0], refused)
		return 1
	}
	left := 0 // how many may fail
	if j.failAfter > 0 {
		left = j.failAfter - j.failed
	}
	for i, m := range j.call.service.directory.CreateUsers(ctx, j.call.cause, j.call.tenant, people, left) {
		o := list[i]
		o.drop()
		if m.Err != nil {
			j.fail(ctx, o, m.Err)
			continue
		}
		o.status, o.id, o.etag = http.StatusCreated, string(m.User.ID), etag(m.User.Version)
		j.succeed(o)
	}
	if refused != nil && !j.over(ctx) {
		j.fail(ctx, list[len(people)], refused)
		return len(people) + 1
	}
	return len(people)
}

// person is who is made by an operation; false if it must be done by itself.
func (j *job) person(o *operation) (directory.User, bool) {
	if o.stage != waiting || o.method != http.MethodPost || o.path != resource.User.Endpoint {
		return directory.User{}, false
	}
	body, err := o.body()
	if err != nil {
		return directory.User{}, false
	}
	needed, err := j.needed(o, body)
	if err != nil || slices.ContainsFunc(needed, func(maker *operation) bool { return maker.stage != ended || maker.id == "" }) {
		return directory.User{}, false
	}
	o.replace(body, j.id)
	kinds := j.call.kinds
	c := &call{kinds: kinds, kind: kinds.User, read: func() (map[string]any, error) { return body, nil }}
	u, err := c.readUser()
	return u, err == nil
}

// close ends a circle, or what is none: whatever was left out is added.
func (j *job) close(ctx context.Context, circle []*operation) {
	ctx = context.WithoutCancel(ctx)
	for _, o := range circle {
		if !o.open {
			continue
		}
		j.call.whole.hold()
		if err := j.complete(ctx, o); err != nil {
			j.takeBack(ctx, circle, o, err)
			return
		}
	}
	for _, o := range circle {
		j.succeed(o)
	}
}

// complete replaces what an operation made by what it was to make.
func (j *job) complete(ctx context.Context, o *operation) error {
	defer o.drop()
	body, err := o.body()
	if err != nil {
		return err
	}
	o.replace(body, j.id)
	e, id, err := j.call.whole.match(http.MethodPut, root+o.kind.Endpoint+"/"+o.id)
	if err != nil {
		return err
	}
	c := j.callOf(o, e, id)
	c.ifMatch = o.etag
	c.read = func() (map[string]any, error) { return body, nil }
	r, err := e.handle(c, ctx)
	if err == nil {
		o.etag = r.etag
	}
	return err
}

// takeBack undoes what was made of a circle that cannot be closed, because of one of
// its operations that failed, or of another.
func (j *job) takeBack(ctx context.Context, circle []*operation, culprit *operation, why error) {
	ctx = context.WithoutCancel(ctx)
	for _, o := range slices.Backward(circle) {
		err := error(errCircle)
		if o == culprit {
			err = why
		}
		j.call.whole.hold()
		var gone error
		if o.kind == resource.User {
			gone = j.call.service.directory.TakeBackUser(ctx, j.call.cause, j.call.tenant, identity.UserID(o.id))
		} else {
			gone = j.call.service.directory.TakeBackGroup(ctx, j.call.cause, j.call.tenant, identity.GroupID(o.id))
		}
		if gone != nil {
			j.note(ctx, gone)
			err = errLeft
		}
		o.id = ""
		j.fail(ctx, o, err)
	}
}

func (j *job) succeed(o *operation) {
	o.stage = ended
	o.result = &result{Location: j.call.location(o.kind, o.id), Method: o.method, BulkID: o.bulkID, Version: o.etag, Status: strconv.Itoa(o.status)}
}

// fail ends an operation with an error, unless it was stopped, or nobody waits for it
// any more.
func (j *job) fail(ctx context.Context, o *operation, err error) {
	o.stage = ended
	if errors.Is(err, errStopped) || ctx.Err() != nil {
		return
	}
	j.note(ctx, err)
	e := describe(err)
	if e.Status == http.StatusTooManyRequests { // a result has no Retry-After (RFC 6585 §4)
		e.Detail += " Try again in " + retryAfter(err) + " seconds."
	}
	j.failed++
	o.result = &result{Method: o.method, BulkID: o.bulkID, Status: strconv.Itoa(e.Status), Response: e}
	if o.method != http.MethodPost && o.id != "" { // RFC 7644 §3.7: all but a POST that failed
		o.result.Location = j.call.location(o.kind, o.id)
	}
}

// away are the codes of what each of the rest would wait for in vain.
var away = []string{"journal-unavailable", "store-unavailable"}

// note logs a failure of ours, and keeps one by which none of the rest can be done.
func (j *job) note(ctx context.Context, err error) {
	if j.away != nil {
		return
	}
	noteFailure(ctx, describe(err), err)
	if slices.Contains(away, fault.As(err).Code) {
		j.away = err
	}
}
