package saml

// check is one thing that must be so. Its name is for the tests, which leave one
// out at a time to see what it keeps away.
type check[T any] struct {
	name  string
	apply func(T) error
}

// pass applies checks in their order, up to the first that refuses.
func pass[T any](checks []check[T], to T) error {
	for _, c := range checks {
		if err := c.apply(to); err != nil {
			return err
		}
	}
	return nil
}

// rules are all that a response has to pass, in this order. What is left after
// them is only what cannot be left out: XML that can be read, a key that fits,
// and that nothing is believed but what was signed.
type rules struct {
	size      []check[[]byte]        // the document, before anything looks into it
	tokens    []check[piece]         // each piece of it, as it is read
	message   []check[*verification] // the shape of the response
	sealed    []check[*sealed]       // the form of an encrypted assertion, before any key touches it
	assertion []check[*verification] // the shape of the assertion, clear by now
	signature []check[signed]        // the form of each signature
	trust     []check[*verification] // who has signed what
	profile   []check[*verification] // whom it is from, for whom, for what, and when
}

// strict are the rules. Connections choose within them ([tenants.SAMLSpec]);
// nothing chooses others.
var strict = rules{
	size: []check[[]byte]{{"size", bounded}},
	tokens: []check[piece]{
		{"depth", shallow}, {"elements", narrow}, {"attributes", fewAttributes}, {"attribute-twice", onceEach}, {"one-document", oneDocument},
		{"text-outside", nothingOutside}, {"comment", noComment}, {"document-type", noDirective}, {"instruction", noInstruction},
	},
	message: []check[*verification]{
		{"response", (*verification).isResponse}, {"version", (*verification).responseVersion}, {"ids", (*verification).uniqueIDs},
		{"response-place", (*verification).responsePlace}, {"encrypted-part", (*verification).encryptedPart},
		{"assertion-place", (*verification).assertionPlace}, {"signature-place", (*verification).signaturePlace},
		{"status", (*verification).status}, {"one-assertion", (*verification).oneAssertion},
		{"response-signature-once", (*verification).responseSignatureOnce}, {"encryption-wanted", (*verification).encryptionWanted},
	},
	sealed: []check[*sealed]{
		{"encryption-form", (*sealed).form}, {"cipher", (*sealed).knownCipher}, {"key-transport", (*sealed).knownTransport},
		{"cbc-signed", (*sealed).signedAround},
	},
	assertion: []check[*verification]{
		{"assertion-version", (*verification).assertionVersion}, {"subject-place", (*verification).subjectPlace},
		{"conditions-place", (*verification).conditionsPlace}, {"subject", (*verification).oneSubject}, {"name", (*verification).plainName},
		{"subject-parts", (*verification).subjectParts}, {"confirmation", (*verification).confirmed}, {"confirmation-data", (*verification).confirmationData},
		{"conditions", (*verification).oneConditions}, {"conditions-known", (*verification).knownConditions},
		{"authentication", (*verification).authenticated}, {"assertion-signature-once", (*verification).assertionSignatureOnce},
		{"signed", (*verification).anySigned},
	},
	signature: []check[signed]{
		{"signature-parts", signed.parts}, {"signed-info", signed.info}, {"reference", signed.reference}, {"reference-parts", signed.referenceParts},
		{"transforms", signed.transforms}, {"canonicalization", signed.canonicalization},
		{"signature-method", signed.method}, {"digest-method", signed.digest},
	},
	trust: []check[*verification]{
		{"signed-as-wanted", (*verification).signedAsWanted},
	},
	profile: []check[*verification]{
		{"response-issuer", (*verification).responseIssuer}, {"issuer", (*verification).issuer}, {"destination", (*verification).destination},
		{"request", (*verification).request}, {"confirmation-method", (*verification).confirmationMethod}, {"recipient", (*verification).recipient},
		{"confirmation-request", (*verification).confirmationRequest}, {"confirmation-limits", (*verification).confirmationLimits},
		{"confirmation-end", (*verification).confirmationEnd}, {"conditions-limits", (*verification).conditionsLimits},
		{"conditions-end", (*verification).conditionsEnd}, {"conditions-begin", (*verification).conditionsBegin},
		{"issued-ahead", (*verification).issuedAhead}, {"issued-long-ago", (*verification).issuedLongAgo}, {"provider-session", (*verification).providerSession},
		{"audience", (*verification).audience}, {"audience-named", (*verification).audienceNamed}, {"context", (*verification).context},
		{"name-text", (*verification).nameText}, {"name-lasting", (*verification).nameLasting},
		{"name-qualifier", (*verification).nameOfProvider}, {"sp-name-qualifier", (*verification).nameForUs},
		{"library", (*verification).library},
	},
}
