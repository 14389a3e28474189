package saml

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
)

// What a message may come with. SAML bindings §3.4.3 allows 80 bytes of
// RelayState, and real ones hold addresses.
const (
	maxRelayState = 2 << 10
	paramRequest  = "SAMLRequest"
	paramResponse = "SAMLResponse"
	paramRelay    = "RelayState"
	paramAlg      = "SigAlg"
	paramSig      = "Signature"
	paramEncoding = "SAMLEncoding"
	deflate       = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
)

// message is a message about a sign-out, as the browser brings it.
type message struct {
	raw   []byte // XML
	relay string
	// detached is the signature of the redirect binding; nil for the POST binding,
	// where the document holds it.
	detached *detached
}

// readMessage takes the message out of a request: a SAMLRequest or a
// SAMLResponse, as wanted, and nothing else of the kind.
func readMessage(r *http.Request, wanted string) (message, error) {
	if r.Method == http.MethodPost {
		return posted(r.PostForm, wanted)
	}
	return redirected(r.URL.RawQuery, wanted)
}

// answers reports whether a request answers one of ours.
func answers(r *http.Request) bool {
	if r.Method == http.MethodPost {
		return len(r.PostForm[paramResponse]) > 0 && len(r.PostForm[paramRequest]) == 0
	}
	q := r.URL.Query()
	return len(q[paramResponse]) > 0 && len(q[paramRequest]) == 0
}

func otherThan(kind string) string {
	if kind == paramRequest {
		return paramResponse
	}
	return paramRequest
}

// posted reads a form of the POST binding (SAML bindings §3.5.4).
func posted(form url.Values, wanted string) (message, error) {
	if len(form[otherThan(wanted)]) > 0 || len(form[paramRelay]) > 1 {
		return message{}, authn.Refuse(authn.Malformed, "The form does not hold exactly one message.")
	}
	relay := form.Get(paramRelay)
	if len(relay) > maxRelayState {
		return message{}, authn.Refuse(authn.TooLarge, "The RelayState is longer than %d bytes.", maxRelayState)
	}
	raw, err := decode(form[wanted])
	return message{raw: raw, relay: relay}, err
}

// redirected reads the query of the redirect binding (SAML bindings §3.4.4). The
// signature covers the octets as they were sent, which are not always those
// that encoding anew gives, so it works on the query itself.
func redirected(query, wanted string) (message, error) {
	sent, err := parameters(query)
	if err != nil {
		return message{}, err
	}
	_, other := sent[otherThan(wanted)]
	packed, ok := sent[wanted]
	if !ok || other {
		return message{}, authn.Refuse(authn.Malformed, "The address does not hold exactly one message.")
	}
	if encoding, ok := sent[paramEncoding]; ok && encoding.value != deflate {
		return message{}, authn.Refuse(authn.Malformed, "The message is encoded in a way that is not understood.")
	}
	relay := sent[paramRelay]
	if len(relay.value) > maxRelayState {
		return message{}, authn.Refuse(authn.TooLarge, "The RelayState is longer than %d bytes.", maxRelayState)
	}
	if sent[paramAlg].value == "" || sent[paramSig].value == "" {
		return message{}, authn.Refuse(authn.SignatureMissing, "The message is not signed.")
	}
	signature, err := base64.StdEncoding.DecodeString(sent[paramSig].value)
	if err != nil {
		return message{}, authn.Refuse(authn.Malformed, "The signature is not base64.").Because(err)
	}
	over := []string{packed.raw, relay.raw, sent[paramAlg].raw}
	raw, err := inflate(packed.value)
	return message{raw: raw, relay: relay.value, detached: &detached{algorithm: sent[paramAlg].value, signature: signature,
		over: strings.Join(slices.DeleteFunc(over, func(s string) bool { return s == "" }), "&")}}, err
}

// parameter is one of a query: "name=value" as it was sent, and what that says.
type parameter struct{ raw, value string }

// parameters gives those that the binding knows, each at most once and by its
// plain name: whoever reads the query in another way must not find another
// message there.
func parameters(query string) (map[string]parameter, error) {
	known := []string{paramRequest, paramResponse, paramRelay, paramAlg, paramSig, paramEncoding}
	found := map[string]parameter{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return nil, authn.Refuse(authn.Malformed, "The address cannot be read.").Because(err)
		}
		if !slices.Contains(known, plain) {
			continue
		}
		if _, twice := found[plain]; twice || plain != name {
			return nil, authn.Refuse(authn.Malformed, "The address holds a parameter twice, or in another spelling.")
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return nil, authn.Refuse(authn.Malformed, "The address cannot be read.").Because(err)
		}
		found[plain] = parameter{raw: pair, value: text}
	}
	return found, nil
}

