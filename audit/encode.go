package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/audit/segment"
)

// How many bytes of a record each field may take, escapes included; what is
// longer is cut and ends with "…". Together they stay below
// [segment.MaxPlain], so that hostile input cannot make an event that the
// journal refuses.
const (
	limitID        = 128
	limitName      = 320 // an email address has at most 254 bytes (RFC 5321 §4.5.3.1.3)
	limitMessage   = 1024
	limitHost      = 320
	limitPath      = 2048
	limitUserAgent = 768
	limitDetail    = 512
	limitDetails   = 4096
)

// A record is one byte that says what kind it is, so that a reader can pass
// over access decisions without parsing them, and the event as JSON.
const (
	kindEvent  byte = 'e'
	kindAccess byte = 'a'
)

// isAccess reports whether an event is a decision about a request, written once
// per request and kept out of the SQL index when it was allowed.
func isAccess(t Type) bool { return t == AccessAllowed || t == AccessRefused }

// appendRecord encodes an event for a segment. It does by hand what
// encoding/json does by reflection, because one is written for every request.
// Tenant and node are left to the segment's header, the number to the frame:
// they are sealed with the record as it is, and each byte here costs hashing.
func appendRecord(b []byte, e *Event) []byte {
	kind := kindEvent
	if isAccess(e.Type) {
		kind = kindAccess
	}
	b = append(b, kind)
	b = append(b, `{"id":`...)
	b = appendString(b, string(e.ID), limitID)
	return append(appendRest(b, e), '}')
}

// parseRecord is the reverse of appendRecord, save for what the segment knows.
func parseRecord(plain []byte) (Event, error) {
	var e Event
	if len(plain) == 0 || plain[0] != kindEvent && plain[0] != kindAccess {
		return e, errors.New("audit: a record of an unknown kind")
	}
	if err := json.Unmarshal(plain[1:], &e); err != nil {
		return e, fmt.Errorf("audit: a record does not parse: %w", err)
	}
	return e, nil
}

// appendEvent encodes an event whole, as [json.Unmarshal] reads it back.
func appendEvent(b []byte, e *Event) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, string(e.ID), limitID)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, e.Seq, 10)
	b = append(b, `,"node":`...)
	b = appendString(b, e.Node, limitID)
	b = append(b, `,"tenant":`...)
	b = appendString(b, string(e.Tenant), limitID)
	return append(appendRest(b, e), '}')
}

func appendRest(b []byte, e *Event) []byte {
	b = append(b, `,"time":"`...)
	b = e.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","type":`...)
	b = appendString(b, string(e.Type), limitID)
	b = append(b, `,"outcome":`...)
	b = appendString(b, string(e.Outcome), limitID)
	b = appendField(b, `,"reason":`, e.Reason, limitID)
	b = appendField(b, `,"message":`, e.Message, limitMessage)

	b = append(b, `,"actor":{"kind":`...)
	b = appendString(b, string(e.Actor.Kind), limitID)
	b = appendField(b, `,"id":`, e.Actor.ID, limitID)
	b = appendField(b, `,"name":`, e.Actor.Name, limitName)
	b = append(b, '}')
	if e.Target != (Target{}) {
		b = append(b, `,"target":{"kind":`...)
		b = appendString(b, e.Target.Kind, limitID)
		b = appendField(b, `,"id":`, e.Target.ID, limitID)
		b = appendField(b, `,"name":`, e.Target.Name, limitName)
		b = append(b, '}')
	}
	b = appendField(b, `,"session":`, string(e.Session), limitID)
	b = appendField(b, `,"device":`, string(e.Device), limitID)
	b = appendField(b, `,"connection":`, string(e.Connection), limitID)

	b = appendField(b, `,"request_id":`, string(e.RequestID), limitID)
	b = appendField(b, `,"method":`, e.Method, limitID)
	b = appendField(b, `,"host":`, e.Host, limitHost)
	// Queries carry secrets (codes, tokens): whatever the caller did, they end here.
	path, _, _ := strings.Cut(e.Path, "?")
	b = appendField(b, `,"path":`, path, limitPath)
	b = appendField(b, `,"route":`, e.Route, limitName)
	if e.IP.IsValid() {
		b = append(b, `,"ip":"`...)
		b = e.IP.WithZone("").AppendTo(b)
		b = append(b, '"')
	}
	b = appendField(b, `,"user_agent":`, e.UserAgent, limitUserAgent)

	b = appendField(b, `,"permission":`, e.Permission, limitID)
	b = appendField(b, `,"team":`, e.Team, limitID)
	b = appendField(b, `,"role":`, e.Role, limitID)
	if e.PolicyVersion != 0 {
		b = append(b, `,"policy_version":`...)
		b = strconv.AppendUint(b, e.PolicyVersion, 10)
	}
	if e.Count != 0 {
		b = append(b, `,"count":`...)
		b = strconv.AppendInt(b, e.Count, 10)
	}
	return appendDetails(b, e)
}

// appendDetails writes the classified details, in the order of the
// classification, as long as there is room.
func appendDetails(b []byte, e *Event) []byte {
	if len(e.Details) == 0 {
		return b
	}
	start, next := len(b), `,"details":{`
	for _, keys := range [...][]string{aggregation, classified[e.Type]} {
		for _, key := range keys {
			value, ok := e.Details[key]
			if !ok || len(b)-start > limitDetails-limitDetail-2*limitID {
				continue
			}
			b = append(b, next...)
			b = append(appendString(b, key, limitID), ':')
			b = appendString(b, value, limitDetail)
			next = ","
		}
	}
	if next == "," {
		b = append(b, '}')
	}
	return b
}

// appendField writes a named string, or nothing if it is empty.
func appendField(b []byte, name, value string, limit int) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, name...), value, limit)
}

const hex = "0123456789abcdef"

// appendString writes s as a JSON string (RFC 8259 §7) of at most limit bytes
// between the quotes. Bytes that are not UTF-8 become U+FFFD, as encoding/json
// has it.
func appendString(b []byte, s string, limit int) []byte {
	b = append(b, '"')
	if len(s) <= limit && isPlain(s) {
		b = append(b, s...)
	} else {
		b = appendEscaped(b, s, limit)
	}
	return append(b, '"')
}

// isPlain reports whether s can stand in a JSON string as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendEscaped(b []byte, s string, limit int) []byte {
	const cut = "…"
	start := len(b)
	fits := start // the longest prefix that leaves room for the cut
	for i := 0; i < len(s); {
		if len(b)-start <= limit-len(cut) {
			fits = len(b)
		}
		size := 1
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r) // RuneError of size 1 is written as U+FFFD
		}
		if len(b)-start > limit {
			return append(b[:fits], cut...)
		}
		i += size
	}
	return b
}

// The most that an event can take must fit a record: this does not compile
// otherwise. 1 KiB is for the field names, numbers, time and address.
const _ = uint(segment.MaxPlain - (1<<10 + 21*(limitID+2) + 4*(limitName+2) + limitMessage +
	limitHost + limitPath + limitUserAgent + limitDetails))
