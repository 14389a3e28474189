package attacktest

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // #nosec G505 -- what mgf1p names
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/beevik/etree"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// The algorithms of XML Encryption that a [Sealing] takes.
const (
	AES128GCM = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	AES256GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	AES128CBC = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	OAEPMGF1P = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	OAEP      = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
	PKCS1v15  = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
)

// Sealing is a way to encrypt an assertion. The zero value is the plain one.
type Sealing struct {
	Cipher, Transport string
	Beside            bool                // the key stands beside the data
	Plain             func([]byte) []byte // changes what is encrypted
	Bytes             func([]byte) []byte // changes what comes of it
	Wrapped           func([]byte) []byte // changes the encrypted key
}

// Encrypt puts an encrypted assertion in the place of the clear one.
func (s Sealing) Encrypt(t testing.TB, f Flight, doc *etree.Document) {
	t.Helper()
	open := AssertionOf(doc)
	around, err := etreeutils.NSBuildParentContext(open)
	check(t, err)
	around, err = around.SubContext(open)
	check(t, err)
	alone, err := etreeutils.NSDetatch(around, open)
	check(t, err)
	inner := etree.NewDocument()
	inner.SetRoot(alone)
	plain, err := inner.WriteToBytes()
	check(t, err)
	if s.Plain != nil {
		plain = s.Plain(plain)
	}
	doc.Root().InsertChildAt(open.Index(), s.sealed(t, f.Certificate, plain))
	doc.Root().RemoveChild(open)
}

func (s Sealing) sealed(t testing.TB, to *x509.Certificate, plain []byte) *etree.Element {
	t.Helper()
	if s.Cipher == "" {
		s.Cipher = AES256GCM
	}
	if s.Transport == "" {
		s.Transport = OAEPMGF1P
	}
	size := 16
	if s.Cipher == AES256GCM {
		size = 32
	}
	key := make([]byte, size)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	check(t, err)
	var text []byte
	if s.Cipher == AES128CBC {
		padding := aes.BlockSize - len(plain)%aes.BlockSize
		plain = append(append(plain, make([]byte, padding-1)...), byte(padding))
		text = make([]byte, aes.BlockSize+len(plain))
		_, _ = rand.Read(text[:aes.BlockSize])
		cipher.NewCBCEncrypter(block, text[:aes.BlockSize]). // #nosec G407 -- filled just above
									CryptBlocks(text[aes.BlockSize:], plain)
	} else {
		gcm, err := cipher.NewGCM(block)
		check(t, err)
		nonce := make([]byte, gcm.NonceSize())
		_, _ = rand.Read(nonce)
		text = gcm.Seal(nonce, nonce, plain, nil)
	}
	if s.Bytes != nil {
		text = s.Bytes(text)
	}
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		t.Fatalf("a %T", to.PublicKey)
	}
	var wrapped []byte
	if s.Transport == OAEP {
		wrapped, err = rsa.EncryptOAEP(crypto.SHA256.New(), rand.Reader, public, key, nil)
	} else {
		wrapped, err = rsa.EncryptOAEP(crypto.SHA1.New(), rand.Reader, public, key, nil)
	}
	check(t, err)
	if s.Wrapped != nil {
		wrapped = s.Wrapped(wrapped)
	}
	el := etree.NewElement("saml:EncryptedAssertion")
	el.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
	data := ciphered(el, "xenc:EncryptedData", s.Cipher, text)
	data.CreateAttr("Type", "http://www.w3.org/2001/04/xmlenc#Element")
	keyInfo := etree.NewElement("ds:KeyInfo")
	keyInfo.CreateAttr("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#")
	data.InsertChildAt(1, keyInfo)
	at := keyInfo
	if s.Beside {
		at = el
		keyInfo.CreateElement("ds:RetrievalMethod").CreateAttr("URI", "#_key")
	}
	method := ciphered(at, "xenc:EncryptedKey", s.Transport, wrapped).SelectElement("EncryptionMethod")
	if s.Transport == OAEP {
		digest := method.CreateElement("ds:DigestMethod")
		digest.CreateAttr("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#")
		digest.CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmlenc#sha256")
		mask := method.CreateElement("xenc11:MGF")
		mask.CreateAttr("xmlns:xenc11", "http://www.w3.org/2009/xmlenc11#")
		mask.CreateAttr("Algorithm", "http://www.w3.org/2009/xmlenc11#mgf1sha256")
	}
	return el
}

func ciphered(in *etree.Element, name, algorithm string, text []byte) *etree.Element {
	el := in.CreateElement(name)
	el.CreateAttr("xmlns:xenc", "http://www.w3.org/2001/04/xmlenc#")
	el.CreateElement("xenc:EncryptionMethod").CreateAttr("Algorithm", algorithm)
	el.CreateElement("xenc:CipherData").CreateElement("xenc:CipherValue").SetText(base64.StdEncoding.EncodeToString(text))
	return el
}
