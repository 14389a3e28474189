package saml

import (
	"testing"
	"time"

	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

// BenchmarkSAMLResponse verifies a response and says who it is about: all that a
// sign-in costs here, save what it reads and writes in SQL.
func BenchmarkSAMLResponse(b *testing.B) {
	now := time.Now()
	for _, c := range attacktest.Controls() {
		switch c.Name {
		case "the assertion signed", "the response signed", "both signed", "encrypted by AES-128", "AES-CBC, both signed":
		default:
			continue
		}
		b.Run(c.Name, func(b *testing.B) {
			var spec tenants.SAMLSpec
			if c.Set != nil {
				c.Set(&spec)
			}
			raw := []byte(c.Forge(b, testFlight(now)))
			b.ReportAllocs()
			for b.Loop() {
				v := testVerification(b, spec, now)
				if err := v.verify(raw); err != nil {
					b.Fatal(err)
				}
				if _, err := v.person(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
