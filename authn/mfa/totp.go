package mfa

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"image/png"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"gatehouse/authn"
	"gatehouse/internal/store"
)

const (
	// totpPeriod, six digits and SHA-1 are what every authenticator app takes (RFC
	// 6238 §4, §5.2); some ignore that they are told otherwise.
	totpPeriod = 30
	// totpSkew is how many periods a phone's clock may be off, either way.
	totpSkew = 1
	// totpSecret is the length of a key, in bytes: that of the hash (RFC 4226 §4).
	totpSecret = 20
	// qrSize is the edge of the QR code, in pixels.
	qrSize = 240
)

var totpOptions = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// offeredTOTP is what is kept of an offer until it is taken up.
type offeredTOTP struct {
	ID     string `json:"id"`
	Secret string `json:"secret"` // base32
}

func (s *Service) offerTOTP(h authn.Holder, again []byte) (authn.Offer, error) {
	offered := offeredTOTP{ID: newID()}
	var secret []byte // nil: a new one
	if again != nil {
		if err := json.Unmarshal(again, &offered); err != nil {
			return authn.Offer{}, fmt.Errorf("mfa: read an offered TOTP key: %w", err)
		}
		var err error
		if secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(offered.Secret); err != nil {
			return authn.Offer{}, fmt.Errorf("mfa: read an offered TOTP key: %w", err)
		}
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: label(h.Issuer), AccountName: label(h.Name), Period: totpPeriod,
		SecretSize: totpSecret, Secret: secret, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: make a TOTP key: %w", err)
	}
	image, err := key.Image(qrSize, qrSize)
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: draw a QR code: %w", err)
	}
	var qr bytes.Buffer
	if err := png.Encode(&qr, image); err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: draw a QR code: %w", err)
	}
	offered.Secret = key.Secret()
	private, err := json.Marshal(offered) // #nosec G117 -- the caller seals it
	if err != nil {
		return authn.Offer{}, fmt.Errorf("mfa: keep a TOTP key: %w", err)
	}
	return authn.Offer{Private: private, Key: key.Secret(), URL: key.URL(), QR: qr.Bytes()}, nil
}

// label is a name in an otpauth address, whose colon parts issuer and account.
func label(name string) string {
	if name = strings.TrimSpace(strings.ReplaceAll(name, ":", " ")); name == "" {
		return "Gatehouse"
	}
	if r := []rune(name); len(r) > 64 {
		name = string(r[:64]) // a QR code holds only so much
	}
	return name
}

// provedTOTP takes up an offer; the code shows that the app has the key, and counts
// as used from then on.
func (s *Service) provedTOTP(ctx context.Context, h authn.Holder, e authn.Enrolment) (proved, error) {
	var offered offeredTOTP
	if err := json.Unmarshal(e.Private, &offered); err != nil {
		return proved{}, fmt.Errorf("mfa: read an offered TOTP key: %w", err)
	}
	now := s.now()
	step, ok := stepOf(e.Proof.Value, offered.Secret, now)
	if !ok {
		return proved{}, authn.Refuse(authn.FactorWrong, "The code does not belong to the key that was offered.")
	}
	sealed, err := s.seal(ctx, h.Tenant, offered.ID, []byte(offered.Secret))
	if err != nil {
		return proved{}, err
	}
	return proved{
		row:   row{Factor: authn.Factor{ID: offered.ID, Kind: authn.TOTP, Name: e.Name, Created: now, Used: now}, sealed: sealed, usedStep: step},
		shown: authn.Shown{Kind: authn.TOTP, AMR: []string{"otp", "mfa"}},
	}, nil
}

// stepOf gives the time step of which a code is.
func stepOf(code, secret string, now time.Time) (int64, bool) {
	code = strings.Join(strings.Fields(code), "")
	if len(code) != otp.DigitsSix.Length() {
		return 0, false
	}
	at := now.Unix() / totpPeriod
	for step := at - totpSkew; step <= at+totpSkew; step++ {
		ok, err := hotp.ValidateCustom(code, uint64(step), secret, totpOptions) // #nosec G115 -- the time is after 1970
		if err == nil && ok {
			return step, true
		}
	}
	return 0, false
}

// verifyTOTP uses a code of one of a person's apps. A code counts if it is of a
// later step than the last one that did (RFC 6238 §5.2), which SQL decides.
func (s *Service) verifyTOTP(ctx context.Context, h authn.Holder, code string) (authn.Shown, error) {
	all, err := s.rows(ctx, h)
	if err != nil {
		return authn.Shown{}, err
	}
	now := s.now()
	var hit row
	var step int64
	for i := range all {
		if all[i].Kind != authn.TOTP {
			continue
		}
		secret, err := s.open(ctx, h.Tenant, &all[i])
		if err != nil {
			return authn.Shown{}, err
		}
		if at, ok := stepOf(code, string(secret), now); ok {
			hit, step = all[i], at
		}
	}
	err = s.try(ctx, h, authn.TOTP, func(tx *store.Tx) (outcome, error) {
		if hit.ID == "" {
			return wrong, nil
		}
		n, err := tx.Exec(ctx, `UPDATE factors SET used_step = $1, used_at = $2 WHERE id = $3 AND user_id = $4 AND used_step < $1`,
			step, store.Millis(now), hit.ID, h.User)
		if err != nil || n == 0 {
			return replayed, err
		}
		return good, nil
	})
	if err != nil {
		return authn.Shown{}, err
	}
	return authn.Shown{Kind: authn.TOTP, AMR: []string{"otp", "mfa"}}, nil
}
