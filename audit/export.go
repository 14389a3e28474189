package audit

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/internal/fault"
)

// Export writes events as "jsonl" (one JSON object a line, the form of [Event])
// or "csv" (RFC 4180, with a header line, safe to open in a spreadsheet), and
// returns how many. Events that cannot be read are passed over; the first such
// error is returned at the end, so that a damaged journal still gives what is
// left of it.
func Export(ctx context.Context, w io.Writer, format string, events iter.Seq2[Event, error]) (n int, err error) {
	out := bufio.NewWriter(w)
	var put func(*Event) error
	switch format {
	case "jsonl":
		put = jsonLines(out)
	case "csv":
		if put, err = csvLines(out); err != nil {
			return 0, err
		}
	default:
		return 0, fault.New(fault.Invalid, "format-unknown", fmt.Sprintf("There is no export format %q; there are jsonl and csv.", format))
	}
	var unread error
	for e, err := range events {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		if err != nil {
			if unread == nil {
				unread = err
			}
			continue
		}
		if err := put(&e); err != nil {
			return n, fmt.Errorf("audit: writing the export: %w", err)
		}
		n++
	}
	if err := out.Flush(); err != nil {
		return n, fmt.Errorf("audit: writing the export: %w", err)
	}
	if unread != nil {
		return n, fmt.Errorf("audit: the export is incomplete: %w", unread)
	}
	return n, nil
}

func jsonLines(out *bufio.Writer) func(*Event) error {
	var line []byte
	return func(e *Event) error {
		line = append(appendEvent(line[:0], e), '\n')
		_, err := out.Write(line)
		return err
	}
}

var csvHeader = []string{"time", "id", "seq", "node", "tenant", "type", "outcome", "reason", "message",
	"actor_kind", "actor_id", "actor_name", "target_kind", "target_id", "target_name",
	"session", "device", "connection", "request_id", "method", "host", "path", "route", "ip", "user_agent",
	"permission", "team", "role", "policy_version", "count", "details"}

func csvLines(out *bufio.Writer) (func(*Event) error, error) {
	table := csv.NewWriter(out)
	if err := table.Write(csvHeader); err != nil {
		return nil, fmt.Errorf("audit: writing the export: %w", err)
	}
	return func(e *Event) error {
		var ip string
		if e.IP.IsValid() {
			ip = e.IP.String()
		}
		row := []string{e.Time.Format(time.RFC3339Nano), string(e.ID), number(e.Seq), e.Node, string(e.Tenant),
			string(e.Type), string(e.Outcome), e.Reason, e.Message,
			string(e.Actor.Kind), e.Actor.ID, e.Actor.Name, e.Target.Kind, e.Target.ID, e.Target.Name,
			string(e.Session), string(e.Device), string(e.Connection), string(e.RequestID), e.Method, e.Host, e.Path, e.Route, ip, e.UserAgent,
			e.Permission, e.Team, e.Role, number(e.PolicyVersion), number(uint64(max(e.Count, 0))), joined(e.Details)} // #nosec G115 -- not negative
		for i, cell := range row {
			row[i] = harmless(cell)
		}
		if err := table.Write(row); err != nil {
			return err
		}
		table.Flush()
		return table.Error()
	}, nil
}

// harmless keeps a spreadsheet from taking a cell for a formula: an attacker
// chooses paths, names and user agents, and an admin opens the export (CWE-1236).
// The full-width forms are formulas to some.
func harmless(cell string) string {
	if c, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", c) {
		return "'" + cell
	}
	return cell
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func joined(details map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(details)) {
		parts = append(parts, key+"="+details[key])
	}
	return strings.Join(parts, "; ")
}

// Filtered passes on the events that match, for exports. Errors pass as well.
// Limit and Cursor do not matter.
func Filtered(events iter.Seq2[Event, error], f Filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for e, err := range events {
			if (err != nil || f.matches(&e)) && !yield(e, err) {
				return
			}
		}
	}
}
