package api

import (
	"context"
	"iter"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gatehouse/audit"
	"gatehouse/identity"
)

type eventsInput struct {
	Paging
	Span
	Outcome audit.Outcome `query:"outcome" enum:"success,refused,failed"`
	Actor   string        `query:"actor" maxLength:"128" doc:"Id of a person, token or operator"`
	Target  string        `query:"target" maxLength:"128" doc:"Id of what it was done to"`
	Session string        `query:"session" maxLength:"64"`
	Request string        `query:"request" maxLength:"64" doc:"Id of a request"`
	IP      string        `query:"ip" maxLength:"64"`
	Search  string        `query:"search" maxLength:"200" doc:"Part of the text of an event"`
}

// Span says which events, by time and type.
type Span struct {
	From time.Time `query:"from" doc:"Not before this time"`
	To   time.Time `query:"to" doc:"Before this time"`
	Type string    `query:"type" maxLength:"512" doc:"Types of event, separated by commas, such as session.revoked"`
}

func (in Span) types() []audit.Type {
	var types []audit.Type
	for name := range strings.SplitSeq(in.Type, ",") {
		if name = strings.TrimSpace(name); name != "" {
			types = append(types, audit.Type(name))
		}
	}
	return types
}

func (in eventsInput) filter() audit.Filter {
	return audit.Filter{From: in.From, To: in.To, Types: in.types(), Outcome: in.Outcome, Actor: in.Actor, Target: in.Target,
		Session: in.Session, Request: in.Request, IP: in.IP, Text: in.Search, Limit: in.Limit, Cursor: in.Cursor}
}

func (a *API) registerAudit() {
	register(a, operation{id: "list-events", method: http.MethodGet, path: "/audit/events", tag: "Audit", needs: reads("audit"),
		summary: "Search the log, newest first; allowed requests are under audit/access"}, a.listEvents)
	register(a, operation{id: "get-event", method: http.MethodGet, path: "/audit/events/{id}", tag: "Audit", needs: reads("audit"),
		summary: "Show one event by its id, allowed requests included"}, a.getEvent)
	register(a, operation{id: "list-access", method: http.MethodGet, path: "/audit/access", tag: "Audit", needs: reads("audit"),
		summary: "Search decisions about requests, newest first"}, a.listAccess)
	register(a, operation{id: "export-events", method: http.MethodGet, path: "/audit/export", tag: "Audit", needs: reads("audit"),
		summary: "Download the journal, oldest first; the download is itself recorded", responses: stream("application/x-ndjson", "text/csv")}, a.exportEvents)
	register(a, operation{id: "stream-events", method: http.MethodGet, path: "/audit/stream", tag: "Audit", needs: reads("audit"),
		summary: "Follow the log: server-sent events named event, each an event as JSON", responses: stream("text/event-stream")}, a.streamEvents)
	register(a, operation{id: "verify-journal", method: http.MethodGet, path: "/audit/verify", tag: "Audit", needs: reads("audit"),
		summary: "Check that the journal on this node is whole: every record opens, and none that is known of is missing"}, a.verifyJournal)
}

