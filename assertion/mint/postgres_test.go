package mint

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestP5_WhatIsMintedVerifiesByThePublishedKeys, TestKeysRotateWithoutAGap, TestP6_TheStoreHoldsNoPrivateKeyInTheClear,
		TestASubstitutedKeyIsNotUsed, TestRunEndsWithItsContext, TestWhatNoVerifierTakesIsNotMinted,
	})
}
