package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"sync"
)

// idpKeys are the same in every process, so that a token which a fuzzer has found is
// signed by the same keys when it is tried again. They are secrets to nobody.
var idpKeys = sync.OnceValue(func() (k struct {
	rsa, otherRSA *rsa.PrivateKey
	ec            *ecdsa.PrivateKey
}) {
	k.rsa, k.otherRSA, k.ec = fixedRSA("provider"), fixedRSA("stranger"), fixedEC("provider")
	return k
})

// bytesOf are as many bytes as are wanted, of a name.
func bytesOf(name string, n int) (all []byte) {
	sum := sha256.Sum256([]byte(name))
	for ; len(all) < n; sum = sha256.Sum256(sum[:]) {
		all = append(all, sum[:]...)
	}
	return all[:n]
}

func fixedEC(name string) *ecdsa.PrivateKey {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytesOf(name, 32))
	if err != nil {
		panic(err)
	}
	return key
}

// fixedRSA is a key of 2,048 bits, of the next primes after two numbers.
func fixedRSA(name string) *rsa.PrivateKey {
	const e = 65537
	one, n, phi := big.NewInt(1), big.NewInt(1), big.NewInt(1)
	var primes []*big.Int
	for _, which := range []string{" p", " q"} {
		raw := bytesOf(name+which, 128)
		raw[0] |= 0xc0 // so that the product has all bits
		raw[127] |= 1
		prime := new(big.Int).SetBytes(raw)
		below := new(big.Int)
		for !prime.ProbablyPrime(0) || below.Mod(below.Sub(prime, one), big.NewInt(e)).Sign() == 0 {
			prime.Add(prime, big.NewInt(2))
		}
		primes = append(primes, prime)
		n.Mul(n, prime)
		phi.Mul(phi, new(big.Int).Sub(prime, one))
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: e}, D: new(big.Int).ModInverse(big.NewInt(e), phi), Primes: primes}
	key.Precompute()
	if err := key.Validate(); err != nil {
		panic(err)
	}
	return key
}