// inflate unpacks a message (SAML bindings §3.4.4.1), up to the size that one
// may have.
func inflate(text string) ([]byte, error) {
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, authn.Refuse(authn.Malformed, "The message is not base64.").Because(err)
	}
	from := bytes.NewReader(packed)
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(from), maxDocument+1))
	switch {
	case len(raw) > maxDocument:
		return nil, authn.Refuse(authn.TooLarge, "The message is larger than %d bytes.", maxDocument)
	case err != nil:
		return nil, authn.Refuse(authn.Malformed, "The message is not packed by DEFLATE.").Because(err)
	case from.Len() > 0:
		return nil, authn.Refuse(authn.Malformed, "There is something after the packed message.")
	}
	return raw, nil
}

// detached is a signature over the query of the redirect binding.
type detached struct {
	algorithm string
	signature []byte
	over      string
}

// algorithms are how the accepted methods are called in crypto/x509.
var algorithms = map[string]x509.SignatureAlgorithm{
	dsig.RSASHA256SignatureMethod: x509.SHA256WithRSA, dsig.RSASHA384SignatureMethod: x509.SHA384WithRSA, dsig.RSASHA512SignatureMethod: x509.SHA512WithRSA,
	dsig.ECDSASHA256SignatureMethod: x509.ECDSAWithSHA256, dsig.ECDSASHA384SignatureMethod: x509.ECDSAWithSHA384, dsig.ECDSASHA512SignatureMethod: x509.ECDSAWithSHA512,
}

// sha1Algorithms are those that a connection may have opted into.
var sha1Algorithms = map[string]x509.SignatureAlgorithm{
	dsig.RSASHA1SignatureMethod: x509.SHA1WithRSA, dsig.ECDSASHA1SignatureMethod: x509.ECDSAWithSHA1}

// verify tries every key of the metadata, as [verifySignature] does.
func (d *detached) verify(keys []*x509.Certificate, now time.Time, sha1 bool) error {
	algorithm, ok := algorithms[d.algorithm]
	if old, known := sha1Algorithms[d.algorithm]; sha1 && known {
		algorithm, ok = old, true
	}
	if !ok {
		return authn.Refuse(authn.WrongAlgorithm, "The message is signed by an algorithm that is not accepted (SHA-256 or better is).")
	}
	signature := d.signature
	if strings.Contains(d.algorithm, "#ecdsa-") {
		signature = ecdsaDER(signature)
	}
	for _, key := range keys {
		if now.Before(key.NotBefore) || now.After(key.NotAfter) {
			continue
		}
		if key.CheckSignature(algorithm, []byte(d.over), signature) == nil {
			return nil
		}
	}
	return authn.Refuse(authn.SignatureInvalid, "The signature fits no key of the identity provider's metadata, or that key's certificate is out of date.")
}

// ecdsaDER turns a signature of XML Signature §6.4.3, two numbers of one length
// side by side, into what crypto/x509 reads. Some send that at once.
func ecdsaDER(signature []byte) []byte {
	half := len(signature) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
	if err != nil || !slices.Contains([]int{64, 96, 132}, len(signature)) {
		return signature
	}
	return der
}

// pack makes the query of the redirect binding that says what document says to
// somebody, signed if there is a key.
func pack(location, kind string, document []byte, relay string, key *signingKey) (string, error) {
	u, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err == nil {
		_, err = w.Write(document)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	query := kind + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if relay != "" {
		query += "&" + paramRelay + "=" + url.QueryEscape(relay)
	}
	if key != nil {
		query += "&" + paramAlg + "=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
		signature, err := key.signBytes([]byte(query))
		if err != nil {
			return "", err
		}
		query += "&" + paramSig + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	}
	if u.RawQuery != "" {
		query = u.RawQuery + "&" + query // an address of its own with a query; that is not signed
	}
	u.RawQuery = query
	return u.String(), nil
}

// signBytes signs by the one algorithm that we sign with, RSA with SHA-256.
func (k *signingKey) signBytes(b []byte) ([]byte, error) {
	h := crypto.SHA256.New()
	_, _ = h.Write(b) // a hash never fails
	return k.private.Sign(nil, h.Sum(nil), crypto.SHA256)
}
