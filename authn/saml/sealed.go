package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // #nosec G505 -- OAEP does not rest on collisions; it is the one that mgf1p names
	_ "crypto/sha512"
	"encoding/base64"
	"strings"

	"github.com/beevik/etree"

	"gatehouse/authn"
)

const (
	typeElement = nsEncryption + "Element"
	oaepMGF1P   = nsEncryption + "rsa-oaep-mgf1p"
	oaep        = "http://www.w3.org/2009/xmlenc11#rsa-oaep"

	gcmNonce = 12 // XML Encryption 1.1 §5.2.4
	gcmTag   = 16
)

// The ciphers that assertions may be encrypted by (XML Encryption 1.1 §5.2), with
// the bytes of their keys: AES-GCM, which notices any change, and AES-CBC, which
// does not.
var (
	gcmCiphers = map[string]int{
		"http://www.w3.org/2009/xmlenc11#aes128-gcm": 16, "http://www.w3.org/2009/xmlenc11#aes192-gcm": 24, "http://www.w3.org/2009/xmlenc11#aes256-gcm": 32}
	cbcCiphers = map[string]int{nsEncryption + "aes128-cbc": 16, nsEncryption + "aes192-cbc": 24, nsEncryption + "aes256-cbc": 32}

	oaepDigests = map[string]crypto.Hash{"": crypto.SHA1, "http://www.w3.org/2000/09/xmldsig#sha1": crypto.SHA1,
		nsEncryption + "sha256": crypto.SHA256, "http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384, nsEncryption + "sha512": crypto.SHA512}
	oaepMasks = map[string]crypto.Hash{"": crypto.SHA1, "http://www.w3.org/2009/xmlenc11#mgf1sha1": crypto.SHA1,
		"http://www.w3.org/2009/xmlenc11#mgf1sha256": crypto.SHA256, "http://www.w3.org/2009/xmlenc11#mgf1sha384": crypto.SHA384,
		"http://www.w3.org/2009/xmlenc11#mgf1sha512": crypto.SHA512}
)

// sealed is an encrypted assertion (SAML core §2.3.4).
type sealed struct {
	at        *element
	cbc       bool // whether that is taken
	inSigned  bool // the response around it is signed, and that was verified
	data, key *element
}

func newSealed(at *element, cbc, inSigned bool) *sealed {
	s := &sealed{at: at, cbc: cbc, inSigned: inSigned, data: at.one(nsEncryption, "EncryptedData")}
	s.key = s.data.one(nsSignature, "KeyInfo").one(nsEncryption, "EncryptedKey")
	if s.key == nil {
		s.key = at.one(nsEncryption, "EncryptedKey") // beside the data, as SAML core §2.2.4 has it
	}
	return s
}

// form accepts one EncryptedData of an element with one EncryptedKey, both with
// what they hold inside: nothing is fetched from anywhere.
func (s *sealed) form() error {
	keys := 0
	_ = s.at.walk(func(e *element) error {
		if e.name.Local == "EncryptedKey" {
			keys++
		}
		return nil
	})
	kind, typed := s.data.attr("Type")
	if s.key == nil || s.data == nil || keys != 1 || typed && kind != typeElement || !s.at.only(nsEncryption, "EncryptedData", "EncryptedKey") ||
		!ciphered(s.data) || !ciphered(s.key) || len(s.key.all(nsSignature, "KeyInfo")) > 1 || len(s.data.all(nsSignature, "KeyInfo")) > 1 {
		return authn.Refuse(authn.Malformed, "The encrypted assertion is not of the plain form that SAML asks for.")
	}
	text, wrapped := value(s.data), value(s.key)
	if s.isCBC() && (len(text) < 2*aes.BlockSize || len(text)%aes.BlockSize != 0) || !s.isCBC() && len(text) < gcmNonce+gcmTag || len(wrapped) == 0 {
		return authn.Refuse(authn.Malformed, "The encrypted assertion is cut short.")
	}
	return nil
}

func ciphered(e *element) bool {
	data := e.one(nsEncryption, "CipherData")
	return e.one(nsEncryption, "EncryptionMethod") != nil && len(data.all(nsEncryption, "CipherValue")) == 1 && data.only(nsEncryption, "CipherValue") &&
		len(data.one(nsEncryption, "CipherValue").children) == 0
}

// value is what was encrypted, as it is carried; nil if it is no base64.
func value(e *element) []byte {
	text := e.one(nsEncryption, "CipherData").one(nsEncryption, "CipherValue")
	if text == nil {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text.text)), ""))
	if err != nil {
		return nil
	}
	return raw
}

func method(e *element) string {
	algorithm, _ := e.one(nsEncryption, "EncryptionMethod").attr("Algorithm")
	return algorithm
}

func (s *sealed) isCBC() bool { return cbcCiphers[method(s.data)] != 0 }

func (s *sealed) knownCipher() error {
	switch {
	case gcmCiphers[method(s.data)] != 0, s.cbc && s.isCBC():
		return nil
	case s.isCBC():
		return authn.Refuse(authn.WrongAlgorithm, "The assertion is encrypted by AES-CBC, which the connection does not allow. Have the identity provider encrypt by AES-GCM, or not at all.")
	}
	return authn.Refuse(authn.WrongAlgorithm, "The assertion is encrypted by an algorithm that is not accepted (AES-GCM is).")
}

