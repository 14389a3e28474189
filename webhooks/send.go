package webhooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

const (
	// sendTime bounds one message from the dialling to the end of the answer.
	sendTime = 10 * time.Second
	// maxAnswer is how much of an answer is read, which says nothing to us: so that its
	// connection can be used again.
	maxAnswer = 16 << 10
)

// client is the guarded one, without redirects: a receiver is where its admin says.
func client(guarded *http.Client) *http.Client {
	c := *guarded
	c.Timeout = sendTime
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// send sends a message once.
func (s *Service) send(ctx context.Context, tenant identity.TenantID, m *feed.Message) feed.Attempt {
	a := feed.Attempt{Began: time.Now()}
	req, err := http.NewRequestWithContext(httpkit.OnBehalf(ctx, tenant), http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		a.Problem = "the address cannot be used"
		return a
	}
	at := a.Began.Unix()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Gatehouse-Webhooks")
	req.Header.Set("webhook-id", m.ID)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(at, 10))
	req.Header.Set("webhook-signature", Sign(m.Keys, m.ID, at, m.Body))
	resp, err := s.client.Do(req)
	a.Took = time.Since(a.Began)
	if err != nil {
		a.Problem = problem(err)
		return a
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // the status is the whole answer
	_ = resp.Body.Close()
	a.Status, a.Took = resp.StatusCode, time.Since(a.Began)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil { // or a date, which is passed over
		a.RetryAfter = time.Duration(max(0, min(seconds, 3600))) * time.Second
	}
	return a
}

// Sign gives the header webhook-signature of a message: one signature by each key,
// separated by spaces (Standard Webhooks, "Signature scheme").
func Sign(keys [][]byte, id string, at int64, body []byte) string {
	signatures := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%d.", id, at) // a hash takes everything
		_, _ = mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}

// problem says why there was no answer, without a word of where, and no more than an admin
// needs: not which names there are inside, and not what else listens at an address.
func problem(err error) string {
	if _, unknown := errors.AsType[*net.DNSError](err); unknown || errors.Is(err, httpkit.ErrEgressRefused) {
		return "there is no such name, or it may not be reached from here"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate is not trusted"
	}
	return "no answer"
}
