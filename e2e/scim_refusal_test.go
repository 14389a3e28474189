package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse/demo"
)

// TestARefusalPassesTheGateBeforeTheBody is a provisioning client that is refused, and
// hears so before it has sent its body; the connection is good for its next request.
func TestARefusalPassesTheGateBeforeTheBody(t *testing.T) {
	info := inProcess(t).Info()
	acme := info.Tenants["acme"]
	at, err := url.Parse(acme.SCIM)
	if err != nil {
		t.Fatal(err)
	}
	for token, status := range map[string]int{acme.SCIMToken: http.StatusUnsupportedMediaType, "nobody": http.StatusUnauthorized} {
		plain, err := demo.DialLocal(t.Context(), "tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(plain, &tls.Config{InsecureSkipVerify: true, ServerName: at.Hostname(), NextProtos: []string{"http/1.1"}})
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // before the gate gives a body up
		read := bufio.NewReader(conn)
		ask := func(form string, status int) {
			t.Helper()
			_, _ = fmt.Fprintf(conn, "POST %s/Users HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", at.Path, at.Host, token, form)
			resp, err := http.ReadResponse(read, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != status || resp.Close {
				t.Errorf("%s, want %d, closed %t, %v", resp.Status, status, resp.Close, err)
			}
		}
		ask("Content-Length: 12\r\nContent-Type: text/plain", status)
		_, _ = io.WriteString(conn, "userName=ann")
		ask("Transfer-Encoding: chunked\r\nContent-Type: text/plain", status)
		_, _ = io.WriteString(conn, "c\r\nuserName=ann\r\n0\r\n\r\n")
		ask("Content-Length: 12\r\nContent-Type: text/plain", status)
	}
}
