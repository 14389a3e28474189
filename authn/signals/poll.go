package signals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/strict"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// maxEvents is how many tokens are asked for at once: what the guarded client
// lets through holds as many of the largest.
const maxEvents = 15

// request asks for tokens, and tells what became of those that came before (RFC
// 8936 §2.2).
type request struct {
	MaxEvents         int                       `json:"maxEvents"`
	ReturnImmediately bool                      `json:"returnImmediately"`
	Ack               []string                  `json:"ack,omitempty"`
	SetErrs           map[string]authn.SETError `json:"setErrs,omitempty"`
}

// answer is what a transmitter has to say (RFC 8936 §2.3).
type answer struct {
	sets map[string]string
	more bool
}

// refusedPoll is an answer that is none.
type refusedPoll struct {
	status     string
	retryAfter time.Duration
}

// Error gives the status.
func (r *refusedPoll) Error() string { return "signals: poll: " + r.status }

// ask polls once.
func ask(ctx context.Context, client *http.Client, poll tenants.SignalsPoll, r request) (answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return answer{}, fmt.Errorf("signals: write poll: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, poll.Endpoint, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("signals: poll: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+poll.Token) // RFC 6750 §2.1
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // the body was read, or is not wanted
	if resp.StatusCode != http.StatusOK {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 if it says none, or a date
		return answer{}, &refusedPoll{status: strconv.Itoa(resp.StatusCode), retryAfter: time.Duration(max(0, min(seconds, 3600))) * time.Second}
	}
	raw, err := io.ReadAll(resp.Body) // bounded by the guarded client
	if err != nil {
		return answer{}, err
	}
	return readAnswer(raw)
}

// readAnswer reads what a transmitter has to say. More tokens than were asked for
// come again: they are not acknowledged.
func readAnswer(raw []byte) (answer, error) {
	whole, err := strict.Parse(raw)
	if err != nil {
		return answer{}, fmt.Errorf("signals: answer to a poll: %w", err)
	}
	a := answer{sets: map[string]string{}}
	a.more, _ = whole["moreAvailable"].(bool)
	sets, ok := whole["sets"].(strict.Object)
	// Where nothing waits, some write null (RFC 8936 §2.3 has an empty object).
	if !ok && whole["sets"] != nil {
		return answer{}, errors.New("signals: answer to a poll: sets are no JSON object")
	}
	for _, id := range slices.Sorted(maps.Keys(sets)) {
		token, ok := sets[id].(string)
		if !ok || id == "" || len(id) > maxID {
			return answer{}, errors.New("signals: answer to a poll: a set is no text, or has no usable id")
		}
		if len(a.sets) < maxEvents {
			a.sets[id] = token
		}
	}
	return a, nil
}

// unanswered tells an admin why a poll brought nothing, without a word of the
// transmitter's own.
func unanswered(err error) *authn.Refusal {
	if refused, ok := errors.AsType[*refusedPoll](err); ok {
		return authn.Refuse(authn.ProviderUnreachable, "The transmitter answers a poll with status %s.", refused.status)
	}
	if errors.Is(err, httpkit.ErrEgressTooLarge) {
		return authn.Refuse(authn.TooLarge, "The transmitter's answer to a poll is larger than any real one.")
	}
	return authn.Refuse(authn.ProviderUnreachable, "The transmitter does not answer a poll, or not in its protocol.").Because(err)
}
