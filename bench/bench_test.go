package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func serveTLS(t *testing.T, handler http.HandlerFunc) target {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return target{addr: server.Listener.Addr().String(), host: "example.com:443", tls: &tls.Config{RootCAs: roots}, cookie: "a=b"}
}

func TestLoadCountsEveryRequest(t *testing.T) {
	var got http.Header
	count := make(chan struct{}, 1<<20)
	to := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.Version != tls.VersionTLS13 || r.Host != "example.com:443" {
			t.Errorf("version %x, host %q", r.TLS.Version, r.Host)
		}
		count <- struct{}{}
		if len(count) == 1 {
			got = r.Header.Clone()
		}
		answer(w, r)
	})
	o, err := load(t.Context(), to, 4, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if o.requests == 0 || o.requests != len(count) || o.took < 100*time.Millisecond {
		t.Errorf("%d requests counted, %d sent, in %v", o.requests, len(count), o.took)
	}
	if got.Get("Cookie") != "a=b" {
		t.Errorf("header %v", got)
	}
	if o.quantile(0.5) <= 0 || o.quantile(0.5) > o.quantile(0.99) {
		t.Errorf("p50 %v, p99 %v", o.quantile(0.5), o.quantile(0.99))
	}
}

func TestLoadRefusesOtherAnswers(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"refusal": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"short":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
		"chunked": func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
	} {
		if _, err := load(t.Context(), serveTLS(t, handler), 2, time.Minute); err == nil {
			t.Errorf("%s was taken for a result", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := load(ctx, serveTLS(t, answer), 2, time.Minute); err == nil {
		t.Error("an interrupted round was taken for a result")
	}
}

func TestQuantiles(t *testing.T) {
	var o outcome
	if o.quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
	for i := range 100 {
		o.latencies = append(o.latencies, time.Duration(i+1))
	}
	if o.quantile(0.5) != 50 || o.quantile(0.99) != 99 || o.quantile(1) != 100 {
		t.Errorf("p50 %d, p99 %d, max %d", o.quantile(0.5), o.quantile(0.99), o.quantile(1))
	}
}

func TestUsageOfThisProcessGrows(t *testing.T) {
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
	}
	after, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after.cpu <= before.cpu || after.rss <= 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, err := usageOf(-1); err == nil {
		t.Error("a process that is not there was measured")
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (odd ) name) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 6 7 20 0 1 0 100 1000 25 18446744073709551615 1 1 0\n"
	pid, p, err := parseStat(line)
	if err != nil || pid != 42 || p.parent != 7 || p.cpu != 2*time.Second || p.rss != 25*int64(os.Getpagesize()) {
		t.Errorf("%d %+v %v", pid, p, err)
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 1", "x (x) S 7 42 42 0 -1 0 1 2 3 4 1 5 6 7 20 0 1 0 100 1000 25"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestTableShowsMediansAndRatios(t *testing.T) {
	rounds := func(cpu ...time.Duration) (list []round) {
		for _, c := range cpu {
			list = append(list, round{perSecond: float64(c), p50: c, p99: 2 * c, cpu: c, rss: 5 << 20})
		}
		return list
	}
	var out bytes.Buffer
	err := writeTable(&out, []*subject{
		{name: "gate", rounds: rounds(30*time.Microsecond, 90*time.Microsecond, 40*time.Microsecond)},
		{name: bareProxy, rounds: rounds(80*time.Microsecond, 80*time.Microsecond, 10*time.Microsecond)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| gate | 40000 | 0.04 ms | 0.08 ms | 40.0 | 0.50 | 5 |", "| " + bareProxy + " |", "| 1.00 |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
}

func TestPlan(t *testing.T) {
	p, err := planFrom(func(name string) string { return map[string]string{"BENCH_SECONDS": "2"}[name] })
	if err != nil || p.round != 2*time.Second || p.rounds != 5 || p.conns != 32 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := planFrom(func(string) string { return "many" }); err == nil {
		t.Error("a plan of many rounds was made")
	}
}