// stream documents an answer that is not JSON.
func stream(mediaTypes ...string) map[string]*huma.Response {
	content := map[string]*huma.MediaType{}
	for _, mediaType := range mediaTypes {
		content[mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return map[string]*huma.Response{"200": {Description: "OK", Content: content}}
}

func (a *API) listEvents(ctx context.Context, c *call, in *eventsInput) (*pageOutput[audit.Event], error) {
	found, err := a.cfg.Log.Search(ctx, c.tenant(), in.filter())
	if err != nil {
		return nil, err
	}
	return pageOf(found.Items, found.Next, asIs), nil
}

func (a *API) listAccess(ctx context.Context, c *call, in *eventsInput) (*pageOutput[audit.Event], error) {
	found, err := a.cfg.Log.Access(ctx, c.tenant(), in.filter())
	if err != nil {
		return nil, err
	}
	return pageOf(found.Items, found.Next, asIs), nil
}

func asIs(e audit.Event) audit.Event { return e }

func (a *API) getEvent(ctx context.Context, c *call, in *ByID[identity.EventID]) (*bodyOutput[audit.Event], error) {
	found, err := a.cfg.Log.ByID(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[audit.Event]{found}, nil
}

type exportInput struct {
	Span
	Format string `query:"format" enum:"jsonl,csv" default:"jsonl"`
}

func (a *API) exportEvents(ctx context.Context, c *call, in *exportInput) (*huma.StreamResponse, error) {
	event := c.cause.Event(c.tenant(), audit.AuditExported, audit.Success)
	event.Target = audit.Target{Kind: "journal"}
	event.Message = "The audit journal was exported as " + in.Format + "."
	if _, err := a.cfg.Journal.Commit(ctx, event); err != nil {
		return nil, err
	}
	types := in.types()
	wanted := func(e audit.Event) bool {
		return (in.From.IsZero() || !e.Time.Before(in.From)) && (in.To.IsZero() || e.Time.Before(in.To)) && matchesType(e.Type, types)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		mediaType, name := "application/x-ndjson", "audit-"+c.request.TenantName+"."+in.Format
		if in.Format == "csv" {
			mediaType = "text/csv; charset=utf-8"
		}
		hc.SetHeader("Content-Type", mediaType)
		hc.SetHeader("Content-Disposition", `attachment; filename="`+name+`"`)
		events := whileAllowed(ctx, a, c, only(a.cfg.Journal.All(ctx, c.tenant()), wanted))
		if _, err := audit.Export(ctx, hc.BodyWriter(), in.Format, events); err != nil {
			abort(ctx, err)
		}
	}}, nil
}

func matchesType(t audit.Type, types []audit.Type) bool {
	if len(types) == 0 {
		return true
	}
	for _, want := range types {
		if t == want {
			return true
		}
	}
	return false
}

// recheck is after how many events an export asks again whether it may go on.
const recheck = 512

// whileAllowed passes events as long as the caller may have them.
func whileAllowed[E any](ctx context.Context, a *API, c *call, events iter.Seq2[E, error]) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		passed := 0
		for event, err := range events {
			if passed++; passed%recheck == 0 {
				if err := a.still(ctx, c); err != nil {
					var none E
					yield(none, err)
					return
				}
			}
			if !yield(event, err) {
				return
			}
		}
	}
}

// only passes the events that are wanted, and any error.
func only(events iter.Seq2[audit.Event, error], wanted func(audit.Event) bool) iter.Seq2[audit.Event, error] {
	return func(yield func(audit.Event, error) bool) {
		for event, err := range events {
			if (err != nil || wanted(event)) && !yield(event, err) {
				return
			}
		}
	}
}

// integrity is whether the journal is as it was written.
type integrity struct {
	Whole    bool    `json:"whole"`
	Segments int     `json:"segments" doc:"Files"`
	Records  uint64  `json:"records"`
	Opened   uint64  `json:"opened" doc:"Records that open with the tenant's key"`
	Problems []place `json:"problems"`
}

// place is where the journal is not as it was written. The folders of the file
// are left out: they concern the operator alone.
type place struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Seq    uint64 `json:"seq"`
	What   string `json:"what"`
}

func (a *API) verifyJournal(ctx context.Context, c *call, _ *struct{}) (*bodyOutput[integrity], error) {
	report, err := a.cfg.Log.Verify(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	found := integrity{Whole: len(report.Problems) == 0, Segments: report.Segments, Records: report.Records, Opened: report.Opened, Problems: []place{}}
	for _, p := range report.Problems {
		found.Problems = append(found.Problems, place{File: filepath.Base(p.File), Offset: p.Offset, Seq: p.Seq, What: p.What})
	}
	return &bodyOutput[integrity]{found}, nil
}
