package mfa_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestAnAuthenticatorApp, TestACodeIsGoodOnce, TestRecoveryCodesAreGoodOnce, TestWrongCodesSlowDown, TestWrongCodesAtOnceAreCounted,
		TestAPasskey, TestHostilePasskeys, TestAPasskeysCountIsUsedOnce, TestChangesOfFactors, TestP1_NoFactorChangesWithoutItsRecord,
		TestP3_FactorsStayInTheirTenant, TestP6_FactorsAreSealed,
	})
}
