package authn_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"strings"
	"sync"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/saml"
	"gatehouse/internal/store"
)

// keyRows gives the rows of a connection in saml_keys.
func (w *world) keyRows(t *testing.T, connection string) (certificates, sealed [][]byte) {
	t.Helper()
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error {
		_, err := store.All(t.Context(), tx, func(s store.Row) (_ struct{}, err error) {
			var c, k []byte
			err = s.Scan(&c, &k)
			certificates, sealed = append(certificates, c), append(sealed, k)
			return struct{}{}, err
		}, `SELECT certificate, private_key FROM saml_keys WHERE connection_id = $1`, "con_"+connection)
		return err
	}))
	return certificates, sealed
}

// Whichever node is asked first makes the key of a connection, and all show it.
func TestASAMLKeyIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	c, err := w.connections.Connection(t.Context(), acme, "adfs")
	check(t, err)
	e := authn.Endpoints{Callback: "https://acme.example/acs", Metadata: "https://acme.example/metadata", Logout: "https://acme.example/slo"}
	var all sync.WaitGroup
	documents := make([][]byte, 6)
	for node := range 3 {
		p := saml.New(saml.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Client: w.egress})
		t.Cleanup(p.Close)
		for i := range 2 {
			all.Go(func() {
				document, _, err := p.Metadata(context.Background(), acme, c, e)
				if err != nil {
					t.Error(err)
				}
				_, documents[node*2+i], _ = bytes.Cut(document, []byte("<KeyDescriptor"))
				documents[node*2+i], _, _ = bytes.Cut(documents[node*2+i], []byte("</KeyDescriptor"))
			})
		}
	}
	all.Wait()
	for _, d := range documents[1:] {
		if len(d) == 0 || !bytes.Equal(d, documents[0]) {
			t.Fatal("two nodes show different keys")
		}
	}
	certificates, sealed := w.keyRows(t, "adfs")
	if len(certificates) != 1 {
		t.Fatalf("%d keys are kept", len(certificates))
	}
	if _, err := x509.ParsePKCS8PrivateKey(sealed[0]); err == nil {
		t.Error("the key is not sealed")
	}
	if _, err := w.keys.Open(t.Context(), acme, "authn.saml-key.con_other", sealed[0]); err == nil {
		t.Error("another connection opens the key")
	}
	w.connections.remove("adfs")
	if certificates, _ := w.keyRows(t, "adfs"); len(certificates) != 0 {
		t.Error("the key has outlived its connection")
	}
	if _, _, err := saml.New(saml.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Client: w.egress}).Metadata(t.Context(), acme, c, e); err == nil {
		t.Error("a key was made for a connection that there is not")
	}
}

func TestMetadataSaysHowToSignOut(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	p := w.browser().open("/.gatehouse/saml/adfs/metadata")
	p.has(t, http.StatusOK, `Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="`+w.url+slo+`"`,
		`Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="`+w.url+slo+`"`, `<KeyDescriptor use="signing">`)
	if again := w.browser().open("/.gatehouse/saml/adfs/metadata"); !strings.Contains(p.body, cut(again.body, "<X509Certificate", "</X509Certificate>")) {
		t.Error("another key each time")
	}
}

func cut(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}
