package recorder

import (
	"time"

	"gatehouse/identity"
)

// Request is what is kept of one request of a provisioning client.
type Request struct {
	// ID is the request's own, which its records in the journal name too.
	ID   identity.RequestID
	Time time.Time // when it came
	Took time.Duration
	Node string // that answered it
	// Token is that which it came by, empty for one that came without a good one.
	Token, TokenName string

	Method, Path string // below the host, without the query
	Kind         string // of resource: "User", "Group", or empty where it is about no one kind
	Resource     string // id of the one resource that it is about, or empty
	// Name is what whoever it is about is called, as it was sent or found, or the filter
	// by which somebody is looked for.
	Name string
	// About are ids and names of all whom it concerns, to be found by: of the names only
	// the first, of the ids all ([Erase]).
	About []string

	Status   int
	ScimType string
	Failed   bool // it, or something in it, was refused or went wrong
	Changed  bool
	// Lost is for what is no request, but stands for so many in its place that were not
	// kept: with Status 401 for such as came without a good token, else because there
	// was no room.
	Lost int

	Details
}

// Details are the parts of a [Request] that are sealed.
type Details struct {
	Caller identity.Kind     `json:"caller,omitempty"` // what it came by
	Agent  string            `json:"agent,omitempty"`  // the client's User-Agent
	Query  string            `json:"query,omitempty"`  // of the address, as it was sent
	Header map[string]string `json:"header,omitempty"` // of what was sent, the few fields that count here
	Sent   Text              `json:"sent,omitzero"`
	// Understood is what was sent in the terms of this service, line by line.
	Understood []string `json:"understood,omitempty"`
	Changes    []Change `json:"changes,omitempty"`
	Detail     string   `json:"detail,omitempty"` // of the error
	Answer     Text     `json:"answer,omitzero"`
}

// Text is a body, or the beginning of one.
type Text struct {
	Text string `json:"text,omitempty"`
	Left int64  `json:"left,omitempty"` // how many bytes of it are left out, as far as that is known
	// Unread says that it was not read to its end: there may be more of it than Left.
	Unread bool `json:"unread,omitempty"`
}

// Change is what became of one resource.
type Change struct {
	Kind       string      `json:"kind"`   // "User" or "Group"
	ID         string      `json:"id"`     // of the resource
	Name       string      `json:"name"`   // what it is called after the change, or was before it went
	Action     Action      `json:"action"` // what it comes to
	Attributes []Attribute `json:"attributes,omitempty"`
	Joined     Members     `json:"joined,omitzero"` // of a group
	Left       Members     `json:"left,omitzero"`
}

// Action is what a [Change] comes to.
type Action string

// The actions.
const (
	Created Action = "created"
	Changed Action = "changed"
	Deleted Action = "deleted"
)

// Attribute is one attribute before and after a change, each as JSON; empty: it was not
// there, or is not any more.
type Attribute struct {
	Name   string `json:"name"` // as a path: "name.givenName"
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Members are some members of a group: how many, and the first of them.
type Members struct {
	Count int      `json:"count,omitempty"`
	First []Member `json:"first,omitempty"` // at most 100
}

// Member is a person or a group in a group.
type Member struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // "User" or "Group"
	Name string `json:"name,omitempty"`
}

// The bounds of what is kept of one request.
const (
	// MaxSent is how many bytes are kept of a body that was read whole: as many as the
	// service takes.
	MaxSent = 8 << 20
	// MaxBeginning is how many are kept of one that was not.
	MaxBeginning = 64 << 10
	// MaxAnswer is how many bytes are kept of an answer.
	MaxAnswer = 16 << 10
	// MaxLines is how many lines tell what was understood.
	MaxLines = 1100
	// MaxLine is how many bytes one of them has, or a value before or after a change.
	MaxLine = 512
	// MaxChanges is how many resources' changes are told.
	MaxChanges = 1000
	// MaxAttributes is how many attributes of each.
	MaxAttributes = 100
	// MaxDetails bounds all of that together, beside what was sent: what is most of it is
	// left out then.
	MaxDetails = 512 << 10
)

const (
	maxName  = 256  // bytes of a name
	maxPath  = 1024 // bytes of an address, and of a query
	maxAbout = 4096 // bytes of the names that a request is found by
)