// knownTransport accepts RSA-OAEP without a label. RSA by PKCS#1 v1.5 tells too
// much to whoever may try often (Bleichenbacher).
func (s *sealed) knownTransport() error {
	m := s.key.one(nsEncryption, "EncryptionMethod")
	_, _, known := transport(m)
	if !known || len(m.all(nsEncryption, "OAEPparams")) > 0 {
		return authn.Refuse(authn.WrongAlgorithm, "The key of the encrypted assertion is encrypted by an algorithm that is not accepted (RSA-OAEP is).")
	}
	return nil
}

// transport gives the hashes of RSA-OAEP (XML Encryption 1.1 §5.5.2).
func transport(m *element) (digest, mask crypto.Hash, known bool) {
	algorithm, _ := m.attr("Algorithm")
	name, _ := m.one(nsSignature, "DigestMethod").attr("Algorithm")
	digest, known = oaepDigests[name]
	switch algorithm {
	case oaepMGF1P:
		return digest, crypto.SHA1, known
	case oaep:
		name, _ = m.one("http://www.w3.org/2009/xmlenc11#", "MGF").attr("Algorithm")
		mask, ok := oaepMasks[name]
		return digest, mask, known && ok
	}
	return 0, 0, false
}

// signedAround keeps AES-CBC to responses whose own signature was verified.
// Otherwise whoever has seen an assertion pass could send it changed, again and
// again, and learn from what becomes of it what it says (Jager and Somorovsky,
// "How to Break XML Encryption"); with AES-CBC allowed, also one that was
// encrypted by AES-GCM.
func (s *sealed) signedAround() error {
	if s.isCBC() && !s.inSigned {
		return authn.Refuse(authn.SignatureMissing, "The assertion is encrypted by AES-CBC in a response that is not signed. Have the identity provider sign the response as well, or encrypt by AES-GCM.")
	}
	return nil
}

// open decrypts with whichever key fits. All keys are tried, and one that nobody
// knows stands in where none fits, so that it takes the same time.
func (s *sealed) open(keys []*rsa.PrivateKey) ([]byte, bool) {
	cbc := s.isCBC()
	size := max(gcmCiphers[method(s.data)], cbcCiphers[method(s.data)])
	key, fits := make([]byte, max(size, aes.BlockSize)), false
	_, _ = rand.Read(key) // never fails: crypto/rand aborts the program instead
	digest, mask, known := transport(s.key.one(nsEncryption, "EncryptionMethod"))
	for _, private := range keys {
		if !known {
			break
		}
		found, err := private.Decrypt(nil, value(s.key), &rsa.OAEPOptions{Hash: digest, MGFHash: mask})
		if err == nil && len(found) == size && !fits {
			key, fits = found, true
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	if cbc {
		return openCBC(block, value(s.data))
	}
	gcm, err := cipher.NewGCM(block)
	text := value(s.data)
	if err != nil || len(text) < gcmNonce {
		return nil, false
	}
	plain, err := gcm.Open(nil, text[:gcmNonce], text[gcmNonce:], nil)
	return plain, err == nil && fits
}

// openCBC takes the padding off without a look at more than its length (XML
// Encryption 1.1 §5.2).
func openCBC(block cipher.Block, text []byte) ([]byte, bool) {
	if len(text) < 2*aes.BlockSize || len(text)%aes.BlockSize != 0 {
		return nil, false
	}
	plain := make([]byte, len(text)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, text[:aes.BlockSize]).CryptBlocks(plain, text[aes.BlockSize:])
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, false
	}
	return plain[:len(plain)-padding], true
}

// unseal decrypts the assertion and puts it in the place of the encrypted one.
// Whatever goes wrong from where a key has touched it has one answer.
func (v *verification) unseal() error {
	at := v.response.one(nsAssertion, "EncryptedAssertion")
	if v.signedResponse != nil { // then only what was signed is decrypted
		covered, err := v.covered()
		if err != nil {
			return err
		}
		at = covered.one(nsAssertion, "EncryptedAssertion")
	}
	s := newSealed(at, v.spec.AllowCBC, v.signedResponse != nil)
	if err := pass(v.rules.sealed, s); err != nil {
		return err
	}
	keys, err := v.keys()
	if err != nil {
		return err
	}
	plain, ok := s.open(keys)
	root, err := v.rules.scan(plain)
	if !ok || err != nil || root.name.Space != nsAssertion || root.name.Local != "Assertion" {
		return unopened()
	}
	inner := etree.NewDocument()
	if err := inner.ReadFromBytes(plain); err != nil || inner.Root() == nil {
		return unopened()
	}
	place := child(v.doc.Root(), "EncryptedAssertion")
	if place == nil {
		return unopened()
	}
	v.decrypted, v.encrypted = inner.Root(), true
	v.doc.Root().InsertChildAt(place.Index(), inner.Root().Copy())
	v.doc.Root().RemoveChild(place)
	raw, err := v.doc.WriteToBytes()
	if err != nil {
		return unopened()
	}
	return v.read(raw)
}

func unopened() error {
	return authn.Refuse(authn.Encrypted, "The encrypted assertion cannot be opened. It was changed, or encrypted for another certificate than those in our metadata.")
}

// covered is what the response's signature covers.
func (v *verification) covered() (*element, error) {
	doc := etree.NewDocument()
	doc.SetRoot(v.signedResponse.Copy())
	raw, err := doc.WriteToBytes()
	if err != nil {
		return nil, authn.Refuse(authn.Malformed, "The signed response cannot be read.").Because(err)
	}
	return v.rules.scan(raw)
}
